package simulation

import (
	"context"
	"errors"
	"time"

	"notsale/pkg/allocation"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
	"notsale/services/allocator"
	"notsale/services/allocator/term"
)

// allocatorProcess is one allocator with its terms.
type allocatorProcess struct {
	process
	sim     *simulation
	ledger  bookOf
	tenancy *term.Tenancy
	terms   map[sale.ID]*termRun
	warm    map[sale.ID]*allocation.Engine
}

// termRun carries out what a term says, in the simulated world.
type termRun struct {
	*allocatorProcess
	lease ledger.Lease
	term  *term.Term
	ended bool
	next  uint64 // of the reader; 0: closed
	cut   bool   // the reader was open when NATS went away
	wait  int    // number of the current wait, so that old wake-ups are known
}

func (a *allocatorProcess) boot() {
	a.start()
	a.ledger = bookOf{a.sim.book, a.name + "-" + string(rune('a'+a.life)), func(name string) {
		if a.dies(name) {
			panic(crashed{})
		}
	}}
	cfg := allocator.DefaultConfig()
	a.tenancy = term.NewTenancy()
	a.terms, a.warm = map[sale.ID]*termRun{}, map[sale.ID]*allocation.Engine{}
	a.in(a.w.between(0, cfg.Renewal), a.turn)
	a.in(a.w.between(0, 500*time.Millisecond), a.follow)
}

// dies reports whether the allocator crashes at the point.
func (a *allocatorProcess) dies(point string) bool {
	dies, f := a.sim.reach(point)
	if dies {
		a.crash()
		a.w.in(f.Length, a.boot)
	}
	return dies
}

// turn is what Allocator.turn does.
func (a *allocatorProcess) turn() {
	defer func() {
		if p := recover(); p != nil {
			if _, died := p.(crashed); !died {
				panic(p)
			}
		}
	}()
	a.in(allocator.DefaultConfig().Renewal, a.turn)
	if !a.sim.broker.up() {
		return
	}
	cfg, ctx, now := allocator.DefaultConfig(), context.Background(), a.w.now.Time()
	held := a.tenancy.Held()
	renewed, err := a.ledger.Renew(ctx, cfg.LeaseTTL)
	if err != nil {
		return
	}
	lost, adopted := a.tenancy.Renewed(held, renewed, now)
	for _, lease := range lost {
		if t := a.terms[lease.Sale]; t != nil {
			if t.term.Undecided() {
				a.w.hit(TakeoverInBatch)
			}
			t.ended = true
			delete(a.terms, lease.Sale)
		}
	}
	taken, _ := a.ledger.Take(ctx, cfg.LeaseTTL, a.tenancy.Skip(now), cfg.TakeAtOnce)
	for _, lease := range append(adopted, a.tenancy.Taken(taken)...) {
		if a.warm[lease.Sale] != nil {
			a.w.hit(WarmTakeover)
		}
		t := &termRun{allocatorProcess: a, lease: lease, term: term.New(lease, a.sim.cfg.Batch, a.warm[lease.Sale])}
		delete(a.warm, lease.Sale)
		a.terms[lease.Sale] = t
		t.perform(term.ReadLedger{})
	}
}

// follow is what a standby does.
func (a *allocatorProcess) follow() {
	a.in(500*time.Millisecond, a.follow)
	if !a.sim.book.up() {
		return
	}
	for _, s := range a.sim.book.sales {
		id, c := s.row.Sale.ID, s.pos.Cursor
		if a.terms[id] != nil || s.row.State != sale.Open || c.Position == 0 {
			continue
		}
		e := a.warm[id]
		var err error
		if e != nil && c.Position >= e.Cursor().Position {
			err = e.Extend(c, a.sim.book.decisions(id, e.Cursor().Position, c.Position))
		} else {
			e, err = allocation.Restore(s.row.Sale, c, a.sim.book.decisions(id, 0, c.Position), 0)
		}
		delete(a.warm, id)
		if err == nil {
			a.warm[id] = e
		}
	}
}

// at reports whether the allocator dies before, or after, the effect of a name;
// effects without one have no points.
func (t *termRun) at(when, effect string) bool {
	return effect != "" && t.dies("allocator/"+when+"-"+effect)
}

