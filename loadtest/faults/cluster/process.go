//go:build unix

package cluster

import (
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"notsale/loadtest/faults/proxy"
	"notsale/loadtest/process"
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

	*process.Process

	pipe *os.File // the log of a process started with Unread
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
	s := &start{program: a.program, wait: true, env: a.urls()}
	for _, set := range options {
		set(s)
	}
	p := &Process{Role: role, Ops: process.FreeAddress()}
	if s.routed {
		a.route(p, s)
	}
	args := []string{role, "--ops-listen", p.Ops}
	switch role {
	case Edge:
		p.Address = process.FreeAddress()
		args = append(args, "--listen", p.Address, "--code-keys", a.keyFile)
	case Scheduler:
		args = append(args, "--sale-every", Always, "--sale-stock", strconv.Itoa(a.options.Stock), "--user-limit", strconv.Itoa(a.options.Limit),
			"--sale-bytes", strconv.FormatInt(a.options.SaleBytes, 10), "--attempt-bytes", strconv.FormatInt(a.options.SaleBytes, 10))
	}
	cmd := exec.Command(s.program, append(args, s.args...)...)
	if s.unread {
		p.pipe = a.unreadPipe()
		cmd.Stderr = p.pipe
	}
	var err error
	if p.Process, err = process.Start(cmd, s.env); err != nil {
		a.t.Fatal(err)
	}
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
		if !p.Running() {
			a.t.Fatalf("%s ended:\n%s", p.Name, p.Log())
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
		a.must(err)
		way, err := proxy.New(u.Host, uint64(i))
		a.must(err)
		a.t.Cleanup(way.Close)
		*store.to, u.Host = way, way.Address()
		s.env[store.env] = u.String()
	}
}

func (a *Cluster) urls() map[string]string {
	return map[string]string{"DATABASE_URL": a.DatabaseURL, "REDIS_URL": a.RedisURL, "NATS_URL": a.NATSURL}
}

// EndAll ends every process, with SIGKILL.
func (a *Cluster) EndAll() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, p := range a.processes {
		p.Continue()
		p.Kill()
	}
}

// endAll ends every process and, for a failed test, shows what they said.
func (a *Cluster) endAll() {
	a.EndAll()
	for _, p := range a.processes {
		for _, bad := range []string{"DATA RACE", "panic:", "a request ended in a panic"} {
			if strings.Contains(p.Log(), bad) {
				a.t.Errorf("%s says %q", p.Name, bad)
			}
		}
		if a.t.Failed() {
			a.t.Logf("%s said in the end:\n%s", p.Name, p.LogEnd())
		}
	}
}

// Ready reports whether the process says that it is ready.
func (p *Process) Ready() bool { return process.Ready(p.Ops) }

// Metric is process.Metric of the process.
func (p *Process) Metric(name string, labels ...string) float64 {
	return process.Metric(p.Ops, name, labels...)
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
