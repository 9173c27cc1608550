package boot_test

import (
	"context"
	"errors"
	"os"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/fx"

	"notsale/pkg/boot"
)

// diary is what happened, in order.
type diary struct {
	mu      sync.Mutex
	entries []string // guarded by mu
}

func (d *diary) write(entry string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.entries = append(d.entries, entry)
}

func (d *diary) read() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string(nil), d.entries...)
}

// part is a component that writes down its start and stop.
func (d *diary) part(name string) fx.Option {
	return fx.Invoke(func(lc fx.Lifecycle) {
		lc.Append(fx.Hook{
			OnStart: func(context.Context) error { d.write("start " + name); return nil },
			OnStop:  func(context.Context) error { d.write("stop " + name); return nil },
		})
	})
}

// loop is a service with a main loop.
func loop(name string, run boot.Loop) fx.Option {
	return fx.Invoke(func(lc fx.Lifecycle, down fx.Shutdowner) {
		boot.Background(lc, down, quiet(), name, run)
	})
}

// run runs an application and returns a channel for its end, and a function
// that is what a supervisor does to end it. It waits until all has started.
func run(t *testing.T, options ...fx.Option) (ended <-chan error, stop context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	done, ready := make(chan error, 1), make(chan struct{})
	go func() { done <- boot.Run(ctx, quiet(), func(context.Context) { close(ready) }, options...) }()
	receive(t, "ready", ready)
	return done, cancel
}

// Ingress, loop, connections: what was started last is stopped first, and a
// loop is waited for before what it uses is closed.
func TestStopOrder(t *testing.T) {
	t.Parallel()
	var d diary
	ended, stop := run(t,
		d.part("connections"),
		loop("allocator", func(ctx context.Context) error {
			d.write("loop runs")
			<-ctx.Done()
			d.write("loop ends")
			return ctx.Err()
		}),
		fx.Invoke(func(lc fx.Lifecycle) { // the loop is a goroutine: wait until it runs
			lc.Append(fx.StartHook(func() {
				for deadline := time.Now().Add(patience); len(d.read()) < 2 && time.Now().Before(deadline); {
					<-time.After(time.Millisecond)
				}
			}))
		}),
		d.part("ingress"),
	)
	stop()
	if err := receive(t, "the end", ended); err != nil {
		t.Errorf("a wanted end: %v", err)
	}
	want := []string{"start connections", "loop runs", "start ingress", "stop ingress", "loop ends", "stop connections"}
	if got := d.read(); !reflect.DeepEqual(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
}

// A loop lives on a context of its own, which does not end with the start.
func TestALoopOutlivesTheStart(t *testing.T) {
	t.Parallel()
	contexts := make(chan context.Context, 1)
	ended, stop := run(t, loop("recorder", func(ctx context.Context) error {
		contexts <- ctx
		<-ctx.Done()
		return nil
	}))
	ctx := receive(t, "the loop's context", contexts)
	if _, limited := ctx.Deadline(); limited || ctx.Err() != nil {
		t.Errorf("the loop's context ends by itself: %v", ctx.Err())
	}
	stop()
	if err := receive(t, "the end", ended); err != nil {
		t.Error(err)
	}
}

// A loop that ends by itself, for whatever reason, ends the process with an
// error, after everything else was stopped.
func TestALoopThatEndsByItself(t *testing.T) {
	t.Parallel()
	for name, result := range map[string]error{"with an error": errors.New("broken"), "without one": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var d diary
			die := make(chan struct{})
			ended, _ := run(t, d.part("connections"),
				loop("edge", func(ctx context.Context) error { <-ctx.Done(); d.write("other loop ends"); return nil }),
				loop("allocator", func(context.Context) error { <-die; return result }))
			close(die)
			if err := receive(t, "the end", ended); err == nil {
				t.Error("the end of a service went unnoticed")
			}
			want := []string{"start connections", "other loop ends", "stop connections"}
			if got := d.read(); !reflect.DeepEqual(got, want) {
				t.Errorf("%q\nwant %q", got, want)
			}
		})
	}
}

// A loop may end by itself even before everything has started.
func TestALoopThatEndsAtOnce(t *testing.T) {
	t.Parallel()
	ended, _ := run(t, loop("allocator", func(context.Context) error { return errors.New("broken") }))
	if err := receive(t, "the end", ended); err == nil {
		t.Error("the end of a service went unnoticed")
	}
}

