//go:build linux

package cluster

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"time"
)

// Ran is a command of the program that has ended.
type Ran struct {
	Status      int
	Out, Err    string
	Took        time.Duration
	CPU         time.Duration // user and system
	MostRSS     int64         // bytes, at its largest
	Interrupted bool          // by the context
}

// Command is a command of the program that runs.
type Command struct {
	cmd       *exec.Cmd
	out, errs bytes.Buffer
	ctx       context.Context
	started   time.Time
	took      time.Duration // written before ended is closed
	mostRSS   int64         // likewise
	ended     chan struct{}
}

// Run runs a command of the program, such as audit, to its end.
func (a *Cluster) Run(ctx context.Context, args ...string) Ran {
	a.t.Helper()
	return a.Command(ctx, args...).Wait()
}

// Command starts a command of the program. It is killed when ctx ends.
func (a *Cluster) Command(ctx context.Context, args ...string) *Command {
	a.t.Helper()
	c := &Command{cmd: exec.CommandContext(ctx, a.program, args...), ctx: ctx, started: time.Now(), ended: make(chan struct{})}
	c.cmd.Env = environment(map[string]string{"DATABASE_URL": a.DatabaseURL, "REDIS_URL": a.RedisURL, "NATS_URL": a.NATSURL})
	c.cmd.Stdout, c.cmd.Stderr = &c.out, &c.errs
	if err := c.cmd.Start(); err != nil {
		a.t.Fatal(err)
	}
	go c.watch()
	return c
}

// watch waits for the end, and looks at the memory until then: what the system
// says of a process that has ended counts its parent's memory, too.
func (c *Command) watch() {
	defer close(c.ended)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = c.cmd.Wait() // the status says how it ended
		c.took = time.Since(c.started)
	}()
	for {
		if most := mostRSS(c.cmd.Process.Pid); most > c.mostRSS {
			c.mostRSS = most
		}
		select {
		case <-ended:
			return
		case <-time.After(pollPause):
		}
	}
}

// mostRSS is the largest size in memory that a process has had, in bytes; 0 if
// there is none.
func mostRSS(pid int) int64 {
	status, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	m := largestSize.FindSubmatch(status)
	if m == nil {
		return 0
	}
	n, _ := strconv.ParseInt(string(m[1]), 10, 64)
	return n << 10 // Linux counts kibibytes
}

var largestSize = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// Running reports whether the command has not ended.
func (c *Command) Running() bool {
	select {
	case <-c.ended:
		return false
	default:
		return true
	}
}

// Freeze stops the command where it is; Thaw lets it go on.
func (c *Command) Freeze() { _ = c.cmd.Process.Signal(syscall.SIGSTOP) }

// Thaw lets a frozen command go on.
func (c *Command) Thaw() { _ = c.cmd.Process.Signal(syscall.SIGCONT) }

// Wait waits for the command's end.
func (c *Command) Wait() Ran {
	<-c.ended
	p := c.cmd.ProcessState
	return Ran{
		Status: p.ExitCode(), Out: c.out.String(), Err: c.errs.String(), Took: c.took,
		CPU: p.UserTime() + p.SystemTime(), MostRSS: c.mostRSS, Interrupted: c.ctx.Err() != nil,
	}
}
