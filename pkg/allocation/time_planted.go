//go:build planted_wall_clock

package allocation

import (
	"time"

	"notsale/pkg/sale"
)

// engineTime is planted.WallClock: the time of whoever decides, or replays.
func engineTime(sale.Instant, sale.Instant) sale.Instant { return sale.InstantOf(time.Now()) }

func ownTime(sale.Instant, sale.Instant) sale.Instant { return sale.InstantOf(time.Now()) }
