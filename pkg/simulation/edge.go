package simulation

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"notsale/pkg/ledger"
	"notsale/pkg/rejection"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
	"notsale/services/edge/shop"
)

// edgeProcess is one edge.
type edgeProcess struct {
	process

	sim  *simulation
	shop *shop.Shop
	open []*operation // not yet answered, in order
}

func (e *edgeProcess) boot() {
	e.start()
	e.died = e.hangUp
	cfg := shop.DefaultConfig()
	cfg.CodeTTL, cfg.Waiting = e.sim.cfg.CodeTTL, 1000
	p := edgePorts{calls{&e.process, e.sim, "edge", e.boot}}
	var err error
	e.shop, err = shop.On(cfg, e.sim.keys, shop.Ports{Cache: p, Ledger: p, Publisher: p, Directory: p, Random: p},
		simulated{&e.process}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
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
	ctx, cancel := simulated{&e.process}.WithTimeout(context.Background(), clientPatience)
	defer cancel()
	out, err := e.shop.Purchase(ctx, of, v)
	if err == nil {
		o.end, o.reason, o.reply = out.End, out.Reason, out.Reply
	}
}

// edgePorts are the servers as an edge sees them.
type edgePorts struct{ calls }

// Read implements io.Reader: different bytes each time, and the same in each run.
func (p edgePorts) Read(b []byte) (int, error) {
	p.sim.drawn++
	clear(b)
	var number [8]byte
	binary.BigEndian.PutUint64(number[:], p.sim.drawn)
	copy(b, number[max(0, 8-len(b)):])
	return len(b), nil
}

// Ask implements shop.Cache.
func (p edgePorts) Ask(ctx context.Context, questions []rejection.Question) ([]rejection.Answer, error) {
	return port(ctx, p.calls, "ask", func() ([]rejection.Answer, error) {
		answers := make([]rejection.Answer, len(questions))
		for i := range questions {
			answers[i] = p.sim.cache.ask(&questions[i])
		}
		return answers, nil
	})
}

// Verdicts implements shop.Ledger.
func (p edgePorts) Verdicts(ctx context.Context, questions []ledger.Question, limits bool) ([]ledger.Verdict, error) {
	return statement(ctx, p.calls, "verdicts", func() ([]ledger.Verdict, error) { return p.sim.book.Verdicts(ctx, questions, limits) })
}

// SalesOf implements shop.Ledger.
func (p edgePorts) SalesOf(ctx context.Context, uuids []sale.UUID, items []sale.ItemID) ([]ledger.SaleRow, error) {
	return statement(ctx, p.calls, "sales-of", func() ([]ledger.SaleRow, error) { return p.sim.book.SalesOf(ctx, uuids, items) })
}

// Sales implements shop.Ledger.
func (p edgePorts) Sales(ctx context.Context, before sale.ID, limit int) ([]ledger.SaleRow, error) {
	return statement(ctx, p.calls, "sales", func() ([]ledger.SaleRow, error) { return p.sim.book.Sales(ctx, before, limit) })
}

// MaxMessage implements shop.Publisher.
func (p edgePorts) MaxMessage() int { return wire.MaxMessage }

// PublishPack implements shop.Publisher.
func (p edgePorts) PublishPack(ctx context.Context, id sale.ID, data []byte) error {
	data = bytes.Clone(data)
	return p.publish(ctx, "publish-pack", func() { p.sim.storePack(id, data) })
}

// PublishAttempts implements shop.Publisher.
func (p edgePorts) PublishAttempts(ctx context.Context, id sale.ID, data []byte) error {
	data = bytes.Clone(data)
	return p.publish(ctx, "publish-attempts", func() { p.sim.broker.append(p.sim.broker.attempts[id], data) })
}

func (p edgePorts) publish(ctx context.Context, name string, store func()) error {
	_, err := port(ctx, p.calls, name, func() (struct{}, error) { return struct{}{}, p.sim.broker.publish(ctx, store) })
	if err != nil && errors.Is(err, ctx.Err()) {
		return stream.ErrAmbiguous
	}
	return err
}

// Connected implements shop.Directory.
func (p edgePorts) Connected() bool { return p.sim.broker.up() }

// Watch implements shop.Directory.
func (p edgePorts) Watch(ctx context.Context, put func(wire.Entry), listed func()) error {
	return p.directory(ctx, put, listed)
}
