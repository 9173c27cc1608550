package allocation

import "notsale/pkg/sale"

// engineTime is the time at which a pack is decided under version 1: the highest
// of the stream's timestamps so far, so that a replay decides alike.
func engineTime(before, stamp sale.Instant) sale.Instant { return max(before, stamp) }

// ownTime is the time at which a pack is decided from version 2 on: its own
// timestamp. A clock that was wrong for a moment spoils only the packs that it
// stamped.
func ownTime(_, stamp sale.Instant) sale.Instant { return stamp }
