package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"notsale/pkg/allocation"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
)

// Collector is an auditor.Watcher that keeps what a page shows. The zero value
// is ready; it has one user at a time.
type Collector struct {
	// WithUsers says whether the page may name users.
	WithUsers bool

	record
}

// record is what one run of an audit has told. Offsets are microseconds since
// the first request.
type record struct {
	sale     sale.Sale
	state    sale.State
	openedAt sale.Instant // the stream's time of the opening record
	cursor   allocation.Cursor

	begun  bool
	first  sale.Instant // of the first request
	latest int64        // offset of the last one

	outcomes [outcomes]int64
	unproved int64    // decisions among them that lie in holes
	rush     timeline // until shortly after the last item was sold
	whole    timeline // all of it
	curve    curve
	peak     peak
	race     []contest // by item

	waits      waits // of requests, from the stream's time to the commit's
	unmeasured int64 // requests whose commit is not known
	pending    pending

	commitPacks, commitRequests, commitDecisions sizes
	packRequests, packBytes                      sizes
	edges                                        map[string]*edge
	moreEdges                                    edge // those that have no place in edges

	epoch     int64 // of the last commit; 0: none yet
	committed time.Time
	incidents []incident
	takeovers int
	holes     int
}

// edge is what came from one edge.
type edge struct {
	Name            string
	Packs, Requests int64
}

// maxEdges bounds how many edges are told apart: anybody who may publish can
// make names up.
const maxEdges = 256

// pending are the packs since the last commit.
type pending struct {
	list             []packed // at most maxPending
	packs            int64
	requests, decide int64
}

type packed struct {
	at       sale.Instant // the stream's time, which may go back
	offset   int64
	requests int64
}

// maxPending bounds the packs that wait for their commit: all of a stream's, if
// the ledger has lost its commits. What is beyond it is not measured.
const maxPending = 1 << 16

// maxIncidents bounds how many takeovers and holes are kept; all are counted.
const maxIncidents = 64

// incident is a takeover or a hole.
type incident struct {
	Name   string    // T1 of the first takeover, H1 of the first hole
	At     time.Time // Postgres's clock
	Offset int64
	pause  time.Duration // since the commit before; 0: not known
	from   int64         // epoch before
	to     int64
	hole   *hole // nil: a takeover
}

type hole struct {
	generation int64
	messages   uint64 // that were decided and are lost
	unproved   int64
}

// curve is when how much was sold.
type curve struct {
	stock, sold int
	last        int64   // offset of the last sale
	times       []int64 // when step i+1 was reached
}

// curveSteps is how many points a curve has at most.
const curveSteps = 400

func (c *curve) steps() int { return min(c.stock, curveSteps) }

// level returns how many items are sold when step i is reached, from 1.
func (c *curve) level(i int) int { return (i*c.stock + c.steps() - 1) / max(c.steps(), 1) }

func (c *curve) sell(offset int64) {
	c.sold++
	c.last = max(c.last, offset)
	for len(c.times) < c.steps() && c.sold >= c.level(len(c.times)+1) {
		c.times = append(c.times, c.last)
	}
}

// soldOut reports when the last item was sold.
func (c *curve) soldOut() (offset int64, ok bool) {
	if c.stock == 0 || len(c.times) < c.steps() {
		return 0, false
	}
	return c.times[len(c.times)-1], true
}

// peak finds the busiest peakWidth.
type peak struct {
	slot, n, most int64
}

const peakWidth = 100 * time.Millisecond

func (p *peak) add(offset, n int64) {
	if slot := offset / peakWidth.Microseconds(); slot != p.slot {
		p.slot, p.n = slot, 0
	}
	p.n += n
	p.most = max(p.most, p.n)
}

// perSecond returns the rate of the busiest one.
func (p *peak) perSecond() int64 { return p.most * int64(time.Second/peakWidth) }

// Opened starts anew.
func (c *Collector) Opened(o *stream.Opening, s *ledger.Snapshot) {
	c.record = record{
		sale: o.Sale, state: s.Sale.State, openedAt: o.Message.Time, cursor: s.Position.Cursor,
		rush: newTimeline(), whole: newTimeline(), curve: curve{stock: o.Sale.Stock},
		race: make([]contest, o.Sale.Stock), edges: map[string]*edge{}, waits: waits{fine: true},
	}
}

// longestSale is the longest time from the first request to the last one, in
// microseconds: a row may name any time.
const longestSale = 1 << 60

// offset returns the time since the first request; never less than before.
func (c *record) offset(at sale.Instant) int64 {
	if !c.begun {
		c.begun, c.first = true, at
	}
	c.latest = max(c.latest, min(int64(at-c.first), longestSale))
	return c.latest
}