func TestAPartThatDoesNotStart(t *testing.T) {
	t.Parallel()
	var d diary
	broken := errors.New("no disk")
	err := boot.Run(t.Context(), quiet(), func(context.Context) { t.Error("ready without having started") },
		d.part("connections"),
		loop("allocator", func(ctx context.Context) error { <-ctx.Done(); return nil }),
		fx.Invoke(func(lc fx.Lifecycle) { lc.Append(fx.StartHook(func() error { return broken })) }),
		d.part("ingress"))
	if !errors.Is(err, broken) {
		t.Errorf("error %v, want %v", err, broken)
	}
	if got, want := d.read(), []string{"start connections", "stop connections"}; !reflect.DeepEqual(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
}

// Who knows that a part takes longer to stop gives it the time.
func TestAStopHasTheTimeThatTheOptionsSay(t *testing.T) {
	t.Parallel()
	var given time.Time
	ended, stop := run(t, fx.StopTimeout(24*time.Hour), fx.Invoke(func(lc fx.Lifecycle) {
		lc.Append(fx.StopHook(func(ctx context.Context) { given, _ = ctx.Deadline() }))
	}))
	stop()
	if err := receive(t, "the end", ended); err != nil || time.Until(given) < time.Hour {
		t.Errorf("the stop ends at %v, %v", given, err)
	}
}

func TestAPartThatDoesNotStop(t *testing.T) {
	t.Parallel()
	broken := errors.New("disk gone")
	ended, stop := run(t, fx.Invoke(func(lc fx.Lifecycle) { lc.Append(fx.StopHook(func() error { return broken })) }))
	stop()
	if err := receive(t, "the end", ended); !errors.Is(err, broken) {
		t.Errorf("error %v, want %v", err, broken)
	}
}

func TestWiring(t *testing.T) {
	t.Parallel()
	err := boot.Run(t.Context(), quiet(), func(context.Context) { t.Error("ready") }, fx.Invoke(func(*diary) {}))
	if err == nil || !strings.Contains(err.Error(), "wiring") || !strings.Contains(err.Error(), "diary") {
		t.Errorf("error %v does not say what is missing", err)
	}
	broken := errors.New("the port is taken: choose another")
	err = boot.Run(t.Context(), quiet(), func(context.Context) { t.Error("ready") },
		fx.Provide(func() (*diary, error) { return nil, broken }), fx.Invoke(func(*diary) {}))
	if err == nil || err.Error() != broken.Error() {
		t.Errorf("error %v does not say what to do, and no more", err)
	}
}

// hooks is a lifecycle whose hooks the test calls.
type hooks []fx.Hook

func (h *hooks) Append(hook fx.Hook) { *h = append(*h, hook) }

// A loop that does not heed its context is named, and not waited for beyond
// the time that there is.
func TestALoopThatDoesNotStop(t *testing.T) {
	t.Parallel()
	var h hooks
	release, ended := make(chan struct{}), make(chan struct{})
	boot.Background(&h, nil, quiet(), "allocator", func(context.Context) error {
		defer close(ended)
		<-release
		return nil
	})
	if err := h[0].OnStart(t.Context()); err != nil {
		t.Fatal(err)
	}
	hurry, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := h[0].OnStop(hurry); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "allocator") {
		t.Errorf("error %v does not name the loop", err)
	}
	close(release)
	receive(t, "the end of the loop", ended)
}

// An interrupt is a wanted end.
//
//nolint:paralleltest // every application of this process would hear it
func TestAnInterrupt(t *testing.T) {
	ended, _ := run(t, loop("edge", func(ctx context.Context) error { <-ctx.Done(); return nil }))
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if err := self.Signal(os.Interrupt); err != nil {
		t.Skipf("this platform sends no interrupts: %v", err)
	}
	if err := receive(t, "the end", ended); err != nil {
		t.Error(err)
	}
}

// A hangup is a wish to read files again, and stops nothing.
//
//nolint:paralleltest // every application of this process would hear it
func TestAHangupStopsNothing(t *testing.T) {
	defer boot.Endure()()
	hangups, restore := boot.Hangups()
	defer restore()
	ended, stop := run(t, loop("edge", func(ctx context.Context) error { <-ctx.Done(); return nil }))
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if err := self.Signal(syscall.SIGHUP); err != nil {
		t.Skipf("this platform sends no hangups: %v", err)
	}
	receive(t, "the hangup", hangups)
	select {
	case err := <-ended:
		t.Errorf("it has stopped: %v", err)
	default:
	}
	stop()
	if err := receive(t, "the end", ended); err != nil {
		t.Error(err)
	}
}
