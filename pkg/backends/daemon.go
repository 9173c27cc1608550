//go:build unix

package backends

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/gofrs/flock"
)

// portTries bounds how often a start takes another free port, after somebody
// else took the one it had chosen.
const portTries = 3

var (
	errPortTaken = errors.New("the port is taken: stop what listens there, or choose another (port 0 takes a free one)")
	errNotReady  = errors.New("it is still starting")
)

// daemon is the life of a store that runs as a child process: what Postgres and
// Redis have in common. Its methods may be called from any goroutine; they wait
// for each other.
type daemon struct {
	program

	name    string
	cfg     Config
	addr    string // host:port, as configured
	log     *slog.Logger
	limit   time.Duration    // of a start
	signals []syscall.Signal // that ask it to stop, each more urgent than the one before

	dir      string   // Data/NAME: its folder, if it has one, and where the names of its files begin
	account  *account // who runs it
	host     string
	port     int
	password string

	mu    sync.Mutex // guards what follows
	lock  *flock.Flock
	child *child
	stand *miniredis.Miniredis // instead of a child
}

// program is what is particular to a store.
type program interface {
	// prepare finds the program and sees to its data and password, once.
	prepare(ctx context.Context) error
	// command says how to run it, with nobody working on its data any more.
	// Without a program it has started the stand-in itself.
	command(ctx context.Context) (childSpec, error)
	// ask tries once whether the child serves. settled: there is no sense in
	// asking again.
	ask(ctx context.Context, c *child) (settled bool, err error)
}

// start starts the store for the first time. A free port that somebody else takes
// first is exchanged for another.
func (d *daemon) start(ctx context.Context) error {
	err := d.claim()
	if err == nil {
		err = d.prepare(ctx)
	}
	_, fixed, _ := splitAddr(d.addr)
	for try := 1; err == nil; try++ {
		if d.host, d.port, err = choosePort(d.addr); err != nil {
			break
		}
		if err = d.run(ctx); err == nil {
			return nil
		}
		if errors.Is(err, errPortTaken) && fixed == 0 && try < portTries {
			err = nil
		}
	}
	release(d.lock)
	return fmt.Errorf("%s: %w", d.name, err)
}

// claim settles who runs the store and where, and takes its lock.
func (d *daemon) claim() (err error) {
	if d.account, err = childAccount(d.cfg.Data); err != nil {
		return err
	}
	data, err := prepareData(d.cfg.Data, d.account)
	if err == nil {
		err = d.account.checkReach(data)
	}
	if err != nil {
		return err
	}
	d.dir = filepath.Join(data, d.name)
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
	walRoom  = 16 << 20 // bytes of a segment of its log, which Postgres needs to start
)

// advice maps what servers write into their logs to what the reader can do.
var advice = []struct{ sign, todo string }{
	{"No space left on device", diskFull},
	{"is not compatible with", "the data was made by another version of PostgreSQL: set PG_BIN to the folder of that version's programs, or choose another folder with --data"},
	{"lock file \"postmaster.pid\" already exists", "another postgres runs on this folder: stop it"},
	{"shared memory block", "processes of an earlier postgres still run on this folder: stop them"},
	{"could not create shared memory", "the system's limit of shared memory is too low"},
	{"could not look up effective user ID", "PostgreSQL runs only as a user that /etc/passwd knows: add an entry for that id there, run notsale as another user, or give the DATABASE_URL of a Postgres of your own"},
	{"Permission denied", "check the owner and mode of the data folder and its parents"},
}

// explain adds to a failed run what the end of its log suggests, or the disk,
// which may have been too full for the log as well.
func (d *daemon) explain(err error, c *child) error {
	tail := c.tail()
	if strings.Contains(tail, "Address already in use") {
		return fmt.Errorf("listen on %s: %w", d.Address(), errPortTaken)
	}
	if !strings.Contains(err.Error(), c.spec.log) {
		err = fmt.Errorf("%w; see its log, %s%s", err, c.spec.log, quoteTail(tail))
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
func (d *daemon) Address() string { return net.JoinHostPort(d.host, strconv.Itoa(d.port)) }

// Stop ends the server: it asks, ever more urgently as ctx's deadline comes near
// (without one it takes at most 20 s), and in the end kills it, which is an error.
// Stopping again does nothing.
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

// ended gives a channel that closes when the current process ends, and a
// function that then says how. Not for a stand-in, which cannot die alone.
func (d *daemon) ended() (<-chan struct{}, func() error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.child
	return c.done, func() error { return d.explain(c.died(), c) }
}

// Kill ends the server and all its processes with SIGKILL, for fault tests; a
// stand-in it closes. It returns once they are gone. Restart brings it back.
func (d *daemon) Kill() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closeStand()
	if d.child == nil {
		return nil
	}
	return d.child.kill()
}

// Pause stops every process of the server (SIGSTOP), for fault tests. A stand-in
// cannot: errors.ErrUnsupported.
func (d *daemon) Pause() error { return d.signal((*child).pause) }

// Resume undoes Pause.
func (d *daemon) Resume() error { return d.signal((*child).resume) }

func (d *daemon) signal(how func(*child) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.child == nil {
		return fmt.Errorf("%s runs in-process: %w", d.name, errors.ErrUnsupported)
	}
	return how(d.child)
}