// Packed adds a pack and what was decided on it.
func (c *Collector) Packed(m *stream.Message, p *allocation.Pack, b *allocation.Batch) {
	at, n := c.offset(p.Time), int64(len(p.Requests))
	for i := range b.Decisions {
		c.decide(&b.Decisions[i], at)
	}
	c.count(askedAgain, at, n-int64(len(b.Decisions)))
	c.peak.add(at, n)
	c.packRequests.add(n)
	c.packBytes.add(int64(len(m.Data)))
	from := c.edge(p.Edge)
	from.Packs++
	from.Requests += n
	c.pending.packs++
	c.pending.requests += n
	c.pending.decide += int64(len(b.Decisions))
	if len(c.pending.list) < maxPending {
		c.pending.list = append(c.pending.list, packed{at: p.Time, offset: at, requests: n})
	}
}

func (c *record) edge(name string) *edge {
	e := c.edges[name]
	if e == nil && len(c.edges) >= maxEdges {
		return &c.moreEdges
	}
	if e == nil {
		e = &edge{Name: strings.Clone(name)}
		c.edges[e.Name] = e
	}
	return e
}

// decide adds a new decision.
func (c *record) decide(d *allocation.Decision, offset int64) {
	c.count(outcomeOf(d.Reason), offset, 1)
	if c.sale.Contains(d.Item) {
		c.race[d.Item-c.sale.FirstItem].decide(d)
	}
	if d.Reason != allocation.Granted {
		return
	}
	c.curve.sell(offset)
	if end, ok := c.curve.soldOut(); ok && c.rush.end == 0 {
		c.rush.end = end + end/4 + c.rush.width
	}
}

// requests is how many outcomes there are.
func (c *record) requests() (total int64) {
	for _, n := range c.outcomes {
		total += n
	}
	return total
}

func (c *record) count(o outcome, offset, n int64) {
	if n <= 0 {
		return
	}
	c.outcomes[o] += n
	c.whole.at(offset).outcomes[o] += n
	if m := c.rush.at(offset); m != nil {
		m.outcomes[o] += n
	}
}

// Committed measures the packs since the commit before.
func (c *Collector) Committed(l *ledger.CommitRow) {
	c.term(l.Epoch, l.At)
	p := &c.pending
	measured := int64(0)
	for _, pack := range p.list {
		wait := int64(sale.InstantOf(l.At) - pack.at)
		c.waits.add(wait, pack.requests)
		if m := c.rush.at(pack.offset); m != nil {
			m.waits.add(wait, pack.requests)
		}
		measured += pack.requests
	}
	c.unmeasured += p.requests - measured
	c.commitPacks.add(p.packs)
	c.commitRequests.add(p.requests)
	c.commitDecisions.add(p.decide)
	c.committed = l.At
	*p = pending{list: p.list[:0]}
}

// term notes which allocator decides.
func (c *record) term(epoch int64, at time.Time) {
	if c.epoch != 0 && c.epoch != epoch {
		c.takeovers++
		taken := incident{Name: fmt.Sprintf("T%d", c.takeovers), At: at, from: c.epoch, to: epoch}
		if !c.committed.IsZero() {
			taken.pause = at.Sub(c.committed)
		}
		c.note(taken)
	}
	c.epoch = epoch
}

func (c *record) note(i incident) {
	i.Offset = int64(sale.InstantOf(i.At) - c.first)
	if len(c.incidents) < maxIncidents {
		c.incidents = append(c.incidents, i)
	}
}

// Lost adds a hole and what the ledger says was decided in it.
func (c *Collector) Lost(h *ledger.HoleRow, unproved []allocation.Decision) {
	for i := range unproved {
		c.decide(&unproved[i], c.offset(unproved[i].At))
	}
	c.unproved += int64(len(unproved))
	c.term(h.Epoch, h.FoundAt)
	c.holes++
	lost := h.CursorSequence - min(h.Matching, h.CursorSequence)
	c.note(incident{Name: fmt.Sprintf("H%d", c.holes), At: h.FoundAt, from: h.Epoch, to: h.Epoch, hole: &hole{generation: h.Generation, messages: lost, unproved: int64(len(unproved))}})
	c.unmeasured += c.pending.requests
	c.pending = pending{list: c.pending.list[:0]}
}

// span is how much of the time the charts show: to the end of the moment of the
// last request, or until shortly after the last item was sold.
func (c *record) span() int64 {
	if c.rush.end > 0 {
		return min(c.rush.until(c.latest), c.rush.end)
	}
	return c.rush.until(c.latest)
}

// busiest returns the edges, those with most requests first.
func (c *record) busiest() []*edge {
	list := make([]*edge, 0, len(c.edges))
	for _, e := range c.edges {
		list = append(list, e)
	}
	slices.SortFunc(list, func(x, y *edge) int {
		return cmp.Or(cmp.Compare(y.Requests, x.Requests), strings.Compare(x.Name, y.Name))
	})
	return list
}
