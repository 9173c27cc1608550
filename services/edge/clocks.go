package edge

import (
	"context"
	"time"

	"notsale/pkg/sale"
)

const (
	clockPause = 5 * time.Second // between two looks at NATS's clocks
	// clockSales is how many sales' streams are asked at each look, the newest of
	// those that are bought from here: each is a round trip.
	clockSales = 16
)

// clocks is what is known of the clocks by which NATS stamps requests; only
// watchClocks uses it.
type clocks struct {
	skewOf func(context.Context, sale.ID) (time.Duration, error) // 0: the directory's
	off    map[sale.ID]bool                                      // as it was at the last look
}

// skewOf returns by how much this clock is ahead of the one that stamps a sale's
// packs.
func (e *Edge) skewOf(ctx context.Context, id sale.ID) (time.Duration, error) {
	if id != 0 {
		server, local, err := e.stream.SaleTime(ctx, id)
		return local.Sub(server), err
	}
	d, err := e.stream.Directory(ctx)
	if err != nil {
		return 0, err
	}
	server, local, err := d.ServerTime(ctx)
	return local.Sub(server), err
}

func (e *Edge) watchClocks(ctx context.Context) {
	for ; ctx.Err() == nil; pause(ctx, clockPause) {
		e.compareClocks(ctx)
	}
}

// compareClocks compares this clock with those by which NATS stamps requests:
// each sale's stream is led by a server with a clock of its own. An edge whose
// clock agrees with none is not ready. Where only some disagree, those are wrong: the
// codes of their sales expire at wrong times, which the log says.
func (e *Edge) compareClocks(ctx context.Context) {
	var nearest, farthest time.Duration
	off := map[sale.ID]bool{}
	asked := 0
	for _, id := range append([]sale.ID{0}, e.shop.InUse(clockSales)...) {
		skew, err := e.clocks.skewOf(ctx, id)
		if err != nil {
			continue // readiness speaks of NATS
		}
		if asked++; asked == 1 || skew.Abs() < nearest.Abs() {
			nearest = skew
		}
		farthest = max(farthest, skew.Abs())
		if off[id] = skew.Abs() > maxSkew; off[id] && !e.clocks.off[id] {
			e.log.Error("NATS stamps by a clock that is not this machine's, codes expire at wrong times: set the clocks right (NTP)",
				"sale", id, "this_clock_ahead_by", skew.Round(time.Millisecond))
		}
	}
	if e.clocks.off = off; asked > 0 {
		e.skew.Store(int64(nearest))
		e.metrics.skew.Set(farthest.Seconds())
	}
}
