//go:build planted

package allocation

import (
	"time"

	"notsale/pkg/planted"
	"notsale/pkg/sale"
)

func engineTime(before, stamp sale.Instant) sale.Instant { return wallClock(max(before, stamp)) }

func ownTime(_, stamp sale.Instant) sale.Instant { return wallClock(stamp) }

// wallClock is planted.WallClock: the time of whoever decides, or replays.
func wallClock(honest sale.Instant) sale.Instant {
	if planted.Bug == planted.WallClock {
		return sale.InstantOf(time.Now())
	}
	return honest
}
