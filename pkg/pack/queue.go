package pack

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"notsale/pkg/host"
)

// ErrFull says that the queue holds as many items as it may. Nothing was
// queued; try again later.
var ErrFull = errors.New("pack: queue is full")

// ErrClosed says that the queue takes no more items. Nothing was queued.
var ErrClosed = errors.New("pack: queue is closed")

// ErrAmbiguous is wrapped by a Sender's error when the pack may have been
// stored all the same.
var ErrAmbiguous = errors.New("pack: it is not known whether the pack was stored")

// ErrLate says that it was not known in time whether an item is stored: it may
// still be.
var ErrLate = errors.New("pack: not known to be stored in time")

// ErrUnwanted is wrapped by a Sender's error when nobody wants the pack stored any
// more: it was not sent now, and is not sent again, whatever earlier tries did.
var ErrUnwanted = errors.New("pack: nobody wants the pack stored")

// Limits bounds a queue. All are positive.
type Limits struct {
	Items    int           // items in one pack
	Bytes    int           // bytes in one pack, by the sizes given to Add
	Queued   int           // items waiting, the pack in flight included
	Patience time.Duration // how long sending a pack may take, repeats included
}

// DefaultLimits are the design's: at most 1,000 requests and 512 KiB in a
// pack. Queued is eight full packs, which drain in under 100 ms at the measured
// rate. After Patience nobody waits any more.
func DefaultLimits() Limits {
	return Limits{Items: 1000, Bytes: 500 << 10, Queued: 8000, Patience: 5 * time.Second}
}

// Backoff between two sends of one ambiguous pack, doubled each time.
const (
	firstBackoff = 20 * time.Millisecond
	lastBackoff  = 500 * time.Millisecond
)

// Sender stores a pack durably. It is called for one pack at a time. It may block
// until the context ends, which it does with the pack's patience, and must not keep
// the slice. nil: every item is stored. An error that wraps ErrAmbiguous: perhaps.
// Any other error: none is.
type Sender[T any] func(ctx context.Context, items []T) error

// Failed is put into the inbox of an item whose pack is not stored, or not known to
// be.
type Failed struct{ Err error }

// Ticket is the future of all items of one pack.
type Ticket struct {
	known host.Event
	err   error // written before known happens
}

// Wait returns nil once the pack is stored, the error that it ended with, or
// ErrLate if neither is known in time.
func (t *Ticket) Wait(ctx context.Context, patience time.Duration) error {
	if !t.known.Wait(ctx, patience) {
		return ErrLate
	}
	return t.err
}

// Queue is a coalescing queue, safe for any number of callers.
type Queue[T any] struct {
	host   host.Host
	limits Limits
	send   Sender[T]
	ctx    context.Context // ends when Close gives up
	cancel context.CancelCauseFunc
	sent   host.Event // the queue is closed and empty

	mu      sync.Mutex
	packs   []*pack[T] // not yet sent, oldest first; the last may still grow; guarded by mu
	queued  int        // items, those in flight included; guarded by mu
	running bool       // run is running; guarded by mu
	closed  bool       // guarded by mu
}

// pack is items that are sent together.
type pack[T any] struct {
	items   []T
	bytes   int
	ticket  *Ticket
	inboxes []host.Inbox // of those items that have one
}

// New returns a queue that sends with send. It runs nothing while idle.
func New[T any](h host.Host, limits Limits, send Sender[T]) *Queue[T] {
	q := &Queue[T]{host: h, limits: limits, send: send, sent: h.Event()}
	q.ctx, q.cancel = h.WithCancel(context.Background())
	return q
}

// Add queues an item of the given size in bytes and returns the ticket of its pack,
// or ErrFull or ErrClosed. If the pack fails, Failed is put into the item's inbox,
// which may be nil. Add never waits.
func (q *Queue[T]) Add(item T, size int, inbox host.Inbox) (*Ticket, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return nil, ErrClosed
	case q.queued >= q.limits.Queued:
		return nil, ErrFull
	}
	q.queued++
	p := q.open(size)
	p.items, p.bytes = append(p.items, item), p.bytes+size
	if inbox != nil {
		p.inboxes = append(p.inboxes, inbox)
	}
	if !q.running {
		q.running = true
		q.host.Go(q.run)
	}
	return p.ticket, nil
}

// Do queues an item and waits for its pack, as Ticket.Wait does.
func (q *Queue[T]) Do(item T, size int, patience time.Duration) error {
	ticket, err := q.Add(item, size, nil)
	if err != nil {
		return err
	}
	return ticket.Wait(context.Background(), patience)
}

// open returns a pack that has room for one more item of the size.
func (q *Queue[T]) open(size int) *pack[T] {
	if n := len(q.packs); n > 0 {
		if p := q.packs[n-1]; len(p.items) < q.limits.Items && p.bytes+size <= q.limits.Bytes {
			return p
		}
	}
	p := &pack[T]{ticket: &Ticket{known: q.host.Event()}}
	q.packs = append(q.packs, p)
	return p
}

// run sends packs, one after the other, until none is left.
func (q *Queue[T]) run() {
	for p := q.next(); p != nil; p = q.next() {
		p.ticket.err = q.deliver(p.items)
		q.mu.Lock()
		q.queued -= len(p.items) // before the callers know, who may add again at once
		q.mu.Unlock()
		p.ticket.known.Set()
		for _, inbox := range p.inboxes {
			if p.ticket.err != nil {
				inbox.Put(Failed{p.ticket.err})
			}
		}
	}
}

// next takes the oldest pack, which from now on cannot grow; nil: there is none,
// and run ends.
func (q *Queue[T]) next() (p *pack[T]) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.running = len(q.packs) > 0; q.running {
		p, q.packs[0] = q.packs[0], nil
		q.packs = q.packs[1:]
		return p
	}
	q.packs = nil
	if q.closed {
		q.sent.Set()
	}
	return nil
}

// deliver sends one pack, again as long as an earlier try may have stored it: that
// a later one certainly fails, because the connection is not back yet, says nothing
// about the earlier ones. One try may use up all of the patience: a slow
// acknowledgement is not a lost one.
func (q *Queue[T]) deliver(items []T) error {
	ctx, cancel := q.host.WithTimeout(q.ctx, q.limits.Patience)
	defer cancel()
	started := q.host.Now()
	for backoff, tries := firstBackoff, 1; ; backoff, tries = min(2*backoff, lastBackoff), tries+1 {
		err := q.send(ctx, items)
		if err != nil && tries > 1 && !errors.Is(err, ErrAmbiguous) {
			err = fmt.Errorf("%w: %w", ErrAmbiguous, err)
		}
		if !errors.Is(err, ErrAmbiguous) || errors.Is(err, ErrUnwanted) || q.host.Now().Add(backoff).After(started.Add(q.limits.Patience)) {
			return err
		}
		q.host.Wait(ctx, backoff)
		if ctx.Err() != nil {
			return err
		}
	}
}

// Close refuses new items and waits until all queued ones are sent. If the context
// ends first, sends are cancelled and their items get an error.
func (q *Queue[T]) Close(ctx context.Context) error {
	defer q.cancel(nil)
	q.mu.Lock()
	q.closed = true
	idle := !q.running
	q.mu.Unlock()
	if idle || q.sent.Wait(ctx, host.Forever) {
		return nil
	}
	q.cancel(ctx.Err())
	q.sent.Wait(context.WithoutCancel(ctx), host.Forever)
	return ctx.Err()
}
