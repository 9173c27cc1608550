package simulation

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/pack"
	"notsale/pkg/rejection"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
	"notsale/services/edge"
	"notsale/services/edge/flow"
)

// edgeProcess is one edge.
type edgeProcess struct {
	process
	sim     *simulation
	id      string
	waiting *flow.Waiting[*purchaseOp]
	lanes   map[sale.ID]*laneOf
	open    map[*operation]bool // not yet answered
	order   []*operation        // the same, in order
}

type laneOf struct {
	requests *coalescer[allocation.Request]
	attempts *coalescer[wire.Attempt]
}

// coalescer drives a pack.Buffer as pack.Queue does.
type coalescer[T any] struct {
	edge    *edgeProcess
	limits  pack.Limits
	buffer  *pack.Buffer[T]
	busy    bool
	waiters map[*pack.Ticket][]func(error)
	out     *pack.Ticket
	encode  func([]T) []byte
	store   func(data []byte, again bool)
}

func newCoalescer[T any](e *edgeProcess, patience time.Duration, encode func([]T) []byte, store func([]byte, bool)) *coalescer[T] {
	limits := pack.DefaultLimits()
	limits.Patience = patience
	return &coalescer[T]{edge: e, limits: limits, buffer: pack.NewBuffer[T](limits), waiters: map[*pack.Ticket][]func(error){}, encode: encode, store: store}
}

func (c *coalescer[T]) add(item T, size int, done func(error)) error {
	ticket, err := c.buffer.Add(item, size)
	if err != nil {
		return err
	}
	c.waiters[ticket] = append(c.waiters[ticket], done)
	if c.out == nil {
		c.out = ticket
	}
	c.pump()
	return nil
}

func (c *coalescer[T]) pump() {
	if c.busy {
		return
	}
	items := c.buffer.Next()
	if items == nil {
		return
	}
	c.busy = true
	c.send(c.encode(items), 1, c.edge.w.now)
}

func (c *coalescer[T]) send(data []byte, tries int, first sale.Instant) {
	c.edge.sim.broker.publish(&c.edge.process, func() { c.store(data, tries > 1) }, func(err error) {
		if errors.Is(err, stream.ErrAmbiguous) {
			err = fmt.Errorf("%w: %w", pack.ErrAmbiguous, err)
		}
		err = pack.Fate(err, tries)
		spent := time.Duration(c.edge.w.now-first) * time.Microsecond
		if pause, again := c.limits.Again(err, tries, spent); again {
			c.edge.in(pause, func() { c.send(data, tries+1, first) })
			return
		}
		c.settle(err)
	})
}

func (c *coalescer[T]) settle(err error) {
	c.buffer.Settle(err)
	c.busy = false
	for ticket, waiters := range c.waiters { // exactly one ticket is done
		select {
		case <-ticket.Done():
			delete(c.waiters, ticket)
			for _, done := range waiters {
				done(ticket.Err())
			}
		default:
		}
	}
	c.pump()
}

func (e *edgeProcess) boot() {
	e.start()
	e.id = fmt.Sprintf("%s-%d", e.name, e.life)
	e.waiting = flow.NewWaiting[*purchaseOp](1000)
	e.lanes = map[sale.ID]*laneOf{}
	e.open, e.order = map[*operation]bool{}, nil
}

// die crashes the edge: whoever waits for it sees a reset.
func (e *edgeProcess) die() {
	e.crash()
	for _, o := range e.order {
		if e.open[o] {
			e.sim.reset(o)
		}
	}
}

func (e *edgeProcess) lane(id sale.ID) *laneOf {
	l := e.lanes[id]
	if l != nil {
		return l
	}
	cfg := edge.DefaultConfig()
	l = &laneOf{
		requests: newCoalescer(e, cfg.PurchaseWait, func(items []allocation.Request) []byte { return wire.AppendPack(nil, e.id, items) },
			func(data []byte, again bool) { e.sim.storePack(id, data, again) }),
		attempts: newCoalescer(e, cfg.CheckoutWait, func(items []wire.Attempt) []byte { return wire.AppendAttempts(nil, e.id, items) },
			func(data []byte, _ bool) {
				e.sim.broker.append(e.sim.broker.attempts[id], data)
			}),
	}
	e.lanes[id] = l
	return l
}

// answer sends the operation's answer on its way, once.
func (e *edgeProcess) answer(o *operation) {
	if !e.open[o] {
		return
	}
	delete(e.open, o)
	e.sim.answered(o)
}