// step hands an event to the term, after the time that it took, and carries out
// what follows.
func (t *termRun) step(after time.Duration, effect string, e func() term.Event) {
	t.in(after, func() {
		if t.ended || t.at("before", effect) {
			return
		}
		event := e()
		if !t.alive || t.at("after", effect) {
			return
		}
		next := t.term.Step(event)
		if end, ok := next.(term.Stop); ok {
			t.stop(end.Why)
			return
		}
		t.perform(next)
	})
}

func (t *termRun) stop(why error) {
	t.ended = true
	if errors.Is(why, ledger.ErrFenced) && t.term.Undecided() {
		t.w.hit(ZombieFenced)
	}
	if errors.Is(why, term.ErrGiveUp) {
		t.sim.violatef("alarm: a term gave up: %v", why)
	}
	if t.terms[t.lease.Sale] == t {
		delete(t.terms, t.lease.Sale)
	}
	if t.tenancy.Ended(t.lease, why, t.w.now.Time()) {
		_ = t.ledger.Release(context.Background(), t.lease)
		t.tenancy.Left(t.lease.Sale)
	}
}

// quick is the time of a call.
func (t *termRun) quick() time.Duration {
	return t.w.between(50*time.Microsecond, 3*time.Millisecond)
}

func (t *termRun) perform(e term.Effect) {
	id, of := t.lease.Sale, t.sim.broker.sales[t.lease.Sale]
	switch e := e.(type) {
	case term.ReadLedger:
		t.next = 0
		t.step(t.quick(), "read-ledger", func() term.Event {
			row, pos, err := t.ledger.cursor(id)
			return term.LedgerRead{Row: row, Pos: pos, Err: err}
		})
	case term.ReadStream:
		t.step(t.quick(), "read-stream", func() term.Event { return t.readStream(of, e.Sequence) })
	case term.Compare:
		t.step(t.quick(), "compare", func() term.Event { return t.compare(of, e.Sequence) })
	case term.OpenHole:
		t.uncertain("open-hole", func() error { return t.ledger.openGeneration(t.lease, &e.Hole) }, func(err error) term.Event { return term.HoleOpened{Err: err} })
	case term.OpenReader:
		t.step(t.quick(), "open-reader", func() term.Event {
			if !t.sim.broker.up() {
				return term.ReaderOpened{Err: errBroker}
			}
			t.next, t.cut = e.From, false
			return term.ReaderOpened{}
		})
	case term.Await:
		t.await(of, e.Patience)
	case term.Peek:
		t.step(t.quick(), "", func() term.Event {
			if !t.sim.broker.up() {
				return term.Peeked{Err: errBroker}
			}
			_, pos, err := t.ledger.cursor(id)
			return term.Peeked{Info: stream.Info{Created: of.created, Last: uint64(len(of.messages))}, Pos: pos, Err: err}
		})
	case term.Restore:
		t.step(t.quick(), "restore", func() term.Event { return t.restore(e) })
	case term.Commit:
		t.uncertain("commit", func() error { return t.ledger.commit(t.lease, e.Batch) }, func(err error) term.Event { return term.Committed{Err: err} })
	case term.Publish:
		t.step(t.quick(), "", func() term.Event {
			t.publish(e)
			return term.Published{}
		})
	case term.Pause:
		t.step(e.Length, "", func() term.Event { return term.Resumed{} })
	case term.Alarm:
		t.w.note("alarm "+e.Kind, int64(id))
		t.step(0, "", func() term.Event { return term.Resumed{} })
	}
}

// uncertain runs a statement of which it may not be known whether it was
// carried out: the connection can break before it, or after it.
func (t *termRun) uncertain(effect string, statement func() error, event func(error) term.Event) {
	t.in(t.quick(), func() {
		if t.ended || t.at("before", effect) {
			return
		}
		err := errAway
		if t.sim.book.up() && !t.w.oneIn(t.sim.cfg.Lossy) {
			err = statement()
			t.w.note("statement "+t.name, int64(t.lease.Sale), t.lease.Epoch, boolean(err == nil))
			if err == nil && t.w.oneIn(t.sim.cfg.Lossy) {
				err = errAway
				t.w.hit(CommittedUnreported)
			}
		}
		if t.at("after", effect) {
			return
		}
		t.step(t.quick(), "", func() term.Event { return event(err) })
	})
}

