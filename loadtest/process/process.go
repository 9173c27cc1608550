//go:build unix

// Package process runs programs for the load tests, and asks them how they are.
package process

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"notsale/pkg/backends/backendstest/testlog"
	"notsale/pkg/effort"
)

// Process is a program that runs, or has ended.
type Process struct {
	cmd   *exec.Cmd
	log   testlog.Log
	ended chan struct{} // closed when it has ended
}

// Start starts a program, in the environment of this process without what configures
// notsale, and with these variables. What it says goes to its log, where the command
// has no other place for it.
func Start(cmd *exec.Cmd, env map[string]string) (*Process, error) {
	p := &Process{cmd: cmd, ended: make(chan struct{})}
	cmd.Env = environment(env)
	cmd.WaitDelay = time.Second // a child that outlives it may hold its log open
	if cmd.Stdout == nil {
		cmd.Stdout = &p.log
	}
	if cmd.Stderr == nil {
		cmd.Stderr = &p.log
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = cmd.Wait() // its state says how it ended
		close(p.ended)
	}()
	return p, nil
}

func environment(ours map[string]string) (env []string) {
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		switch url := strings.TrimSuffix(name, "_FILE"); {
		case strings.HasPrefix(name, "NOTSALE_"), url == "DATABASE_URL", url == "REDIS_URL", url == "NATS_URL":
		default:
			env = append(env, v)
		}
	}
	for name, value := range ours {
		env = append(env, name+"="+value)
	}
	return env
}

// Kill ends the process with SIGKILL.
func (p *Process) Kill() {
	p.signal(syscall.SIGKILL)
	<-p.ended
}

// Stop stops the process (SIGSTOP); Continue undoes it.
func (p *Process) Stop() { p.signal(syscall.SIGSTOP) }

// Continue lets a stopped process run on.
func (p *Process) Continue() { p.signal(syscall.SIGCONT) }

// Terminate asks the process to end, and does not wait for it.
func (p *Process) Terminate() { p.signal(syscall.SIGTERM) }

func (p *Process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) } // one that has ended does not mind

// Ended is closed when the process has ended; Status is its exit status then.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Running reports whether the process has not ended.
func (p *Process) Running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// Status is the exit status of a process that has ended.
func (p *Process) Status() int { return p.cmd.ProcessState.ExitCode() }

// Killed reports whether a process that has ended did so by SIGKILL.
func (p *Process) Killed() bool {
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// PID is the process's id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Log is what the process has said.
func (p *Process) Log() string { return p.log.String() }

const shownLog = 4000 // bytes

// LogEnd is the end of what the process has said.
func (p *Process) LogEnd() string {
	text := p.Log()
	return text[max(0, len(text)-shownLog):]
}

// The ports that processes listen on: below those that the kernel gives to
// outgoing connections, one of which might take a free port just before it is
// used.
const firstPort, lastPort = 20_000, 32_000

var nextPort atomic.Int64

// FreeAddress is a loopback address that was free a moment ago.
func FreeAddress() string {
	nextPort.CompareAndSwap(0, rand.Int64N(lastPort-firstPort)) //nolint:gosec // no secret
	for {
		address := net.JoinHostPort("127.0.0.1", strconv.FormatInt(firstPort+nextPort.Add(1)%(lastPort-firstPort), 10))
		l, err := net.Listen("tcp", address)
		if err == nil {
			_ = l.Close()
			return address
		}
	}
}

// lookTime is how long a look at a process may take, of those that are repeated:
// one that is stopped answers none.
const lookTime = 3 * time.Second

var (
	asker  = &http.Client{Timeout: effort.Patience, Transport: &http.Transport{DisableKeepAlives: true}}
	looker = &http.Client{Timeout: lookTime, Transport: asker.Transport}
)

// Ask sends a GET and returns status and body; status 0: no answer, and why.
func Ask(address, path string) (int, string) { return ask(asker, address, path) }

func ask(by *http.Client, address, path string) (int, string) {
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+address+path, http.NoBody)
	if err != nil {
		return 0, err.Error()
	}
	response, err := by.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(body)
}

// Ready reports whether who listens there says that it is ready.
func Ready(address string) bool {
	status, _ := ask(looker, address, "/readyz")
	return status == http.StatusOK
}

// Metric sums the samples of a metric whose labels contain all the texts, such
// as `kind="lost-tail"`; 0 if there is none or nobody answers.
func Metric(address, name string, labels ...string) float64 {
	_, text := ask(looker, address, "/metrics")
	return sum(text, name, labels)
}

// sum reads the Prometheus text format.
func sum(text, name string, labels []string) (sum float64) {
samples:
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest == "" || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		end := strings.LastIndexByte(rest, '}') + 1
		for _, l := range labels {
			if !strings.Contains(rest[:end], l) {
				continue samples
			}
		}
		if fields := strings.Fields(rest[end:]); len(fields) > 0 {
			n, _ := strconv.ParseFloat(fields[0], 64) // 0: not a sample
			sum += n
		}
	}
	return sum
}
