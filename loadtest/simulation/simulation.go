package simulation

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"notsale/pkg/code"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
)

// Result of a run.
type Result struct {
	Config     Config
	Trace      uint64 // hash of every event; the same for the same configuration
	Violations []string
	Sometimes  map[Sometimes]int
	Crashes    int
	Points     map[string]int // processes that crashed at each point
	Sold       int
	Answers    int      // final answers to purchases
	Lines      []string // the trace as text, if it was asked for
}

type simulation struct {
	w    *world
	cfg  Config
	keys *code.Keyring

	book   *book
	broker *broker
	cache  *cache

	processes []*process // all, in the order of their starts
	edges     []*edgeProcess

	shopping         int // shoppers under way
	lastBusy         sale.Instant
	drawn            uint64 // of the edges' random numbers
	armed            []*armed
	points           map[string]int
	codes            map[code.ID]*codeHistory
	codeOrder        []code.ID
	answeredAttempts []*operation
	violations       []string
}

// Times of a run.
const (
	healed   = epoch + 14_000_000 // every fault is over
	sweepAt  = 15 * time.Second   // the rest is bought, so that the sale must sell out
	recallAt = 32 * time.Second   // all winners ask again
	runUntil = 60 * time.Second
	settle   = 5 * time.Second // after which nobody has anything left to do
)

// Run runs one configuration to its end.
func Run(cfg Config, verbose bool) Result { return run(cfg, verbose).result() }

func run(cfg Config, verbose bool) *simulation {
	s := &simulation{w: newWorld(cfg.Seed), cfg: cfg, codes: map[code.ID]*codeHistory{}, points: map[string]int{}}
	s.w.verbose = verbose
	s.keys = keyring()
	s.book, s.broker, s.cache = newBook(s.w), newBroker(s.w, cfg.Lossy), newCache(s.w)
	s.book.rules = sale.RulesVersion - int(cfg.Seed%2) // old sales go on under the rules of their time
	s.startProcesses()
	for _, f := range cfg.Faults {
		s.w.in(f.At, func() {
			if f.Point != "" {
				s.arm(f)
				return
			}
			s.strike(f)
		})
	}
	for n := range cfg.Shoppers {
		s.shopping++
		p := &shopper{sim: s, n: n, tries: cfg.Purchases}
		s.w.in(s.w.between(0, 500*time.Millisecond), p.next)
	}
	s.w.in(sweepAt, s.sweep)
	s.w.in(recallAt, s.recall)
	s.w.run(epoch+sale.Instant(runUntil.Microseconds()), s.settled)
	s.checkEnd()
	s.stop()
	return s
}

// settled reports whether all shoppers ended a while ago.
func (s *simulation) settled() bool {
	if s.shopping > 0 || s.w.now < epoch+sale.Instant(recallAt.Microseconds()) || s.book.opening() {
		s.lastBusy = s.w.now
	}
	return s.w.now-s.lastBusy > sale.Instant(settle.Microseconds())
}

// stop ends all processes: no coroutine is left.
func (s *simulation) stop() {
	for _, p := range s.processes {
		p.end()
	}
	for _, t := range s.w.idle {
		t.stop()
	}
}

func (s *simulation) result() Result {
	r := Result{
		Config: s.cfg, Trace: s.w.trace.Sum64(), Violations: s.violations, Sometimes: s.w.sometimes, Crashes: s.w.crashes, Points: s.points,
		Answers: len(s.codes), Lines: s.w.lines,
	}
	if len(s.book.sales) > 0 {
		r.Sold = s.book.sales[0].pos.Cursor.Sold
	}
	return r
}

func keyring() *code.Keyring {
	ring, err := code.NewKeyring([]code.Key{{ID: 1, Secret: bytes.Repeat([]byte("k"), code.MinSecret)}})
	if err != nil {
		panic(err)
	}
	return ring
}

func (s *simulation) startProcesses() {
	start := func(role string, n int, run func(*process)) *process {
		p := &process{w: s.w, sim: s, role: role, name: fmt.Sprintf("%s%d", role, n), run: run}
		s.processes = append(s.processes, p)
		return p
	}
	for n := range s.cfg.Edges {
		e := &edgeProcess{}
		e.process = start("edge", n, e.live)
		s.edges = append(s.edges, e)
	}
	for n := range s.cfg.Allocators {
		start("allocator", n, allocate)
	}
	for n := range 2 {
		start("scheduler", n, schedule)
	}
	for n := range 2 {
		start("recorder", n, record)
	}
	for _, p := range s.processes {
		p.boot()
	}
}

