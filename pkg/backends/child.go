//go:build unix

package backends

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	pollEvery   = 5 * time.Millisecond // how often a start or stop checks whether it is done
	attemptWait = 2 * time.Second      // limit of one try to get an answer; a starting server refuses, or answers, at once
	killWait    = 5 * time.Second      // how long processes may take to end after SIGKILL; only the kernel can delay that
	stopWait    = 20 * time.Second     // limit of a stop whose context has no deadline: a shutdown checkpoint of 128 MB takes seconds
)

// childSpec says how to run a child process.
type childSpec struct {
	name    string // of the part, for errors
	program string
	args    []string
	stdin   string           // what it reads there
	account *account         // who runs it; nil: the user of this process
	log     string           // path of the file that gets its output
	address string           // on which it listens, for errors
	signals []syscall.Signal // that ask it to stop, each more urgent than the one before
	onDeath syscall.Signal   // that it gets when this process dies
}

// child is a running process in a group of its own. It ends when this process ends.
type child struct {
	spec    childSpec
	process *os.Process
	logFrom int64         // where this run begins in its log
	done    chan struct{} // closed once the process is reaped; err is set before
	err     error         // how it ended; read after done
}

// startChild starts a process. It runs in "/", because its account may not be able to
// read our working folder, and with few of our environment variables, because they may
// hold secrets.
func startChild(spec childSpec) (*child, error) {
	log, from, err := openLog(spec.log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(spec.program, spec.args...)
	cmd.Dir, cmd.Env = "/", childEnv()
	cmd.Stdout, cmd.Stderr = log, log
	if spec.stdin != "" {
		cmd.Stdin = strings.NewReader(spec.stdin)
	}
	cmd.SysProcAttr = spec.account.attr()
	c := &child{spec: spec, logFrom: from, done: make(chan struct{})}
	err = launch(cmd, spec.onDeath, func(err error) {
		c.err = err
		close(c.done)
	})
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", spec.program, err)
	}
	c.process = cmd.Process
	return c, nil
}

func childEnv() []string {
	env := []string{"LC_ALL=C", "LANG=C"}
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// errNotReady says that a server is still starting.
var errNotReady = errors.New("it is still starting")

// serveChild starts a server as a child process and waits until it answers. ask tries
// once whether it does; settled: asking again is useless.
func (d *daemon) serveChild(ctx context.Context, spec childSpec, limit time.Duration, ask func(context.Context, *child) (settled bool, err error)) (process, error) {
	c, err := d.startChild(spec)
	if err != nil {
		return nil, err
	}
	if err := c.ready(ctx, limit, ask); err != nil {
		return nil, errors.Join(err, c.stop(ctx, spec.signals[len(spec.signals)-1]))
	}
	return c, nil
}

func (d *daemon) startChild(spec childSpec) (*child, error) {
	spec.account, spec.log, spec.address = d.account, d.dir+".log", d.Address()
	return startChild(spec)
}

func (c *child) ready(ctx context.Context, limit time.Duration, ask func(context.Context, *child) (settled bool, err error)) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		settled, err := ask(ctx, c)
		if settled {
			return err
		}
		if !c.running() {
			return c.died()
		}
		if waited := briefly(ctx); waited != nil {
			return c.explain(fmt.Errorf("no answer on %s: %w (last: %w)", c.spec.address, waited, err))
		}
	}
}

// running reports whether the process has not been reaped yet: until then, no other
// process can have its id.
func (c *child) running() bool {
	select {
	case <-c.done:
		return false
	default:
		return true
	}
}

// attempt returns a context for one try to get an answer from the process. It ends
// with the process: another program that has the port may accept and never answer.
func (c *child) attempt(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, attemptWait)
	go func() {
		select {
		case <-c.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

func (c *child) tail() string { return logTail(c.spec.log, c.logFrom) }

func (c *child) ended() <-chan struct{} { return c.done }

func (c *child) died() error {
	return c.explain(fmt.Errorf("%s ended: %w", c.spec.name, cmp.Or(c.err, errExited)))
}

// end stops the process; see stop.
func (c *child) end(ctx context.Context, gone func()) error {
	defer gone()
	return c.stop(ctx, c.spec.signals...)
}

var errExited = errors.New("exited by itself")

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
func (c *child) explain(err error) error {
	tail := c.tail()
	if strings.Contains(tail, "Address already in use") {
		return fmt.Errorf("listen on %s: %w", c.spec.address, errPortTaken)
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
	if !hasRoom(filepath.Dir(c.spec.log), walRoom) {
		return fmt.Errorf("%s: %w", diskFull, err)
	}
	return err
}

// wait waits for the end of a process that ends by itself. If ctx ends first, it
// kills the process and its descendants.
func (c *child) wait(ctx context.Context) error {
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		return errors.Join(ctx.Err(), c.kill())
	}
}

// stop sends each signal in turn, waits for an equal share of the time that ctx
// leaves, and kills at the end. A process that had to be killed is an error.
func (c *child) stop(ctx context.Context, signals ...syscall.Signal) error {
	if !c.running() {
		return nil
	}
	_ = c.signalFamily(syscall.SIGCONT) // a suspended process handles no signal
	left := stopWait
	if deadline, ok := ctx.Deadline(); ok {
		left = time.Until(deadline)
	}
	share := max(left*9/10/time.Duration(len(signals)), 50*time.Millisecond)
	for _, sig := range signals {
		_ = c.process.Signal(sig)
		select {
		case <-c.done:
			return nil
		case <-time.After(share):
		}
	}
	if err := c.kill(); err != nil {
		return err
	}
	return fmt.Errorf("%s did not stop within %v and was killed", c.spec.name, left.Round(time.Millisecond))
}

// family lists the process and all its descendants. A signal to the group would
// miss Postgres's children, which leave it.
func (c *child) family() ([]int, error) {
	below, err := descendants(c.process.Pid)
	if err != nil {
		return nil, fmt.Errorf("list processes of %s: %w", c.spec.name, err)
	}
	return append([]int{c.process.Pid}, below...), nil
}

// signalFamily sends a signal to the process, then to its descendants: one that is
// suspended first makes no more children while they are listed.
func (c *child) signalFamily(sig syscall.Signal) error {
	if err := c.process.Signal(sig); err != nil {
		return fmt.Errorf("signal %s: %w", c.spec.name, err)
	}
	family, err := c.family()
	if err != nil {
		return err
	}
	for _, pid := range family[1:] {
		_ = syscall.Kill(pid, sig) // it may have just ended
	}
	return nil
}

// kill ends the whole family with SIGKILL and returns once all are gone.
func (c *child) kill() error {
	if !c.running() {
		return nil
	}
	_ = c.process.Signal(syscall.SIGSTOP)
	family, err := c.family()
	if err != nil {
		family = []int{c.process.Pid}
	}
	for _, pid := range family {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	limit := time.Now().Add(killWait)
	for time.Now().Before(limit) {
		if !c.running() && !slices.ContainsFunc(family[1:], alive) {
			return nil
		}
		time.Sleep(pollEvery)
	}
	return fmt.Errorf("%s: processes %v remain %v after SIGKILL", c.spec.name, family, killWait)
}

// exists reports whether there is a process with this id; it may be a zombie.
func exists(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}

// collect lists the descendants of pid, its children first.
func collect(parents map[int][]int, pid int) []int {
	found := slices.Clone(parents[pid])
	for _, child := range parents[pid] {
		found = append(found, collect(parents, child)...)
	}
	return found
}
