package host

import (
	"context"
	"math"
	"sync"
	"time"
)

// Host is the process around a service's logic.
type Host interface {
	// Go runs f beside its caller.
	Go(f func())
	// Now is the process's clock, for deadlines and pauses.
	Now() time.Time
	// Wait pauses for d, or until ctx ends.
	Wait(ctx context.Context, d time.Duration)
	// Inbox returns an empty inbox.
	Inbox() Inbox
	// Event returns an event that has not happened yet.
	Event() Event
	// WithCancel is context.WithCancelCause.
	WithCancel(ctx context.Context) (context.Context, context.CancelCauseFunc)
	// WithTimeout is context.WithTimeout.
	WithTimeout(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc)
}

// Forever is a patience that never ends.
const Forever = time.Duration(math.MaxInt64)

// Inbox is an unbounded queue of messages between tasks. Each message is taken
// once.
type Inbox interface {
	// Put adds a message. It never waits.
	Put(x any)
	// Take removes the oldest message. It waits for one until patience is over or ctx
	// ends; false: there was none.
	Take(ctx context.Context, patience time.Duration) (x any, ok bool)
}

// Event happens once, for all tasks that wait for it.
type Event interface {
	// Set makes it happen. It is called once.
	Set()
	// Wait waits for it until patience is over or ctx ends; false: it has not
	// happened.
	Wait(ctx context.Context, patience time.Duration) bool
}

// Real runs tasks as goroutines. The zero value is ready for use.
type Real struct{ tasks sync.WaitGroup }

// Go implements Host.
func (r *Real) Go(f func()) { r.tasks.Go(f) }

// Join waits until all tasks have ended.
func (r *Real) Join() { r.tasks.Wait() }

// WithCancel implements Host.
func (*Real) WithCancel(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	return context.WithCancelCause(ctx)
}

// WithTimeout implements Host.
func (*Real) WithTimeout(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, limit)
}

// Now implements Host.
func (*Real) Now() time.Time { return time.Now() }

// Wait implements Host.
func (*Real) Wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// Inbox implements Host.
func (*Real) Inbox() Inbox {
	i := &inbox{wake: make(chan struct{}, 1)}
	i.messages = i.room[:0]
	return i
}

// Event implements Host.
func (*Real) Event() Event { return make(event) }

type event chan struct{}

func (e event) Set() { close(e) }

func (e event) Wait(ctx context.Context, patience time.Duration) bool {
	select {
	case <-e:
		return true
	default:
	}
	over, stop := after(patience)
	defer stop()
	select {
	case <-e:
		return true
	case <-over:
	case <-ctx.Done():
	}
	return false
}

// after is time.After with a stop function, and never fires for Forever.
func after(patience time.Duration) (over <-chan time.Time, stop func()) {
	if patience == Forever {
		return nil, func() {}
	}
	timer := time.NewTimer(patience)
	return timer.C, func() { timer.Stop() }
}

type inbox struct {
	mu       sync.Mutex
	messages []any         // guarded by mu
	room     [2]any        // where messages begins: most inboxes need no more
	wake     chan struct{} // there may be a message
}

func (i *inbox) Put(x any) {
	i.mu.Lock()
	i.messages = append(i.messages, x)
	i.mu.Unlock()
	i.notify()
}

func (i *inbox) notify() {
	select {
	case i.wake <- struct{}{}:
	default:
	}
}

func (i *inbox) Take(ctx context.Context, patience time.Duration) (any, bool) {
	if x, ok := i.first(); ok {
		return x, true
	}
	over, stop := after(patience)
	defer stop()
	for {
		select {
		case <-i.wake:
			if x, ok := i.first(); ok {
				return x, true
			}
		case <-over:
			return i.first()
		case <-ctx.Done():
			return nil, false
		}
	}
}

func (i *inbox) first() (x any, ok bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.messages) == 0 {
		return nil, false
	}
	x, i.messages = i.messages[0], i.messages[1:]
	if len(i.messages) > 0 { // another task may wait
		i.notify()
	}
	return x, true
}
