//go:build !planted_wall_clock

package allocation

import "notsale/pkg/sale"

// engineTime is the time at which a pack is decided: the highest of the
// stream's timestamps so far, so that a replay decides alike.
func engineTime(before, stamp sale.Instant) sale.Instant { return max(before, stamp) }