// process returns one of those of a role.
func (s *simulation) process(role string, n int) *process {
	of := slices.DeleteFunc(slices.Clone(s.processes), func(p *process) bool { return p.role != role })
	return of[n%len(of)]
}

// user returns the name of the n-th user.
func (s *simulation) user(n int) sale.UserID { return sale.UserID(fmt.Sprintf("u%d", n)) }

// deliver brings replies to an edge, if it still lives.
func (s *simulation) deliver(id string, data []byte) {
	for _, e := range s.edges {
		if e.alive && e.shop.ID() == id {
			e.shop.Receive(data)
		}
	}
}

// storePack appends a pack to a sale's stream, if there is one.
func (s *simulation) storePack(id sale.ID, data []byte) bool {
	of := s.broker.sales[id]
	if of == nil {
		return false
	}
	if slices.ContainsFunc(of.messages, func(m stream.Message) bool { return bytes.Equal(m.Data, data) }) {
		s.w.hit(DuplicatePack)
	}
	s.broker.append(of, data)
	s.w.note("pack", int64(id), int64(len(of.messages)), int64(len(data)))
	return true
}

// strike lets a fault happen.
func (s *simulation) strike(f Fault) {
	until := min(s.w.now+sale.Instant(f.Length.Microseconds()), healed)
	away := time.Duration(until-s.w.now) * time.Microsecond
	s.w.note("fault", int64(f.Kind), int64(f.Target), int64(away))
	switch f.Kind {
	case CrashEdge:
		s.process("edge", f.Target).crashFor(away)
	case CrashAllocator:
		s.process("allocator", f.Target).crashFor(away)
	case FreezeAllocator:
		s.process("allocator", f.Target).frozen = until
	case StreamAway, StreamTailLost:
		s.streamAway(f, until)
	case LedgerAway:
		s.book.down = max(s.book.down, until)
	case LedgerSlow:
		s.book.slow = max(s.book.slow, until)
	case CacheAway:
		s.cache.down = until
	case CacheEmptied:
		s.cache.empty()
	case CacheStale:
		s.cache.remember()
		s.w.in(away, s.cache.goBack)
	case StreamClockBack:
		s.broker.skew -= sale.Instant(f.Amount) * 300_000
		s.w.hit(ClockStepped)
	case CrashScheduler:
		s.process("scheduler", f.Target).crashFor(away)
	case CrashRecorder:
		s.process("recorder", f.Target).crashFor(away)
	}
}

func (s *simulation) streamAway(f Fault, until sale.Instant) {
	s.broker.goAway(until)
	if f.Kind != StreamTailLost {
		return
	}
	for _, of := range s.book.sales {
		if m := s.broker.sales[of.row.Sale.ID]; m != nil && len(m.messages)-f.Amount >= int(of.pos.Cursor.Sequence) {
			s.w.hit(TailLostUndecided)
		}
	}
	s.broker.loseTail(f.Amount)
}

// sweep buys what is left of the first sale, so that it must sell out.
func (s *simulation) sweep() {
	if len(s.broker.listed) == 0 {
		s.violatef("the first sale is not open")
		return
	}
	of := s.broker.listed[1].Sale
	for i := range of.Stock {
		s.shopping++
		p := &shopper{sim: s, n: 1000 + i}
		user := sale.UserID(fmt.Sprintf("sweeper%d", i/of.UserLimit))
		var try func()
		try = func() {
			if _, taken := s.book.owners[of.FirstItem+sale.ItemID(i)]; taken {
				s.shopping--
				return
			}
			p.buy(of, of.FirstItem+sale.ItemID(i), user, try)
		}
		s.w.in(s.w.between(0, time.Second), try)
	}
}

// recall lets every winner ask once more.
func (s *simulation) recall() {
	for _, id := range s.codeOrder {
		h := s.codes[id]
		if h.granted == nil {
			continue
		}
		if s.book.sale(h.granted.sale).row.State == sale.SoldOut {
			s.w.hit(WinnerAskedAgain)
		}
		s.shopping++
		o := *h.granted
		var post func()
		post = func() {
			s.ask(&operation{purchase: true, shopper: o.shopper, sale: o.sale, item: o.item, user: o.user, text: o.text, done: func(got *operation) {
				if !got.final() {
					s.w.in(time.Second, post)
					return
				}
				s.shopping--
			}})
		}
		post()
	}
}