func (e *edgeProcess) begin(o *operation) {
	e.open[o] = true
	e.order = append(e.order, o)
}

// checkout carries out a checkout's actions.
func (e *edgeProcess) checkout(o *operation) {
	e.begin(o)
	s := e.sim.broker.listed[o.sale].Sale
	e.in(e.w.between(20*time.Microsecond, time.Millisecond), func() {
		var f flow.Checkout
		f.Known(e.sim.cache.ask(&rejection.Question{Sale: s.UUID, Item: o.item, User: o.user}).Reason, false)
		a := wire.Attempt{At: e.w.now, Sale: s.ID, User: string(o.user), Item: o.item.String(), Outcome: f.Outcome}
		e.sim.lastAttempt++
		binary.BigEndian.PutUint64(a.ID[:], e.sim.lastAttempt)
		var text string
		if f.Outcome == wire.Issued {
			var nonce code.Nonce
			binary.BigEndian.PutUint64(nonce[:], e.sim.lastAttempt)
			a.Expires = e.w.now + sale.Instant(e.sim.cfg.CodeTTL.Microseconds())
			var signed code.Verified
			text, signed = e.sim.keys.Sign(code.Claims{Sale: s.UUID, Item: o.item, User: o.user, Expires: a.Expires}, nonce)
			a.Code = signed.ID
		}
		o.attempt, o.outcome = a.ID, a.Outcome
		act := func(next flow.Action) {
			if !e.open[o] || next == flow.Wait {
				return
			}
			if o.unqueued = next == flow.Unqueued; !o.unqueued {
				o.text = text
			}
			e.answer(o)
		}
		done := func(err error) { act(f.Stored(err)) }
		act(f.Submitted(e.lane(s.ID).attempts.add(a, wire.AttemptSize, done)))
		e.in(edge.DefaultConfig().CheckoutWait, func() { done(errNotQueued) })
	})
}

var errNotQueued = errors.New("simulated: not known to be queued in time")

// purchaseOp is a purchase under way at an edge.
type purchaseOp struct {
	o      *operation
	flow   flow.Purchase
	number uint64
	over   bool
	// looking: the ledger is being asked, and nothing but a reply counts meanwhile.
	looking bool
}

// purchase carries out a purchase's actions.
func (e *edgeProcess) purchase(o *operation) {
	e.begin(o)
	v, err := e.sim.keys.Verify(o.text)
	if err != nil {
		e.sim.violatef("a valid code was refused")
		return
	}
	p := &purchaseOp{o: o}
	e.in(e.w.between(20*time.Microsecond, time.Millisecond), func() {
		known := e.sim.cache.ask(&rejection.Question{Sale: v.Sale, Item: v.Item, User: v.User, Code: v.ID})
		e.act(p, v, p.flow.Known(known.Reason, known.Ours))
	})
}

// submit queues a purchase's request.
func (e *edgeProcess) submit(p *purchaseOp, v code.Verified) {
	number, err := e.waiting.Add(v.ID, p)
	p.number = number
	if err == nil {
		err = e.lane(p.o.sale).requests.add(allocation.Request{Number: number, Code: v.ID, Item: v.Item, User: v.User, Expires: v.Expires},
			wire.RequestSize, func(err error) {
				if !p.over && !p.looking {
					e.act(p, v, p.flow.Stored(err))
				}
			})
	}
	e.act(p, v, p.flow.Submitted(err))
	e.in(edge.DefaultConfig().PurchaseWait, func() {
		if !p.over && !p.looking {
			e.act(p, v, p.flow.TimedOut(errNotQueued))
		}
	})
}

// look asks the ledger for the purchase's code.
func (e *edgeProcess) look(p *purchaseOp, v code.Verified) {
	p.looking = true
	e.in(e.w.between(100*time.Microsecond, 5*time.Millisecond), func() {
		if p.looking = false; !p.over {
			e.act(p, v, p.flow.Looked(e.sim.book.verdict(p.o.sale, &v)))
		}
	})
}

// act carries out an action, or answers where it ends the purchase.
func (e *edgeProcess) act(p *purchaseOp, v code.Verified, a flow.Action) {
	switch {
	case p.over:
	case a == flow.Look:
		e.look(p, v)
	case a == flow.Submit:
		e.submit(p, v)
	case a >= flow.Refused:
		p.over = true
		e.waiting.Remove(p.number)
		p.o.end, p.o.reason, p.o.reply = a, p.flow.Reason, p.flow.Reply
		e.answer(p.o)
	}
}
