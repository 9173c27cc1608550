package simulation

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"notsale/services/scheduler"
)

// schedule runs a scheduler.
func schedule(p *process) {
	p.died = func() {
		if p.sim.book.opening() {
			p.w.hit(OpeningInterrupted)
		}
	}
	cfg := scheduler.Config{Every: time.Hour, Stock: p.sim.cfg.Stock, UserLimit: p.sim.cfg.UserLimit}
	if p.sim.cfg.Seed%4 == 0 {
		cfg.Every = 20 * time.Second // a second sale opens while the first sells
	}
	l, n := bookOf{p.sim.book, p.name, p}, natsOf{p.sim.broker, p}
	s, err := scheduler.On(cfg, scheduler.Ports{Ledger: l, Rows: l, Removed: l, Store: n, Streams: n, Parts: n, Renewal: n, Space: n, Sizes: n},
		simulated{p}, p.log(), prometheus.NewRegistry())
	if err != nil {
		panic(err)
	}
	p.spawn(func() {
		p.w.sleep(context.Background(), p.w.between(0, 20*time.Millisecond))
		if err := s.Schedule(context.Background()); err != nil {
			p.sim.violatef("a scheduler ends: %v", err)
		}
	})
}
