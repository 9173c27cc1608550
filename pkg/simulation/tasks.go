package simulation

import (
	"context"
	"iter"
	"slices"
	"time"

	"notsale/pkg/host"
	"notsale/pkg/sale"
)

// task is a coroutine of a process: code of a service that runs until it waits.
// Only one runs at a time, and whoever waits is woken by an event of the world.
type task struct {
	p    *process
	life int
	next func() (struct{}, bool)
	stop func()
	park func(struct{}) bool
	wait int             // number of the wait that it is in, so that old wake-ups are known
	ctx  context.Context //nolint:containedctx // with which it waits
}

// crashed is what a process panics with that dies within a call.
type crashed struct{}

// spawn begins a task of this life of the process.
func (p *process) spawn(f func()) {
	if !p.alive { // iter.Pull makes its goroutine at once
		return
	}
	t := &task{p: p, life: p.life}
	t.next, t.stop = iter.Pull(func(yield func(struct{}) bool) {
		t.park = yield
		defer func() {
			p.tasks = slices.DeleteFunc(p.tasks, func(other *task) bool { return other == t })
			if x := recover(); x != nil {
				if _, died := x.(crashed); !died {
					panic(x)
				}
			}
		}()
		f()
	})
	p.tasks = append(p.tasks, t)
	p.w.in(0, func() { t.resume(0) })
}

func (t *task) living() bool { return t.p.alive && t.p.life == t.life }

// resume goes on with a task that is still in this wait.
func (t *task) resume(wait int) {
	w := t.p.w
	switch {
	case !t.living() || t.wait != wait || !slices.Contains(t.p.tasks, t):
	case t.p.frozen > w.now:
		w.in(time.Duration(t.p.frozen-w.now)*time.Microsecond, func() { t.resume(wait) })
	default:
		t.wait++
		w.current = t
		t.next()
		w.current = nil
	}
}

// parked lets the running task wait until it is woken, or its context ends: begin
// is told how to wake it.
func (w *world) parked(ctx context.Context, begin func(wake func(after time.Duration))) {
	t := w.current
	if !t.living() {
		panic(crashed{})
	}
	wait := t.wait
	begin(func(after time.Duration) { w.in(after, func() { t.resume(wait) }) })
	t.ctx = ctx
	if !t.park(struct{}{}) || !t.living() {
		panic(crashed{})
	}
}

// sleep lets the running task wait so long, or until its context ends.
func (w *world) sleep(ctx context.Context, d time.Duration) {
	if ctx.Err() == nil {
		w.parked(ctx, func(wake func(time.Duration)) { wake(d) })
	}
}

// endTasks unwinds the tasks of a process that has died. What they call meanwhile
// has no effect.
func (p *process) endTasks() {
	for _, t := range slices.Clone(p.tasks) {
		if t != p.w.current {
			t.stop()
		}
	}
}

// simulated is a process as its service's code sees it.
type simulated struct{ *process }

var _ host.Host = simulated{}

// Go implements host.Host.
func (h simulated) Go(f func()) { h.spawn(f) }

// Now implements host.Host.
func (h simulated) Now() time.Time { return h.w.now.Time() }

// Wait implements host.Host.
func (h simulated) Wait(ctx context.Context, d time.Duration) { h.w.sleep(ctx, d) }

// WithCancel implements host.Host.
func (h simulated) WithCancel(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	return ctx, func(why error) {
		cancel(why)
		h.wakeEnded()
	}
}

// WithTimeout implements host.Host.
func (h simulated) WithTimeout(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := h.WithCancel(ctx)
	h.in(limit, func() {
		if ctx.Err() == nil {
			cancel(context.DeadlineExceeded)
		}
	})
	return ctx, func() { cancel(nil) }
}

// wakeEnded wakes who waits with a context that has ended.
func (p *process) wakeEnded() {
	for _, t := range p.tasks {
		if t != p.w.current && t.ctx != nil && t.ctx.Err() != nil {
			wait := t.wait
			p.w.in(0, func() { t.resume(wait) })
		}
	}
}

// Inbox implements host.Host.
func (h simulated) Inbox() host.Inbox { return &simulatedInbox{w: h.w} }

type simulatedInbox struct {
	w       *world
	told    []any
	waiting []func()
}

// Put implements host.Inbox.
func (i *simulatedInbox) Put(x any) {
	i.told = append(i.told, x)
	waiting := i.waiting
	i.waiting = nil
	for _, wake := range waiting {
		wake()
	}
}

// Take implements host.Inbox.
func (i *simulatedInbox) Take(ctx context.Context, patience time.Duration) (x any, ok bool) {
	until := i.w.until(patience)
	for len(i.told) == 0 {
		left := time.Duration(until-i.w.now) * time.Microsecond
		if ctx.Err() != nil || left <= 0 {
			return nil, false
		}
		i.w.parked(ctx, func(wake func(time.Duration)) {
			i.waiting = append(i.waiting, func() { wake(0) })
			wake(left)
		})
	}
	x, i.told = i.told[0], i.told[1:]
	return x, true
}

// until is the end of a patience: of a long one the end of the run.
func (w *world) until(patience time.Duration) sale.Instant {
	return w.now + sale.Instant(min(patience, time.Hour).Microseconds())
}
