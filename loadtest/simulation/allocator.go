package simulation

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"notsale/services/allocator"
)

// restorePage is how many decisions are read at a time: few, so that most
// engines are made of several pages.
const restorePage = 16

// allocate runs an allocator.
func allocate(p *process) {
	cfg := allocator.DefaultConfig()
	cfg.BatchRequests, cfg.RestorePage = p.sim.cfg.Batch, restorePage
	l, n := bookOf{p.sim.book, p.name + "-" + string(rune('a'+p.life)), p}, natsOf{p.sim.broker, p}
	a, err := allocator.On(cfg, allocator.Ports{Leases: l, History: l, Commits: l, Streams: n, News: n, Cache: cacheOf{p.sim.cache, p}, Edges: n},
		simulated{p}, p.log(), prometheus.NewRegistry())
	if err != nil {
		panic(err)
	}
	p.spawn(func() {
		p.w.sleep(context.Background(), p.w.between(0, cfg.Renewal))
		a.Hold(context.Background())
	})
}
