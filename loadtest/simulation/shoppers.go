package simulation

import (
	"time"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/sale"
	"notsale/pkg/wire"
	"notsale/services/edge/shop"
)

// operation is one request of a shopper and its answer.
type operation struct {
	purchase bool
	shopper  int
	sale     sale.ID
	item     sale.ItemID
	user     sale.UserID
	text     string // the code: given to a purchase, got by a checkout
	sent     sale.Instant
	done     func(*operation) // once, when an answer or a reset arrives
	over     bool

	// the answer
	reset    bool
	attempt  sale.UUID
	outcome  wire.Outcome
	unqueued bool
	end      shop.End
	reason   allocation.Reason
	reply    wire.Reply
}

// final reports whether a purchase's answer is final.
func (o *operation) final() bool {
	return !o.reset && (o.end == shop.Refused || o.end == shop.Decided)
}

// verdict is the final answer's reason.
func (o *operation) verdict() allocation.Reason {
	if o.end == shop.Decided {
		return o.reply.Reason
	}
	return o.reason
}

// clientPatience is how long a shopper waits for an answer.
const clientPatience = 8 * time.Second

// ask sends an operation to any edge that lives.
func (s *simulation) ask(o *operation) {
	o.sent = s.w.now
	if o.purchase {
		s.sent(o)
	}
	s.w.in(clientPatience, func() { s.reset(o) })
	e := s.edges[s.w.rng.IntN(len(s.edges))]
	s.w.in(s.w.between(50*time.Microsecond, 2*time.Millisecond), func() {
		if !e.alive {
			s.reset(o)
			return
		}
		e.serve(o)
	})
}

// sent keeps when a code was first sent.
func (s *simulation) sent(o *operation) {
	id := s.codeOf(o)
	if s.codes[id] == nil {
		s.codes[id] = &codeHistory{first: o.sent}
		s.codeOrder = append(s.codeOrder, id)
	}
}

// reset ends an operation without an answer.
func (s *simulation) reset(o *operation) {
	if !o.over {
		o.over, o.reset = true, true
		o.done(o)
	}
}

// answered brings an answer to its shopper, checks it against the ledger as it
// is at this moment, and lets the shopper go on.
func (s *simulation) answered(o *operation) {
	s.check(o)
	s.w.in(s.w.between(50*time.Microsecond, 2*time.Millisecond), func() {
		if !o.over {
			o.over = true
			s.w.note("answer", int64(o.shopper), int64(o.item), int64(o.end), int64(o.verdict()), o.reply.Position)
			s.remember(o)
			o.done(o)
		}
	})
}

// shopper tries to buy, again and again, and retries each code until it has
// its final answer.
type shopper struct {
	sim   *simulation
	n     int
	tries int
}

func (p *shopper) pause(long time.Duration, then func()) { p.sim.w.in(p.sim.w.between(0, long), then) }

// next begins another purchase.
func (p *shopper) next() {
	if p.tries == 0 {
		p.sim.shopping--
		return
	}
	p.tries--
	p.pause(400*time.Millisecond, func() {
		if len(p.sim.broker.listed) == 0 { // the first sale is not open yet
			p.tries++
			p.next()
			return
		}
		id := sale.ID(1 + p.sim.w.rng.IntN(len(p.sim.broker.listed)))
		of := p.sim.broker.listed[id].Sale
		item := of.FirstItem + sale.ItemID(p.sim.w.rng.IntN(of.Stock))
		p.buy(of, item, p.sim.user(p.sim.w.rng.IntN(p.sim.cfg.Users)), p.next)
	})
}

// buy checks out and purchases one item, then goes on.
func (p *shopper) buy(of sale.Sale, item sale.ItemID, user sale.UserID, then func()) {
	p.sim.ask(&operation{shopper: p.n, sale: of.ID, item: item, user: user, done: func(o *operation) {
		if o.reset || o.text == "" {
			p.pause(200*time.Millisecond, then)
			return
		}
		p.pause(300*time.Millisecond, func() { p.post(o, then) })
	}})
}

// post posts a code until it has its final answer; sometimes twice at once, and
// sometimes once more afterwards.
func (p *shopper) post(bought *operation, then func()) {
	again := func(done func(*operation)) *operation {
		return &operation{purchase: true, shopper: p.n, sale: bought.sale, item: bought.item, user: bought.user, text: bought.text, done: done}
	}
	if p.sim.w.oneIn(8) {
		p.sim.ask(again(func(*operation) {}))
	}
	p.sim.ask(again(func(o *operation) {
		switch {
		case !o.final():
			p.pause(700*time.Millisecond, func() { p.post(bought, then) })
		case p.sim.w.oneIn(4):
			p.sim.ask(again(func(*operation) { then() }))
		default:
			then()
		}
	}))
}

// codeOf returns the id of an operation's code.
func (s *simulation) codeOf(o *operation) code.ID {
	v, err := s.keys.Verify(o.text)
	if err != nil {
		s.violatef("a valid code was refused")
	}
	return v.ID
}
