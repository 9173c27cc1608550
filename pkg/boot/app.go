package boot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"go.uber.org/dig"
	"go.uber.org/fx"
	"go.uber.org/fx/fxevent"
)

// StartTimeout bounds the start of all services together: a first start has to
// create the stores.
const StartTimeout = 60 * time.Second

// StopTimeout bounds their stop, unless an [fx.StopTimeout] among the options of Run
// says otherwise.
const StopTimeout = 30 * time.Second

// Endure makes the process survive, until restore is called, the end of its terminal
// (SIGHUP, which asks to read files again: see [Hangups]) and of the reader of its log
// (SIGPIPE). Its child processes do not inherit this.
func Endure() (restore func()) {
	unheard := make(chan os.Signal, 1)
	signal.Notify(unheard, syscall.SIGHUP, syscall.SIGPIPE)
	return func() { signal.Stop(unheard) }
}

// Hangups delivers each SIGHUP until restore is called.
func Hangups() (hangups <-chan os.Signal, restore func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	return c, func() { signal.Stop(c) }
}

// Run builds the application, starts it, waits for a signal or for a loop that
// ends by itself, and stops it. When all has started it calls ready in a goroutine,
// with a context that ends when the application is to stop.
func Run(ctx context.Context, log *slog.Logger, ready func(context.Context), options ...fx.Option) error {
	app := fx.New(
		fx.Supply(log),
		fx.WithLogger(func() fxevent.Logger {
			l := &fxevent.SlogLogger{Logger: log}
			l.UseLogLevel(slog.LevelDebug)
			l.UseErrorLevel(slog.LevelDebug) // Run's error says it once
			return l
		}),
		fx.StartTimeout(StartTimeout), fx.StopTimeout(StopTimeout),
		fx.Options(options...),
	)
	if err := app.Err(); err != nil {
		return wiring(err)
	}
	ctx, restore := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer restore()
	start, cancel := context.WithTimeout(ctx, StartTimeout)
	defer cancel()
	if err := app.Start(start); err != nil {
		return errors.Join(err, stop(app, log))
	}
	running, ending := context.WithCancel(ctx)
	go ready(running)
	var failed error
	select {
	case <-ctx.Done():
		log.Info("stopping", "cause", context.Cause(ctx))
	case s := <-app.Wait():
		if s.ExitCode != 0 {
			failed = errors.New("a service ended by itself, see the log above")
		}
	}
	ending()
	restore() // a second signal ends the process at once
	return errors.Join(failed, stop(app, log))
}

// wiring reduces fx's error to the one that a constructor returned.
func wiring(err error) error {
	cause := dig.RootCause(err)
	if missing := dig.Error(nil); errors.As(cause, &missing) {
		return fmt.Errorf("wiring: %w", cause)
	}
	return cause
}

func stop(app *fx.App, log *slog.Logger) error {
	ctx, cancel := context.WithTimeout(context.Background(), app.StopTimeout())
	defer cancel()
	if err := app.Stop(ctx); err != nil {
		log.Error("stopping", "error", err)
		return err
	}
	return nil
}

// Loop is a service's main loop. It returns when ctx ends; if it returns
// earlier, or with an error, the process ends.
type Loop func(ctx context.Context) error

// Background runs a loop from the application's start to its stop, on a
// context of its own (OnStart's ends with the start).
func Background(lc fx.Lifecycle, down fx.Shutdowner, log *slog.Logger, name string, loop Loop) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	lc.Append(fx.Hook{
		OnStart: func(context.Context) error {
			go func() {
				defer close(ended)
				err := loop(ctx)
				if ctx.Err() != nil {
					return
				}
				log.Error("a loop ended by itself", "loop", name, "error", err)
				_ = down.Shutdown(fx.ExitCode(1))
			}()
			return nil
		},
		OnStop: func(stop context.Context) error {
			cancel()
			select {
			case <-ended:
				return nil
			case <-stop.Done():
				return fmt.Errorf("%s did not stop in time: %w", name, stop.Err())
			}
		},
	})
}
