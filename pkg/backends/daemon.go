//go:build unix

package backends

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/gofrs/flock"
)

// portTries bounds how often a start chooses another free port because another
// program took the first one.
const portTries = 3

var (
	errPortTaken = errors.New("the port is taken: stop what listens there")
	errNotReady  = errors.New("it is still starting")
)

// daemon is the life of a store that runs as a child process: what Postgres and
// Redis have in common. Its methods may be called from any goroutine; they wait
// for each other.
type daemon struct {
	program

	name    string
	cfg     Config
	log     *slog.Logger
	limit   time.Duration    // of a start
	signals []syscall.Signal // that ask it to stop, each more urgent than the one before

	dir      string   // Data/NAME: its folder, if it has one, and the prefix of its files' names
	account  *account // who runs it
	port     int
	password string

	mu    sync.Mutex // guards what follows
	lock  *flock.Flock
	child *child
	stand *miniredis.Miniredis // instead of a child
}

// program is how one store differs from the others.
type program interface {
	// prepare finds the program and prepares its data and password, once.
	prepare(ctx context.Context) error
	// command says how to run the program, and makes sure that no other process uses
	// its data. If the stand-in runs instead, it returns no program.
	command(ctx context.Context) (childSpec, error)
	// ask tries once whether the child serves. settled: asking again is useless.
	ask(ctx context.Context, c *child) (settled bool, err error)
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
		if err = d.run(ctx); err == nil {
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
	if err == nil {
		err = account.checkReach(data)
	}
	if err != nil {
		return err
	}
	d.dir, d.account = filepath.Join(data, d.name), account
	d.lock, err = takeLock(d.dir + ".lock")
	return err
}

// run starts the program on the chosen port and waits until it answers.
func (d *daemon) run(ctx context.Context) error {
	spec, err := d.command(ctx)
	if err != nil || spec.program == "" {
		return err
	}
	c, err := d.startChild(spec)
	if err != nil {
		return err
	}
	if err := d.ready(ctx, c); err != nil {
		return errors.Join(err, c.stop(ctx, d.signals[len(d.signals)-1]))
	}
	d.child = c
	return nil
}

func (d *daemon) startChild(spec childSpec) (*child, error) {
	spec.account, spec.log = d.account, d.dir+".log"
	return startChild(spec)
}

// ready waits until the child serves.
func (d *daemon) ready(ctx context.Context, c *child) error {
	ctx, cancel := context.WithTimeout(ctx, d.limit)
	defer cancel()
	for {
		settled, err := d.ask(ctx, c)
		if settled {
			return err
		}
		if !c.running() {
			return d.explain(c.died(), c)
		}
		if waited := briefly(ctx); waited != nil {
			return d.explain(fmt.Errorf("no answer on %s: %w (last: %w)", d.Address(), waited, err), c)
		}
	}
}

const (
	diskFull = "the disk is full: free some space, or choose a folder on another disk with --data"
	walRoom  = 16 << 20 // bytes of one segment of the write-ahead log, which Postgres needs to start
)

// advice says what to do about what servers write into their logs.
var advice = []struct{ sign, todo string }{
	{"No space left on device", diskFull},
	{"is not compatible with", "the data was made by another version of PostgreSQL: set PG_BIN to the folder of that version's programs, or choose another folder with --data"},
	{"lock file \"postmaster.pid\" already exists", "another postgres runs on this folder: stop it"},
	{"shared memory block", "processes of an earlier postgres still run on this folder: stop them"},
	{"could not create shared memory", "the system's limit of shared memory is too low"},
	{"could not look up effective user ID", "PostgreSQL runs only as a user that /etc/passwd knows: add an entry for that id there, run notsale as another user, or give the DATABASE_URL of a Postgres of your own"},
	{"Permission denied", "check the owner and mode of the data folder and its parents"},
}

// explain adds to the error of a failed run what the end of its log suggests. If the
// disk is full, the log may be missing.
func (d *daemon) explain(err error, c *child) error {
	tail := c.tail()
	if strings.Contains(tail, "Address already in use") {
		return fmt.Errorf("listen on %s: %w", d.Address(), errPortTaken)
	}
	err = fmt.Errorf("%w; see its log, %s", err, c.spec.log)
	if tail != "" {
		err = fmt.Errorf("%w, which ends:\n    %s", err, strings.ReplaceAll(tail, "\n", "\n    "))
	}
	for _, a := range advice {
		if strings.Contains(tail, a.sign) {
			return fmt.Errorf("%s: %w", a.todo, err)
		}
	}
	if !hasRoom(d.dir, walRoom) {
		return fmt.Errorf("%s: %w", diskFull, err)
	}
	return err
}

// Address is host:port.
func (d *daemon) Address() string { return address(d.port) }

// Stop ends the server. It sends each signal in turn before ctx's deadline (without
// one, within 20 s), and then kills the server, which is an error. Stopping again
// does nothing.
func (d *daemon) Stop(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	defer release(d.lock)
	d.closeStand()
	if d.child == nil {
		return nil
	}
	return d.child.stop(ctx, d.signals...)
}

func (d *daemon) closeStand() {
	if d.stand != nil {
		d.stand.Close()
		d.stand = nil
	}
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
		err = d.run(ctx)
	}
	if err != nil {
		release(d.lock)
		return fmt.Errorf("%s: %w", d.name, err)
	}
	return nil
}

// ended returns a channel that closes when the current process ends, and a
// function that then says why. Not for the stand-in, which cannot end by itself.
func (d *daemon) ended() (<-chan struct{}, func() error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.child
	return c.done, func() error { return d.explain(c.died(), c) }
}

// Kill ends the server and all its processes with SIGKILL, for fault tests; it closes
// the stand-in. It returns once they are gone. Restart brings the server back.
func (d *daemon) Kill() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closeStand()
	if d.child == nil {
		return nil
	}
	return d.child.kill()
}

// Pause suspends every process of the server (SIGSTOP), for fault tests. For the
// stand-in the error is errors.ErrUnsupported.
func (d *daemon) Pause() error { return d.signal(syscall.SIGSTOP) }

// Resume undoes Pause.
func (d *daemon) Resume() error { return d.signal(syscall.SIGCONT) }

func (d *daemon) signal(sig syscall.Signal) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.child == nil {
		return fmt.Errorf("%s runs in-process: %w", d.name, errors.ErrUnsupported)
	}
	return d.child.signalFamily(sig)
}
