//go:build unix

package scheduler_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"notsale/pkg/host"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/services/scheduler"
	"notsale/services/servicetest"
)

// cramped are streams of which none is made, for a reason.
type cramped struct {
	scheduler.Streams

	why error
}

func (c *cramped) OpeningOf(ctx context.Context, of sale.Sale) (stream.Opening, error) {
	if c.why != nil {
		return stream.Opening{}, c.why
	}
	return c.Streams.OpeningOf(ctx, of)
}

// clock is a host whose clock is set.
type clock struct {
	host.Real

	now time.Time
}

func newClock() *clock { return &clock{now: time.Now()} }

func (c *clock) Now() time.Time { return c.now }

// People are told once of a sale that is not open a minute after its time,
// whatever the cause, and not of one that is.
func TestASaleThatIsNotOpenIsToldOf(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cause error
		clock time.Duration // of Postgres, ahead
		after [3]float64    // alarms after the first turn, half a minute, a minute
	}{
		"no room":        {cause: stream.ErrNoRoom, after: [3]float64{0, 0, 1}},
		"out of reach":   {cause: errors.New("away"), after: [3]float64{0, 0, 1}},
		"foreign":        {cause: stream.ErrForeign, after: [3]float64{1, 1, 2}}, // and that its stream is
		"clocks differ":  {clock: year, after: [3]float64{1, 1, 2}},              // and that they do
		"nothing amiss":  {},
		"a little ahead": {clock: 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			room := newClockroom(t)
			set := room.wrongClock()
			set(c.clock)
			w := room.waiting(always)
			w.nats.why = c.cause
			w.turn("first", 0, c.after[0])
			w.turn("half a minute", 30*time.Second, c.after[1])
			w.turn("a minute", 61*time.Second, c.after[2])
			w.turn("and on", 2*time.Minute, c.after[2])
			w.nats.why = nil
			set(0)
			w.turn("open", 3*time.Minute, c.after[2])
			w.nats.why = c.cause
			w.turn("as long as the slot lasts", time.Hour, c.after[2])
		})
	}
}

// That one sale is open does not say that the next is.
func TestTheNextSaleThatIsNotOpenIsToldOf(t *testing.T) {
	t.Parallel()
	c := newClockroom(t)
	w := c.waiting(time.Second)
	w.turn("the first", 0, 0)
	w.nats.why = stream.ErrNoRoom
	servicetest.Eventually(t, "the next slot has come", func() bool { return errors.Is(w.scheduler.Turn(t.Context()), stream.ErrNoRoom) })
	w.turn("a minute", 63*time.Second, 1)
	w.nats.why = nil
	w.turn("open", 64*time.Second, 1)
	w.nats.why = stream.ErrNoRoom
	servicetest.Eventually(t, "one more slot has come", func() bool { return errors.Is(w.scheduler.Turn(t.Context()), stream.ErrNoRoom) })
	w.turn("a minute later", 3*time.Minute, 2)
}

// waiting is a scheduler whose clock is set.
type waiting struct {
	t         *testing.T
	scheduler *scheduler.Scheduler
	nats      *cramped
	reg       *prometheus.Registry
	clock     *clock
}

func (c *clockroom) waiting(every time.Duration) *waiting {
	c.t.Helper()
	ports := scheduler.PortsOf(c.Ledger("waiting"), c.stream)
	w := &waiting{t: c.t, nats: &cramped{Streams: ports.Streams}, reg: prometheus.NewRegistry(), clock: newClock()}
	ports.Streams = w.nats
	w.scheduler = c.on(ports, w.clock, every, w.reg)
	return w
}

// turn takes a turn so long after the first, and counts the alarms since then.
func (w *waiting) turn(what string, after time.Duration, alarms float64) {
	w.t.Helper()
	began := w.clock.now
	w.clock.now = began.Add(after)
	_ = w.scheduler.Turn(w.t.Context()) // it may fail, which is told of
	w.clock.now = began
	if n := count(w.t, w.reg, "notsale_scheduler_alarms_total"); n != alarms {
		w.t.Errorf("%s: %v alarms, want %v", what, n, alarms)
	}
}
