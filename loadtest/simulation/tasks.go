package simulation

import (
	"context"
	"iter"
	"slices"
	"time"

	"notsale/pkg/host"
	"notsale/pkg/sale"
)

// task is code of a service that runs on a coroutine until it waits. Only one runs
// at a time, and whoever waits is woken by an event of the world.
type task struct {
	p    *process
	life int
	code func()
	next func() (struct{}, bool)
	stop func()
	park func(struct{}) bool
	wait int             // number of the wait that it is in, so that old wake-ups are known
	ctx  context.Context //nolint:containedctx // with which it waits
}

// crashed is what a process panics with that dies within a call.
type crashed struct{}

// spawn begins a task of this life of the process.
func (p *process) spawn(code func()) {
	if !p.alive {
		return
	}
	t := p.w.coroutine()
	t.p, t.life, t.code, t.ctx = p, p.life, code, nil
	p.tasks = append(p.tasks, t)
	wait := t.wait
	p.w.in(0, func() { t.resume(wait) })
}

// coroutine returns one that has nothing to do: they are used again, for each is
// a goroutine.
func (w *world) coroutine() *task {
	if n := len(w.idle); n > 0 {
		t := w.idle[n-1]
		w.idle = w.idle[:n-1]
		return t
	}
	t := &task{}
	t.next, t.stop = iter.Pull(func(yield func(struct{}) bool) {
		t.park = yield
		for more := true; more; more = yield(struct{}{}) {
			t.run()
			w.idle = append(w.idle, t)
		}
	})
	return t
}

// run runs the task's code, until the process dies.
func (t *task) run() {
	defer func() {
		t.p.tasks = slices.DeleteFunc(t.p.tasks, func(other *task) bool { return other == t })
		if x := recover(); x != nil {
			if _, died := x.(crashed); !died {
				panic(x)
			}
		}
	}()
	t.code()
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
		w.await(ctx, w.now+sale.Instant(d.Microseconds()), func(func()) {})
	}
}

// await lets the running task wait until an instant, until its context ends, or
// until it is woken by what begin lets happen.
func (w *world) await(ctx context.Context, until sale.Instant, begin func(wake func())) {
	limit, limited := ctx.Value(limitKey{}).(*limit)
	if limited {
		until = min(until, limit.at)
	}
	w.parked(ctx, func(wake func(time.Duration)) {
		begin(func() { wake(0) })
		wake(time.Duration(until-w.now) * time.Microsecond)
	})
	if limited && w.now >= limit.at && ctx.Err() == nil {
		limit.end(context.DeadlineExceeded)
	}
}

// limit is when a context ends by itself, which is found out by whoever waits with
// it: most calls are over long before.
type limit struct {
	at  sale.Instant
	end context.CancelCauseFunc
}

type limitKey struct{}

// endTasks unwinds the tasks of a process that has died. What they call meanwhile
// has no effect.
func (p *process) endTasks() {
	for _, t := range slices.Clone(p.tasks) {
		if t != p.w.current {
			t.stop()
			p.w.idle = slices.DeleteFunc(p.w.idle, func(other *task) bool { return other == t })
		}
	}
	p.tasks = slices.DeleteFunc(p.tasks, func(t *task) bool { return t != p.w.current })
}

// end ends a process for good.
func (p *process) end() {
	p.alive = false
	p.endTasks()
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
func (h simulated) WithTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	l := &limit{at: h.w.until(d)}
	outer, limited := ctx.Value(limitKey{}).(*limit)
	ctx, l.end = h.WithCancel(ctx)
	if !limited || l.at < outer.at {
		ctx = context.WithValue(ctx, limitKey{}, l)
	}
	return ctx, func() { l.end(nil) }
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
	waiting waiters
}

// waiters are how to wake who waits for something.
type waiters []func()

func (w *waiters) add(wake func()) { *w = append(*w, wake) }

func (w *waiters) wake() {
	waiting := *w
	*w = nil
	for _, wake := range waiting {
		wake()
	}
}

// Put implements host.Inbox.
func (i *simulatedInbox) Put(x any) {
	i.told = append(i.told, x)
	i.waiting.wake()
}

// Take implements host.Inbox.
func (i *simulatedInbox) Take(ctx context.Context, patience time.Duration) (x any, ok bool) {
	for until := i.w.until(patience); len(i.told) == 0; {
		if ctx.Err() != nil || i.w.now >= until {
			return nil, false
		}
		i.w.await(ctx, until, i.waiting.add)
	}
	x, i.told = i.told[0], i.told[1:]
	return x, true
}

// Event implements host.Host.
func (h simulated) Event() host.Event { return &simulatedEvent{w: h.w} }

type simulatedEvent struct {
	w        *world
	happened bool
	waiting  waiters
}

// Set implements host.Event.
func (e *simulatedEvent) Set() {
	e.happened = true
	e.waiting.wake()
}

// Wait implements host.Event.
func (e *simulatedEvent) Wait(ctx context.Context, patience time.Duration) bool {
	for until := e.w.until(patience); !e.happened && ctx.Err() == nil && e.w.now < until; {
		e.w.await(ctx, until, e.waiting.add)
	}
	return e.happened
}

// until is the end of a patience: of a long one some time after the run's.
func (w *world) until(patience time.Duration) sale.Instant {
	return w.now + sale.Instant(min(patience, time.Hour).Microseconds())
}
