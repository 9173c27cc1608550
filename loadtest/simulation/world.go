package simulation

import (
	"container/heap"
	"encoding/binary"
	"fmt"
	"hash"
	"hash/fnv"
	"math/rand/v2"
	"time"

	"notsale/pkg/sale"
)

// epoch is when the virtual clock starts: 2026-01-01T00:00:00Z.
const epoch = sale.Instant(1_767_225_600_000_000)

// world is the virtual clock and what will happen.
type world struct {
	rng   *rand.Rand
	now   sale.Instant
	queue events
	last  uint64 // number of the last event queued

	current *task   // that runs
	idle    []*task // coroutines that have nothing to do

	trace     hash.Hash64
	lines     []string // the trace as text, when asked for
	verbose   bool
	sometimes map[Sometimes]int
	crashes   int
}

func newWorld(seed uint64) *world {
	return &world{
		rng: rand.New(rand.NewPCG(seed, 0x6e6f7473616c65)), //nolint:gosec // a simulation must be repeatable
		now: epoch, trace: fnv.New64a(), sometimes: map[Sometimes]int{},
	}
}

// occurrence is something that will happen.
type occurrence struct {
	at     sale.Instant
	number uint64
	do     func()
}

type events []occurrence //nolint:recvcheck // heap.Interface: two methods change the slice itself

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].number < e[j].number
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(occurrence)) } //nolint:forcetypeassert // only occurrences are pushed
func (e *events) Pop() any {
	old := *e
	last := old[len(old)-1]
	old[len(old)-1] = occurrence{}
	*e = old[:len(old)-1]
	return last
}

// in lets something happen after a while.
func (w *world) in(d time.Duration, do func()) {
	w.last++
	heap.Push(&w.queue, occurrence{w.now + sale.Instant(d.Microseconds()), w.last, do})
}

// run lets things happen until nothing is left, the deadline is reached, or it is
// over.
func (w *world) run(until sale.Instant, over func() bool) {
	for len(w.queue) > 0 && w.queue[0].at <= until && !over() {
		o := heap.Pop(&w.queue).(occurrence) //nolint:forcetypeassert // only occurrences are pushed
		w.now = o.at
		o.do()
	}
}

// note adds to the trace. what must be a constant, numbers tell the rest.
func (w *world) note(what string, numbers ...int64) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(w.now))
	w.trace.Write(b[:])
	w.trace.Write([]byte(what))
	for _, n := range numbers {
		binary.LittleEndian.PutUint64(b[:], uint64(n))
		w.trace.Write(b[:])
	}
	if w.verbose {
		w.lines = append(w.lines, fmt.Sprintf("%12.6f %s %v", float64(w.now-epoch)/1e6, what, numbers))
	}
}

// between draws a duration.
func (w *world) between(low, high time.Duration) time.Duration {
	return low + time.Duration(w.rng.Int64N(int64(high-low)+1))
}

// oneIn is true once in n times on average; never for n = 0.
func (w *world) oneIn(n int) bool { return n > 0 && w.rng.IntN(n) == 0 }

// service is a dependency that can be away.
type service struct {
	w    *world
	down sale.Instant // away until then
	away error        // what a call gets meanwhile
}

func (s *service) up() bool { return s.w.now >= s.down }

// answers is nil, or the error of a service that is away.
func (s *service) answers() error {
	if !s.up() {
		return s.away
	}
	return nil
}
