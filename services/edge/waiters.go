package edge

import (
	"errors"
	"sync"

	"notsale/pkg/code"
	"notsale/pkg/wire"
)

// errCrowded says that as many purchases wait as may.
var errCrowded = errors.New("edge: too many purchases wait")

// waiter is a purchase that waits for its decision.
type waiter struct {
	number uint64
	code   code.ID
	reply  chan wire.Reply // room for one: deliver never blocks
}

// waiters are the purchases of this edge that wait, by request number.
type waiters struct {
	limit int
	mu    sync.Mutex
	last  uint64             // guarded by mu
	open  map[uint64]*waiter // guarded by mu
}

func newWaiters(limit int) *waiters { return &waiters{limit: limit, open: map[uint64]*waiter{}} }

// add registers a purchase before its request is published.
func (w *waiters) add(id code.ID) (*waiter, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.open) >= w.limit {
		return nil, errCrowded
	}
	w.last++
	one := &waiter{number: w.last, code: id, reply: make(chan wire.Reply, 1)}
	w.open[one.number] = one
	return one, nil
}

func (w *waiters) remove(one *waiter) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.open, one.number)
}

// deliver hands replies to their waiters. A reply whose waiter is gone, or that
// speaks of another code, is dropped; so is one that comes twice.
func (w *waiters) deliver(replies []wire.Reply) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range replies {
		one, ok := w.open[replies[i].Number]
		if !ok || one.code != replies[i].Code {
			continue
		}
		select {
		case one.reply <- replies[i]:
		default:
		}
	}
}

func (w *waiters) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.open)
}
