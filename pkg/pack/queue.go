package pack

import (
	"context"
	"errors"
	"sync"
	"time"
)

// ErrFull says that the queue holds as many items as it may. Nothing was
// queued; try again later.
var ErrFull = errors.New("pack: queue is full")

// ErrClosed says that the queue takes no more items. Nothing was queued.
var ErrClosed = errors.New("pack: queue is closed")

// ErrAmbiguous is wrapped by a Sender's error when the pack may have been
// stored all the same.
var ErrAmbiguous = errors.New("pack: it is not known whether the pack was stored")

// Limits bounds a queue. All are positive.
type Limits struct {
	Items    int           // items in one pack
	Bytes    int           // bytes in one pack, by the sizes given to Add
	Queued   int           // items waiting, the pack in flight included
	Patience time.Duration // how long an ambiguous pack is sent again
}

// DefaultLimits are the design's: at most 1,000 requests and 512 KiB in a
// pack. Queued is eight full packs, which drain in under 100 ms at the measured
// rate; more would only wait. Patience is the time after which nobody waits
// any more.
func DefaultLimits() Limits {
	return Limits{Items: 1000, Bytes: 500 << 10, Queued: 8000, Patience: 5 * time.Second}
}

// Backoff between two sends of one ambiguous pack, doubled each time.
const (
	firstBackoff = 20 * time.Millisecond
	lastBackoff  = 500 * time.Millisecond
)

// Sender stores a pack durably. It is called by one goroutine at a time, may
// block until the context ends, and must not keep the slice. nil: every item is
// stored. An error that wraps ErrAmbiguous: perhaps. Any other: none is.
type Sender[T any] func(ctx context.Context, items []T) error

// Ticket is the future of all items of one pack.
type Ticket struct {
	done chan struct{}
	err  error // written once by the sending goroutine, before done is closed
}

// Done is closed when the pack's fate is known.
func (t *Ticket) Done() <-chan struct{} { return t.done }

// Err returns what became of the pack, nil when it is stored. It may be called
// only after Done is closed.
func (t *Ticket) Err() error { return t.err }

type batch[T any] struct {
	items  []T
	bytes  int
	ticket *Ticket
}

// Queue is a coalescing queue, safe for any number of callers.
type Queue[T any] struct {
	limits Limits
	send   Sender[T]
	ctx    context.Context // ends when Close gives up
	cancel context.CancelFunc
	idle   sync.WaitGroup // one count while a goroutine sends

	mu      sync.Mutex
	packs   []*batch[T] // oldest first; the last may still grow
	queued  int
	running bool
	closed  bool
}

// New returns a queue that sends with send. It holds no goroutine while idle.
func New[T any](limits Limits, send Sender[T]) *Queue[T] {
	ctx, cancel := context.WithCancel(context.Background()) //nolint:gosec // Close calls it
	return &Queue[T]{limits: limits, send: send, ctx: ctx, cancel: cancel}
}

// Add queues an item of the given size in bytes and returns the ticket of its
// pack, or ErrFull or ErrClosed. It never blocks.
func (q *Queue[T]) Add(item T, size int) (*Ticket, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, ErrClosed
	}
	if q.queued >= q.limits.Queued {
		return nil, ErrFull
	}
	q.queued++
	b := q.open(size)
	b.items = append(b.items, item)
	b.bytes += size
	if !q.running {
		q.running = true
		q.idle.Add(1)
		go q.run()
	}
	return b.ticket, nil
}

// open returns a pack that has room for one more item of the size.
func (q *Queue[T]) open(size int) *batch[T] {
	if n := len(q.packs); n > 0 {
		b := q.packs[n-1]
		if len(b.items) < q.limits.Items && b.bytes+size <= q.limits.Bytes {
			return b
		}
	}
	b := &batch[T]{ticket: &Ticket{done: make(chan struct{})}}
	q.packs = append(q.packs, b)
	return b
}

// run sends packs until none is left.
func (q *Queue[T]) run() {
	defer q.idle.Done()
	for b := q.next(); b != nil; b = q.next() {
		err := q.deliver(b.items)
		q.mu.Lock()
		q.queued -= len(b.items) // before the tickets, whose holders may come again at once
		q.mu.Unlock()
		b.ticket.err = err
		close(b.ticket.done)
	}
}

// next takes the oldest pack out of the queue, so that it grows no more.
func (q *Queue[T]) next() *batch[T] {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.packs) == 0 {
		q.packs = nil
		q.running = false
		return nil
	}
	b := q.packs[0]
	q.packs[0] = nil
	q.packs = q.packs[1:]
	return b
}

// deliver sends one pack, again while its fate is unknown.
func (q *Queue[T]) deliver(items []T) error {
	deadline := time.Now().Add(q.limits.Patience)
	for backoff := firstBackoff; ; backoff = min(2*backoff, lastBackoff) {
		err := q.send(q.ctx, items)
		if err == nil || !errors.Is(err, ErrAmbiguous) || time.Now().Add(backoff).After(deadline) {
			return err
		}
		pause := time.NewTimer(backoff)
		select {
		case <-pause.C:
		case <-q.ctx.Done():
			pause.Stop()
			return err
		}
	}
}

// Queued returns how many items wait, the pack in flight included.
func (q *Queue[T]) Queued() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.queued
}

// Close refuses new items and waits until all queued ones are sent. When the
// context ends first, sends are broken off and their tickets get an error.
func (q *Queue[T]) Close(ctx context.Context) error {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	sent := make(chan struct{})
	go func() {
		q.idle.Wait()
		close(sent)
	}()
	defer q.cancel()
	select {
	case <-sent:
		return nil
	case <-ctx.Done():
		q.cancel()
		<-sent
		return ctx.Err()
	}
}
