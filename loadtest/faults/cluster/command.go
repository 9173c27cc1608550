//go:build unix

package cluster

import (
	"bytes"
	"context"
	"os/exec"
	"time"

	"github.com/prometheus/procfs"

	"notsale/loadtest/process"
)

// Ran is a command of the program that has ended.
type Ran struct {
	Status   int
	Out, Err string
	Took     time.Duration
	MostRSS  int64 // bytes, at its largest
}

// Command is a command of the program that runs.
type Command struct {
	*process.Process

	out, errs bytes.Buffer
	ran       chan Ran // gets it once
}

// Run runs a command of the program, such as audit, to its end.
func (a *Cluster) Run(ctx context.Context, args ...string) Ran {
	a.t.Helper()
	return a.Command(ctx, args...).Wait()
}

// Command starts a command of the program. It is killed when ctx ends.
func (a *Cluster) Command(ctx context.Context, args ...string) *Command {
	a.t.Helper()
	c := &Command{ran: make(chan Ran, 1)}
	cmd := exec.CommandContext(ctx, a.program, args...)
	cmd.Stdout, cmd.Stderr = &c.out, &c.errs
	started := time.Now()
	var err error
	if c.Process, err = process.Start(cmd, a.urls()); err != nil {
		a.t.Fatal(err)
	}
	go func() {
		most := c.watch()
		c.ran <- Ran{Status: c.Status(), Out: c.out.String(), Err: c.errs.String(), Took: time.Since(started), MostRSS: int64(most)}
	}()
	return c
}

// watch reads the largest size in memory again and again until the command has ended:
// what the system says afterwards includes the memory of the parent.
func (c *Command) watch() (most uint64) {
	for c.Running() {
		if p, err := procfs.NewProc(c.PID()); err == nil {
			if s, err := p.NewStatus(); err == nil {
				most = max(most, s.VmHWM)
			}
		}
		select {
		case <-c.Ended():
		case <-time.After(pollPause):
		}
	}
	return most
}

// Wait waits for the command's end. It is called once.
func (c *Command) Wait() Ran { return <-c.ran }
