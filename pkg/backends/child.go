//go:build unix

package backends

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
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
	stdin   string         // what it reads there
	account *account       // who runs it; nil: the user of this process
	log     string         // path of the file that gets its output
	onDeath syscall.Signal // that it gets when this process dies
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

// died describes an unexpected end. It is valid once done is closed.
func (c *child) died() error {
	return fmt.Errorf("%s ended: %w", c.spec.name, cmp.Or(c.err, errExited))
}

var errExited = errors.New("exited by itself")

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
