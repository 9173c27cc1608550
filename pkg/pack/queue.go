package pack

import (
	"context"
	"errors"
	"fmt"
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

// ErrUnwanted is wrapped by a Sender's error when nobody wants the pack stored any
// more: it was not sent, and is not sent again whatever became of it before.
var ErrUnwanted = errors.New("pack: nobody wants the pack stored")

// Limits bounds a queue. All are positive.
type Limits struct {
	Items    int           // items in one pack
	Bytes    int           // bytes in one pack, by the sizes given to Add
	Queued   int           // items waiting, the pack in flight included
	Patience time.Duration // how long a pack is sent, again while its fate is unknown
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
// block until the context ends, with the pack's patience at the latest, and must
// not keep the slice. nil: every item is
// stored. An error that wraps ErrAmbiguous: perhaps. Any other: none is.
type Sender[T any] func(ctx context.Context, items []T) error

// Queue is a coalescing queue, safe for any number of callers.
type Queue[T any] struct {
	limits Limits
	send   Sender[T]
	ctx    context.Context // ends when Close gives up
	cancel context.CancelFunc
	idle   sync.WaitGroup // one count while a goroutine sends

	mu      sync.Mutex
	buffer  *Buffer[T] // guarded by mu
	running bool       // guarded by mu
	closed  bool       // guarded by mu
}

// New returns a queue that sends with send. It holds no goroutine while idle.
func New[T any](limits Limits, send Sender[T]) *Queue[T] {
	ctx, cancel := context.WithCancel(context.Background()) //nolint:gosec // Close calls it
	return &Queue[T]{limits: limits, send: send, ctx: ctx, cancel: cancel, buffer: NewBuffer[T](limits)}
}

// Add queues an item of the given size in bytes and returns the ticket of its
// pack, or ErrFull or ErrClosed. It never blocks.
func (q *Queue[T]) Add(item T, size int) (*Ticket, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, ErrClosed
	}
	ticket, err := q.buffer.Add(item, size)
	if err != nil {
		return nil, err
	}
	if !q.running {
		q.running = true
		q.idle.Add(1)
		go q.run()
	}
	return ticket, nil
}

// run sends packs until none is left.
func (q *Queue[T]) run() {
	defer q.idle.Done()
	for items := q.next(); items != nil; items = q.next() {
		err := q.deliver(items)
		q.mu.Lock()
		q.buffer.Settle(err)
		q.mu.Unlock()
	}
}

func (q *Queue[T]) next() []T {
	q.mu.Lock()
	defer q.mu.Unlock()
	items := q.buffer.Next()
	q.running = items != nil
	return items
}

// Fate is what is known of a pack when this try, of so many, has ended. There was
// an earlier try only where that may have stored the pack: that a later one fails
// for certain, as where the connection is not back yet, says nothing of it.
func Fate(err error, tries int) error {
	if err != nil && tries > 1 && !errors.Is(err, ErrAmbiguous) {
		return fmt.Errorf("%w: %w", ErrAmbiguous, err)
	}
	return err
}

// Again says whether a pack of this fate is sent once more, and after which pause:
// only one whose fate is unknown, which somebody wants, and only while patience
// lasts. tries are the sends so far, spent is the time since the first.
func (l Limits) Again(fate error, tries int, spent time.Duration) (pause time.Duration, again bool) {
	pause = min(firstBackoff<<min(tries-1, 10), lastBackoff)
	return pause, errors.Is(fate, ErrAmbiguous) && !errors.Is(fate, ErrUnwanted) && spent+pause <= l.Patience
}

// deliver sends one pack, again while its fate is unknown. A try may last as long
// as patience does: a slow acknowledgement is no lost one.
func (q *Queue[T]) deliver(items []T) error {
	ctx, cancel := context.WithTimeout(q.ctx, q.limits.Patience)
	defer cancel()
	started := time.Now()
	for tries := 1; ; tries++ {
		err := Fate(q.send(ctx, items), tries)
		backoff, again := q.limits.Again(err, tries, time.Since(started))
		if !again {
			return err
		}
		pause := time.NewTimer(backoff)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return err
		}
	}
}

// Queued returns how many items wait, the pack in flight included.
func (q *Queue[T]) Queued() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.buffer.Queued()
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
