package flow

import (
	"errors"

	"notsale/pkg/code"
	"notsale/pkg/planted"
	"notsale/pkg/wire"
)

// ErrCrowded says that as many purchases wait as may.
var ErrCrowded = errors.New("edge: too many purchases wait")

// Waiting is the purchases of one edge that wait for their decisions, by
// request number. It is not safe for concurrent use.
type Waiting[T any] struct {
	limit int
	last  uint64
	open  map[uint64]waiter[T]
}

type waiter[T any] struct {
	code  code.ID
	value T
}

// NewWaiting returns an empty set of at most limit purchases.
func NewWaiting[T any](limit int) *Waiting[T] {
	return &Waiting[T]{limit: limit, open: map[uint64]waiter[T]{}}
}

// Add registers a purchase before its request is published, and returns the
// request's number, or ErrCrowded.
func (w *Waiting[T]) Add(id code.ID, value T) (uint64, error) {
	if len(w.open) >= w.limit {
		return 0, ErrCrowded
	}
	w.last++
	w.open[w.last] = waiter[T]{code: id, value: value}
	return w.last, nil
}

// Remove forgets a purchase that waits no more.
func (w *Waiting[T]) Remove(number uint64) { delete(w.open, number) }

// Waits reports whether the purchase of this number waits.
func (w *Waiting[T]) Waits(number uint64) bool {
	_, waits := w.open[number]
	return waits
}

// Deliver hands each reply to its purchase. A reply whose purchase is gone, or
// that speaks of another code, is dropped.
func (w *Waiting[T]) Deliver(replies []wire.Reply, hand func(T, wire.Reply)) {
	if planted.Bug == planted.PackIndexIgnored && len(replies) > 0 {
		for i := range replies {
			replies[i] = wire.Reply{
				Number: replies[i].Number, Code: replies[i].Code,
				Position: replies[0].Position, Reason: replies[0].Reason, At: replies[0].At,
			}
		}
	}
	for i := range replies {
		if one, ok := w.open[replies[i].Number]; ok && one.code == replies[i].Code {
			hand(one.value, replies[i])
		}
	}
}

// Len returns how many purchases wait.
func (w *Waiting[T]) Len() int { return len(w.open) }
