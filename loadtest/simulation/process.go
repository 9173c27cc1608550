package simulation

import (
	"context"
	"log/slog"
	"time"

	"notsale/pkg/sale"
)

// process is a running service, which can crash and stop.
type process struct {
	w    *world
	sim  *simulation
	role string
	name string
	run  func(*process) // begins a life

	life   int // number of its life; 0: never started
	alive  bool
	frozen sale.Instant // stopped until then: what is due waits, then goes on
	tasks  []*task      // that have not ended, in the order in which they began
	died   func()       // told of a crash; nil: nobody
}

// in lets something happen in this life of the process.
func (p *process) in(d time.Duration, do func()) {
	life := p.life
	var due func()
	due = func() {
		switch {
		case !p.alive || p.life != life:
		case p.frozen > p.w.now:
			p.w.in(time.Duration(p.frozen-p.w.now)*time.Microsecond, due)
		default:
			do()
		}
	}
	p.w.in(d, due)
}

// boot begins the next life.
func (p *process) boot() {
	p.life++
	p.alive, p.frozen = true, 0
	p.w.note("start "+p.name, int64(p.life))
	p.run(p)
}

func (p *process) crash() {
	p.alive = false
	p.w.crashes++
	p.w.note("crash "+p.name, int64(p.life))
	p.endTasks()
	if p.died != nil {
		p.died()
	}
}

// crashFor lets a process that lives crash, and begin its next life after a while.
func (p *process) crashFor(away time.Duration) {
	if p.alive {
		p.crash()
		p.w.in(away, p.boot)
	}
}

// port makes a call to a server. It takes time, and the process may die before or
// after it. Where ctx ends meanwhile, the call may have been carried out or not.
func port[T any](ctx context.Context, p *process, name string, do func() (T, error)) (T, error) {
	var none T
	p.w.sleep(ctx, p.quick())
	if ctx.Err() != nil {
		return none, ctx.Err()
	}
	p.reach("before-" + name)
	x, err := do()
	p.reach("after-" + name)
	p.w.sleep(ctx, p.quick())
	if ctx.Err() != nil {
		return none, ctx.Err()
	}
	return x, err
}

// reach crashes the process if a fault waits for this point.
func (p *process) reach(point string) {
	if dies, f := p.sim.reach(p.role + "/" + point); dies {
		p.crash()
		p.w.in(f.Length, p.boot)
		panic(crashed{})
	}
}

// quick draws the time of a message to a server or back.
func (p *process) quick() time.Duration {
	return p.w.between(30*time.Microsecond, 1500*time.Microsecond)
}

// lossy makes a call whose connection can break before it or after it. The error is
// the same.
func lossy[T any](p *process, s *service, do func() (T, error)) (x T, err error) {
	if p.w.oneIn(p.sim.cfg.Lossy) {
		return x, s.away
	}
	carried := int64(0)
	if err = s.answers(); err == nil {
		x, err = do()
	}
	if err == nil {
		carried = 1
	}
	p.w.note("call of "+p.name, carried)
	if err == nil && p.w.oneIn(p.sim.cfg.Lossy) {
		err = s.away
	}
	return x, err
}

// alarms is the log of a service: an alarm is a violation, except that of a lost tail,
// which faults cause.
type alarms struct {
	slog.Handler

	sim *simulation
}

func (p *process) log() *slog.Logger { return slog.New(alarms{sim: p.sim}) }

// Enabled implements slog.Handler.
func (h alarms) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelError }

// WithAttrs implements slog.Handler.
func (h alarms) WithAttrs([]slog.Attr) slog.Handler { return h }

// Handle implements slog.Handler.
func (h alarms) Handle(_ context.Context, r slog.Record) error {
	if r.Message != "ALARM" {
		return nil
	}
	text, kind := "", ""
	r.Attrs(func(a slog.Attr) bool {
		if text += " " + a.String(); a.Key == "kind" {
			kind = a.Value.String()
		}
		return true
	})
	if h.sim.w.note("alarm " + kind); kind != "lost-tail" {
		h.sim.violatef("alarm: %s%s", r.Message, text)
	}
	return nil
}
