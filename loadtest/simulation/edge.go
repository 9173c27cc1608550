package simulation

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"notsale/services/edge/shop"
)

// edgeProcess is one edge.
type edgeProcess struct {
	*process

	shop *shop.Shop
	open []*operation // not yet answered, in order
}

// live begins a life of the edge.
func (e *edgeProcess) live(p *process) {
	e.died = e.hangUp
	cfg := shop.DefaultConfig()
	cfg.CodeTTL, cfg.Waiting = e.sim.cfg.CodeTTL, 1000
	n := natsOf{e.sim.broker, p}
	var err error
	e.shop, err = shop.On(cfg, e.sim.keys, shop.Ports{Cache: cacheOf{e.sim.cache, p}, Ledger: bookOf{e.sim.book, e.name, p}, Publisher: n, Directory: n, Random: e},
		simulated{p}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		panic(err)
	}
	e.spawn(func() { e.shop.Follow(context.Background()) })
}

// hangUp resets whoever waits for an edge that has died.
func (e *edgeProcess) hangUp() {
	for _, o := range e.open {
		e.sim.reset(o)
	}
	e.open = nil
}

// answer sends the operation's answer on its way.
func (e *edgeProcess) answer(o *operation) {
	e.open = slices.DeleteFunc(e.open, func(other *operation) bool { return other == o })
	e.sim.answered(o)
}

// serve carries out a request of a shopper.
func (e *edgeProcess) serve(o *operation) {
	e.open = append(e.open, o)
	e.spawn(func() {
		if o.purchase {
			e.purchase(o)
		} else {
			e.checkout(o)
		}
		e.answer(o)
	})
}

func (e *edgeProcess) checkout(o *operation) {
	out, err := e.shop.Checkout(&shop.Wish{User: o.user, Item: o.item, RawUser: string(o.user), RawItem: o.item.String()})
	if o.unqueued = err != nil; o.unqueued {
		return
	}
	o.attempt, o.outcome, o.text = out.Attempt, out.Outcome, out.Code
}

func (e *edgeProcess) purchase(o *operation) {
	o.end = shop.Unqueued
	v, of, err := e.shop.Verify(o.text, o.user)
	if errors.Is(err, shop.ErrCode) {
		e.sim.violatef("a valid code was refused")
	}
	if err != nil {
		return
	}
	ctx, cancel := simulated{e.process}.WithTimeout(context.Background(), clientPatience)
	defer cancel()
	out, err := e.shop.Purchase(ctx, of, v)
	if err == nil {
		o.end, o.reason, o.reply = out.End, out.Reason, out.Reply
	}
}

// Read implements io.Reader: different bytes each time, and the same in each run.
func (e *edgeProcess) Read(b []byte) (int, error) {
	e.sim.drawn++
	clear(b)
	var number [8]byte
	binary.BigEndian.PutUint64(number[:], e.sim.drawn)
	copy(b, number[max(0, 8-len(b)):])
	return len(b), nil
}