func boolean(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func (t *termRun) readStream(of *streamOf, sequence uint64) term.Event {
	if !t.sim.broker.up() {
		return term.StreamRead{Err: errBroker}
	}
	opening, err := t.sim.broker.opening(t.lease.Sale)
	r := term.StreamRead{Opening: opening, Err: err, Info: stream.Info{Created: of.created, Last: uint64(len(of.messages))}}
	if sequence <= r.Info.Last {
		r.Message = of.messages[sequence-1]
	} else {
		t.w.note("short stream", int64(sequence), int64(r.Info.Last))
	}
	return r
}

func (t *termRun) compare(of *streamOf, sequence uint64) term.Event {
	if !t.sim.broker.up() {
		return term.Compared{Err: errBroker}
	}
	if sequence > uint64(len(of.messages)) {
		return term.Compared{}
	}
	mark := term.MarkOf(&of.messages[sequence-1])
	same, err := t.sim.book.applied(t.lease.Sale, sequence, mark)
	return term.Compared{Same: same, Mark: mark, Err: err}
}

// restorePage is how many decisions are read at a time: few, so that most
// engines are made of several pages.
const restorePage = 16

func (t *termRun) restore(e term.Restore) term.Event {
	engine := e.Engine
	if engine == nil {
		var err error
		if engine, err = term.Blank(e.Of, e.To); err != nil {
			return term.Restored{Err: err}
		}
	}
	for engine.Cursor() != e.To {
		var page []allocation.Decision
		for d, err := range t.sim.book.decisions(t.lease.Sale, engine.Cursor().Position, e.To.Position) {
			if err != nil {
				return term.Restored{Engine: engine, Err: err}
			}
			if page = append(page, d); len(page) == restorePage {
				break
			}
		}
		if err := term.Onward(engine, page, len(page) < restorePage, e.To); err != nil {
			return term.Restored{Err: err}
		}
	}
	return term.Restored{Engine: engine}
}

// await delivers what the reader has, or waits for it. A reader whose position
// lies beyond the end of a shortened stream waits for ever, silently.
func (t *termRun) await(of *streamOf, patience time.Duration) {
	t.wait++
	wait := t.wait
	fire := func(e func() term.Event) {
		if t.wait == wait && !t.ended {
			t.wait++
			t.step(0, "", e)
		}
	}
	t.in(patience, func() { fire(func() term.Event { return term.Quiet{} }) })
	var look func()
	look = func() {
		switch {
		case t.wait != wait || t.ended:
		case t.cut:
			fire(func() term.Event { return term.ReaderFailed{Err: errBroker} })
		case t.next <= uint64(len(of.messages)):
			n := min(uint64(len(of.messages)), t.next+uint64(t.w.rng.IntN(8)))
			messages := of.messages[t.next-1 : n : n]
			t.next = n + 1
			fire(func() term.Event { return term.Arrived{Messages: messages} })
		default:
			of.waiting = append(of.waiting, func() { t.in(t.quick(), look) })
		}
	}
	t.in(t.quick(), look)
	t.sim.disconnected(func() { t.in(t.quick(), look) })
}

func (t *termRun) publish(e term.Publish) {
	if t.at("before", "learn") {
		return
	}
	t.sim.cache.learn(t.sim.book.sale(t.lease.Sale).row.Sale.UUID, &e.Batch.Facts)
	if t.at("after", "learn") || t.at("before", "reply") {
		return
	}
	byEdge := map[string][]wire.Reply{}
	var order []string
	for i := range e.Batch.Replies {
		r := &e.Batch.Replies[i]
		if _, seen := byEdge[r.Edge]; !seen {
			order = append(order, r.Edge)
		}
		d := &r.Decision
		byEdge[r.Edge] = append(byEdge[r.Edge], wire.Reply{Number: r.Number, Code: d.Code, Position: d.Position, Reason: d.Reason, At: d.At})
		if d.Position <= e.Batch.Before.Position {
			t.w.hit(RepeatedCode)
		}
	}
	for _, edge := range order {
		if t.w.oneIn(t.sim.cfg.Lossy) {
			t.w.hit(CommittedUnreplied)
			continue
		}
		replies := byEdge[edge]
		t.w.in(t.quick(), func() { t.sim.deliver(edge, replies) })
	}
	t.at("after", "reply")
}
