//go:build unix

package backends

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/gofrs/flock"
)

// portTries bounds how often a start chooses another free port because another
// program took the first one.
const portTries = 3

var errPortTaken = errors.New("the port is taken: stop what listens there")

// daemon is the life of a store: what Postgres, Redis and NATS have in common. Its
// methods may be called from any goroutine; they wait for each other.
type daemon struct {
	store

	name string
	cfg  Config
	log  *slog.Logger

	dir      string   // Data/NAME: its folder, if it has one, and the prefix of its files' names
	account  *account // who runs it, unless it runs in this process
	port     int
	password string

	mu   sync.Mutex // guards what follows
	lock *flock.Flock
	run  process // nil: stopped
}

// store is how one store differs from the others.
type store interface {
	// prepare gets its program, data and password ready, once.
	prepare(ctx context.Context) error
	// serve starts the server on the daemon's port and waits until it answers.
	serve(ctx context.Context) (process, error)
}

// process is one run of a server.
type process interface {
	// ended is closed when the server has ended; died then says why, if it was not
	// stopped.
	ended() <-chan struct{}
	died() error
	// end ends the server, and calls gone once it has ended, if possible before ctx
	// ends.
	end(ctx context.Context, gone func()) error
}

// start starts the store for the first time, on a free port.
func (d *daemon) start(ctx context.Context) error {
	err := d.claim()
	if err == nil {
		err = d.prepare(ctx)
	}
	for try := 1; err == nil; try++ {
		if d.port, err = freePort(); err != nil {
			break
		}
		if d.run, err = d.serve(ctx); err == nil {
			return nil
		}
		if errors.Is(err, errPortTaken) && try < portTries {
			err = nil
		}
	}
	release(d.lock)
	return fmt.Errorf("%s: %w", d.name, err)
}

// claim decides who runs the store and where, and takes its lock.
func (d *daemon) claim() error {
	data, account, err := openData(d.cfg.Data)
	if err != nil {
		return err
	}
	d.dir, d.account = filepath.Join(data, d.name), account
	d.lock, err = takeLock(d.dir + ".lock")
	return err
}

// Address is host:port.
func (d *daemon) Address() string { return address(d.port) }

// Stop ends the server before ctx's deadline (without one, within 20 s), in the end by
// force, which is an error. Stopping again does nothing.
func (d *daemon) Stop(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.run == nil {
		return nil
	}
	run, lock := d.run, d.lock
	d.run, d.lock = nil, nil
	return run.end(ctx, func() { release(lock) })
}

// Restart starts the server again on the same data, port and password, after
// stopping it if it still runs.
func (d *daemon) Restart(ctx context.Context) error {
	if err := d.Stop(ctx); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	var err error
	if d.lock, err = takeLock(d.dir + ".lock"); err == nil {
		d.run, err = d.serve(ctx)
	}
	if err != nil {
		release(d.lock)
		return fmt.Errorf("%s: %w", d.name, err)
	}
	return nil
}

// ended returns a channel that closes when the current run ends, and a function that
// then says why.
func (d *daemon) ended() (<-chan struct{}, func() error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.run.ended(), d.run.died
}

// Kill ends the server and all its processes with SIGKILL, for fault tests. It returns
// once they are gone. Restart brings the server back.
func (d *daemon) Kill() error {
	if err := d.onChild((*child).kill); !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return d.Stop(context.Background()) // it runs in this process, or was stopped
}

// Pause suspends every process of the server (SIGSTOP), for fault tests.
func (d *daemon) Pause() error {
	return d.onChild(func(c *child) error { return c.signalFamily(syscall.SIGSTOP) })
}

// Resume undoes Pause.
func (d *daemon) Resume() error {
	return d.onChild(func(c *child) error { return c.signalFamily(syscall.SIGCONT) })
}

// onChild does something to the server's process. If the server runs in this process,
// the error is errors.ErrUnsupported.
func (d *daemon) onChild(do func(*child) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	c, ok := d.run.(*child)
	if !ok {
		return fmt.Errorf("%s runs in-process: %w", d.name, errors.ErrUnsupported)
	}
	return do(c)
}
