package shop

import (
	"slices"
	"sync"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/host"
	"notsale/pkg/wire"
)

// waiters are the purchases of this shop that wait for their decisions, by request
// number. Safe for any number of callers.
type waiters struct {
	limit int

	mu   sync.Mutex
	last uint64            // guarded by mu
	open map[uint64]waiter // guarded by mu
}

type waiter struct {
	code  code.ID
	inbox host.Inbox
}

func newWaiters(limit int) *waiters { return &waiters{limit: limit, open: map[uint64]waiter{}} }

// add registers a purchase before its request is published, and returns the
// request's number, or ErrCrowded.
func (w *waiters) add(id code.ID, inbox host.Inbox) (number uint64, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.open) >= w.limit {
		return 0, ErrCrowded
	}
	w.last++
	w.open[w.last] = waiter{id, inbox}
	return w.last, nil
}

// remove forgets a purchase that waits no more.
func (w *waiters) remove(number uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.open, number)
}

// any reports whether someone waits for one of the requests.
func (w *waiters) any(requests []allocation.Request) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(requests, func(r allocation.Request) bool {
		_, waits := w.open[r.Number]
		return waits
	})
}

// deliver hands replies to their purchases, each of which waits no more. A reply
// whose purchase is gone, or that speaks of another code, is dropped.
func (w *waiters) deliver(replies []wire.Reply) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range replies {
		if one, ok := w.open[replies[i].Number]; ok && one.code == replies[i].Code {
			delete(w.open, replies[i].Number)
			one.inbox.Put(replies[i])
		}
	}
}

func (w *waiters) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.open)
}
