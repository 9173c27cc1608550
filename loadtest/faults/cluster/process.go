//go:build unix

package cluster

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"notsale/loadtest/faults/proxy"
	"notsale/pkg/backends/backendstest/testlog"
)

// The roles that processes have.
const (
	Edge      = "edge"
	Allocator = "allocator"
	Recorder  = "recorder"
	Scheduler = "scheduler"
)

// Process is one running `notsale <role>`.
type Process struct {
	Role, Name string
	Address    string // of an edge's shop, host:port
	Ops        string // of the operations listener

	// The way to each store, of processes started with Through.
	ToPostgres, ToRedis, ToNATS *proxy.Proxy

	cmd    *exec.Cmd
	output *testlog.Log
	pipe   *os.File      // the log of a process started with Unread
	ended  chan struct{} // closed when the process has ended
}

// start collects what Start was asked for.
type start struct {
	program string
	args    []string
	env     map[string]string
	routed  bool
	wait    bool
	unread  bool
}

// Option changes how a process is started.
type Option func(*start)

// Flags adds arguments.
func Flags(args ...string) Option { return func(s *start) { s.args = append(s.args, args...) } }

// Program starts another build of notsale.
func Program(path string) Option { return func(s *start) { s.program = path } }

// Env sets a variable of the process's environment.
func Env(name, value string) Option { return func(s *start) { s.env[name] = value } }

// Through puts a proxy between the process and each store.
func Through(s *start) { s.routed = true }

// Unread makes the process's log a pipe that nobody reads; see Process.FillLog.
func Unread(s *start) { s.unread = true }

// Unready returns at once, without waiting until the process is ready.
func Unready(s *start) { s.wait = false }

// Start starts a process and waits until it is ready: an edge lists a sale, the
// others answer.
func (a *Cluster) Start(role string, options ...Option) *Process {
	a.t.Helper()
	s := &start{program: a.program, wait: true, env: map[string]string{
		"DATABASE_URL": a.DatabaseURL, "REDIS_URL": a.RedisURL, "NATS_URL": a.NATSURL,
	}}
	for _, set := range options {
		set(s)
	}
	p := &Process{Role: role, Ops: freeAddress(), output: &testlog.Log{}, ended: make(chan struct{})}
	if s.routed {
		a.route(p, s)
	}
	args := []string{role, "--ops-listen", p.Ops}
	switch role {
	case Edge:
		p.Address = freeAddress()
		args = append(args, "--listen", p.Address, "--code-keys", a.keyFile)
	case Scheduler:
		args = append(args, "--sale-every", Always, "--sale-stock", strconv.Itoa(a.options.Stock), "--user-limit", strconv.Itoa(a.options.Limit),
			"--sale-bytes", strconv.FormatInt(a.options.SaleBytes, 10), "--attempt-bytes", strconv.FormatInt(a.options.SaleBytes, 10))
	}
	p.cmd = exec.Command(s.program, append(args, s.args...)...)
	p.cmd.Env = environment(s.env)
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	if s.unread {
		p.pipe = a.unreadPipe()
		p.cmd.Stderr = p.pipe
	}
	if err := p.cmd.Start(); err != nil {
		a.t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	a.mu.Lock()
	a.processes = append(a.processes, p)
	p.Name = fmt.Sprintf("%s-%d", role, len(a.processes))
	a.mu.Unlock()
	if s.wait {
		a.awaitReady(p)
	}
	return p
}

// StartAll starts so many of each role, and waits until sale 1 is open, led
// and listed by every edge.
func (a *Cluster) StartAll(schedulers, allocators, recorders, edges int) (shops []*Process, deciders []*Process) {
	a.t.Helper()
	start := func(role string, n int) (started []*Process) {
		for range n {
			started = append(started, a.Start(role, Unready))
		}
		return started
	}
	all := start(Scheduler, schedulers)
	deciders = start(Allocator, allocators)
	all = append(all, start(Recorder, recorders)...)
	shops = start(Edge, edges)
	for _, p := range append(append(all, deciders...), shops...) {
		a.awaitReady(p)
	}
	if allocators > 0 {
		a.Eventually("sale 1 is led", func() bool { return a.Epoch(1) > 0 })
	}
	return shops, deciders
}

func (a *Cluster) awaitReady(p *Process) {
	a.t.Helper()
	a.Within(setupTime, p.Name+" is ready", func() bool {
		select {
		case <-p.ended:
			a.t.Fatalf("%s ended:\n%s", p.Name, p.Log())
		default:
		}
		return p.Ready() && (p.Role != Edge || p.Metric("notsale_edge_sales") > 0)
	})
}

// route puts proxies in front of the stores.
func (a *Cluster) route(p *Process, s *start) {
	a.t.Helper()
	for i, store := range []struct {
		env string
		to  **proxy.Proxy
	}{{"DATABASE_URL", &p.ToPostgres}, {"REDIS_URL", &p.ToRedis}, {"NATS_URL", &p.ToNATS}} {
		u, err := url.Parse(s.env[store.env])
		if err != nil {
			a.t.Fatal(err)
		}
		way, err := proxy.New(u.Host, uint64(i))
		if err != nil {
			a.t.Fatal(err)
		}
		a.t.Cleanup(way.Close)
		*store.to, u.Host = way, way.Address()
		s.env[store.env] = u.String()
	}
}

// environment is the test's without what configures notsale, and with ours.
func environment(ours map[string]string) (env []string) {
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if _, set := ours[strings.TrimSuffix(name, "_FILE")]; !set && !strings.HasPrefix(name, "NOTSALE_") {
			env = append(env, v)
		}
	}
	for name, value := range ours {
		env = append(env, name+"="+value)
	}
	return env
}

