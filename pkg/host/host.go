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
	// Wait pauses, at most until ctx ends.
	Wait(ctx context.Context, d time.Duration)
	// Inbox returns an empty inbox.
	Inbox() Inbox
	// Event returns one that has not happened.
	Event() Event
	// WithCancel is context.WithCancelCause.
	WithCancel(ctx context.Context) (context.Context, context.CancelCauseFunc)
	// WithTimeout is context.WithTimeout.
	WithTimeout(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc)
}

// Forever is a patience without an end.
const Forever = time.Duration(math.MaxInt64)

// Inbox is where tasks are told things by others, each thing once.
type Inbox interface {
	// Put tells, without waiting.
	Put(x any)
	// Take returns what was told first, waiting for it for at most so long and
	// until ctx ends; false: nothing was.
	Take(ctx context.Context, patience time.Duration) (x any, ok bool)
}

// Event happens once, for all who wait for it.
type Event interface {
	// Set lets it happen, and is called once.
	Set()
	// Wait waits for it for at most so long and until ctx ends; false: it has not
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
	i := &inbox{news: make(chan struct{}, 1)}
	i.told = i.room[:0]
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

// after is time.After, which never comes after Forever.
func after(patience time.Duration) (over <-chan time.Time, stop func()) {
	if patience == Forever {
		return nil, func() {}
	}
	timer := time.NewTimer(patience)
	return timer.C, func() { timer.Stop() }
}

// inbox holds any number of things, so that Put never waits.
type inbox struct {
	mu   sync.Mutex
	told []any         // guarded by mu
	room [2]any        // for as much as most inboxes are told; told begins there
	news chan struct{} // there may be something
}

func (i *inbox) Put(x any) {
	i.mu.Lock()
	i.told = append(i.told, x)
	i.mu.Unlock()
	i.tell()
}

func (i *inbox) tell() {
	select {
	case i.news <- struct{}{}:
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
		case <-i.news:
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
	if len(i.told) == 0 {
		return nil, false
	}
	x, i.told = i.told[0], i.told[1:]
	if len(i.told) > 0 { // for another who waits
		i.tell()
	}
	return x, true
}
