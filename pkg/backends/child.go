//go:build unix

package backends

import (
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
	pollEvery   = 5 * time.Millisecond // how often a start or stop looks whether it is done
	attemptWait = 2 * time.Second      // limit of one try to get an answer; a server that starts refuses, or answers, at once
	killWait    = 5 * time.Second      // how long processes may take to vanish after SIGKILL; only the kernel can delay them
	stopWait    = 20 * time.Second     // limit of a stop whose context has no deadline: a shutdown checkpoint of 128 MB takes seconds
)

// childSpec says how to run a child process.
type childSpec struct {
	name    string // of the part, for errors
	program string
	args    []string
	stdin   string   // what it reads there
	account *account // who runs it; nil: ourselves
	log     string   // path of the file that gets its output
	onDeath syscall.Signal
}

// child is a running process with a group of its own that ends when we end.
type child struct {
	spec    childSpec
	process *os.Process
	logFrom int64         // where this run begins in its log
	done    chan struct{} // closed once the process is reaped; err is set before
	err     error         // how it ended; read after done
}

// startChild starts a process. It runs in "/", because its account may not be
// able to read our working folder, and with few environment variables, because
// ours may hold secrets.
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

// running tells whether the process has not been reaped yet, which also means
// that its process id is still its own.
func (c *child) running() bool {
	select {
	case <-c.done:
		return false
	default:
		return true
	}
}

// attempt gives a context for one try to get an answer from the process. It ends
// with the process: a stranger that has the port may accept and never answer.
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

// died describes an end that nobody asked for. Only valid once done.
func (c *child) died() error {
	reason := "exited by itself"
	if c.err != nil {
		reason = c.err.Error()
	}
	return fmt.Errorf("%s ended: %s; see its log, %s%s", c.spec.name, reason, c.spec.log, quoteTail(c.tail()))
}

func quoteTail(tail string) string {
	if tail == "" {
		return ""
	}
	return ", which ends:\n    " + strings.ReplaceAll(tail, "\n", "\n    ")
}

// wait waits for the end of a process that ends by itself. When ctx ends first,
// it kills the process and everything below it.
func (c *child) wait(ctx context.Context) error {
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		return errors.Join(ctx.Err(), c.kill())
	}
}

// stop asks with each signal in turn, giving each its part of the time that ctx
// leaves, and kills at the end. A process that had to be killed is an error.
func (c *child) stop(ctx context.Context, signals ...syscall.Signal) error {
	if !c.running() {
		return nil
	}
	_ = c.resume() // a stopped process would not hear
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

// family lists the process and all its descendants. Postgres's children leave
// the group of their parent, so signalling the group would miss them.
func (c *child) family() ([]int, error) {
	below, err := descendants(c.process.Pid)
	if err != nil {
		return nil, fmt.Errorf("list processes of %s: %w", c.spec.name, err)
	}
	return append([]int{c.process.Pid}, below...), nil
}

// pause stops the whole family, parent first, so that it makes no more children
// while they are listed.
func (c *child) pause() error { return c.signalFamily(syscall.SIGSTOP) }

func (c *child) resume() error { return c.signalFamily(syscall.SIGCONT) }

func (c *child) signalFamily(sig syscall.Signal) error {
	if err := c.process.Signal(sig); err != nil {
		return fmt.Errorf("signal %s: %w", c.spec.name, err)
	}
	family, err := c.family()
	if err != nil {
		return err
	}
	for _, pid := range family[1:] {
		_ = syscall.Kill(pid, sig) // one that has just ended is fine
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
		if !c.running() && !anyAlive(family[1:]) {
			return nil
		}
		time.Sleep(pollEvery)
	}
	return fmt.Errorf("%s: processes %v remain %v after SIGKILL", c.spec.name, family, killWait)
}

// exists tells whether there is a process of this number, though it may only wait
// to be reaped.
func exists(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}

func anyAlive(pids []int) bool {
	for _, pid := range pids {
		if alive(pid) {
			return true
		}
	}
	return false
}

// collect walks the tree of processes below pid, nearest first.
func collect(parents map[int][]int, pid int) []int {
	found := slices.Clone(parents[pid])
	for _, child := range parents[pid] {
		found = append(found, collect(parents, child)...)
	}
	return found
}