// The ports that processes listen on: below those that the kernel gives to
// outgoing connections, one of which might take a free port just before it is
// used.
const firstPort, lastPort = 20_000, 32_000

var nextPort atomic.Int64

// freeAddress is a loopback address that was free a moment ago.
func freeAddress() string {
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

// Kill ends the process with SIGKILL.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
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
func (p *Process) Log() string { return p.output.String() }

// endAll ends every process and, for a failed test, shows what they said.
func (a *Cluster) endAll() {
	a.mu.Lock()
	processes := a.processes
	a.mu.Unlock()
	for _, p := range processes {
		p.Continue()
		p.Kill()
	}
	for _, p := range processes {
		text := p.Log()
		for _, bad := range []string{"DATA RACE", "panic:", "a request ended in a panic"} {
			if strings.Contains(text, bad) {
				a.t.Errorf("%s says %q", p.Name, bad)
			}
		}
		if a.t.Failed() {
			a.t.Logf("%s said:\n%s", p.Name, tail(text))
		}
	}
}

const shownLog = 4000 // bytes of each process's log that a failed test shows

func tail(text string) string {
	if len(text) > shownLog {
		return "…" + text[len(text)-shownLog:]
	}
	return text
}

// lookTime is how long a look at a process may take, of those that are repeated:
// one that is stopped answers none.
const lookTime = 3 * time.Second

var (
	asker  = &http.Client{Timeout: Patience, Transport: &http.Transport{DisableKeepAlives: true}}
	looker = &http.Client{Timeout: lookTime, Transport: asker.Transport}
)

// Ask sends a GET and returns status and body; status 0: no answer.
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

// Ready reports whether the process says that it is ready.
func (p *Process) Ready() bool {
	status, _ := ask(looker, p.Ops, "/readyz")
	return status == http.StatusOK
}

// Metric sums the samples of a metric whose labels contain all the texts, such
// as `kind="lost-tail"`; 0 if there is none or the process does not answer.
func (p *Process) Metric(name string, labels ...string) (sum float64) {
	_, text := ask(looker, p.Ops, "/metrics")
samples:
	for line := range strings.Lines(text) {
		sample, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		metric, rest, _ := strings.Cut(sample, "{")
		if metric != name {
			continue
		}
		for _, l := range labels {
			if !strings.Contains(rest, l) {
				continue samples
			}
		}
		if n, err := strconv.ParseFloat(value, 64); err == nil {
			sum += n
		}
	}
	return sum
}

// Leads reports whether an allocator decides any sale.
func (p *Process) Leads() bool { return p.Metric("notsale_allocator_sales") > 0 }

// Leader waits until one of the allocators leads, and returns it first.
func (a *Cluster) Leader(of []*Process) (leader *Process, others []*Process) {
	a.t.Helper()
	a.Eventually("an allocator leads", func() bool {
		leader, others = nil, nil
		for _, p := range of {
			if leader == nil && p.Leads() {
				leader = p
			} else {
				others = append(others, p)
			}
		}
		return leader != nil
	})
	return leader, others
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }
