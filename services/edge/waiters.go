package edge

import (
	"slices"
	"sync"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/wire"
	"notsale/services/edge/flow"
)

// waiter is a purchase that waits for its decision.
type waiter struct {
	number uint64
	code   code.ID
	reply  chan wire.Reply // room for one: deliver never blocks
}

// waiters are the purchases of this edge that wait.
type waiters struct {
	mu   sync.Mutex
	open *flow.Waiting[*waiter] // guarded by mu
}

func newWaiters(limit int) *waiters { return &waiters{open: flow.NewWaiting[*waiter](limit)} }

// add registers a purchase before its request is published.
func (w *waiters) add(id code.ID) (*waiter, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	one := &waiter{code: id, reply: make(chan wire.Reply, 1)}
	var err error
	one.number, err = w.open.Add(id, one)
	return one, err
}

func (w *waiters) remove(one *waiter) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open.Remove(one.number)
}

// any reports whether someone waits for one of the requests.
func (w *waiters) any(requests []allocation.Request) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(requests, func(r allocation.Request) bool { return w.open.Waits(r.Number) })
}

// deliver hands replies to their waiters; one that comes twice is dropped.
func (w *waiters) deliver(replies []wire.Reply) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open.Deliver(replies, func(one *waiter, r wire.Reply) {
		select {
		case one.reply <- r:
		default:
		}
	})
}

func (w *waiters) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.open.Len()
}
