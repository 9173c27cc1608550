//go:build unix

package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"notsale/pkg/backends/backendstest"
	"notsale/pkg/backends/backendstest/testlog"
	"notsale/pkg/effort"
	"notsale/services/servicetest"
	"notsale/services/servicetest/audittest"
)

const (
	startTime = 2 * effort.Patience // of `notsale up`, on a busy machine
	stopTime  = effort.Patience
	// always is a slot that does not end during a test.
	always = "87600h"
)

// process is a running `notsale up` with a data folder of its own.
type process struct {
	*servicetest.Shop

	address, postgres, nats string // host:port

	t      *testing.T
	data   string
	env    []string // beside the test's
	args   []string
	cmd    *exec.Cmd
	stdin  io.Closer // closed: the child ends
	output *testlog.Log
	ended  chan struct{} // closed when the child has ended
}

// runUp starts `notsale up` on a data folder in which Postgres has started and
// stopped before, and nothing else. The test ends with an audit.
func runUp(t *testing.T, args ...string) *process {
	t.Helper()
	return runUpWith(t, nil, args...)
}

// runUpToAsk is runUp for tests that want to see what the rejection cache says: the
// program waits for it.
func runUpToAsk(t *testing.T, args ...string) *process {
	t.Helper()
	return runUpWith(t, []string{"REDIS_URL=" + servicetest.PatientRedis(backendstest.New(t))}, args...)
}

// runUpWith is runUp with more variables.
func runUpWith(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	// Not t.TempDir, through which the children of root may not pass.
	data, err := os.MkdirTemp(effort.Folder(), "notsale-e2e-*")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(data, 0o711); err != nil {
		t.Fatal(err)
	}
	if err := backendstest.SeedPostgres(filepath.Join(data, "stores")); err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, data: data, env: env, args: args}
	t.Cleanup(func() {
		if p.cmd != nil {
			p.audit()
			p.kill()
		}
		// The stores of a killed program may still be ending.
		for deadline := time.Now().Add(stopTime); os.RemoveAll(data) != nil && time.Now().Before(deadline); {
			time.Sleep(10 * time.Millisecond)
		}
	})
	p.start("127.0.0.1:0")
	return p
}

var (
	sayOpen     = regexp.MustCompile(`notsale is open at http://(\S+) `)
	sayPostgres = regexp.MustCompile(`postgres +\S+ (\S+)`)
	sayNATS     = regexp.MustCompile(`nats +\S+ (\S+)`)
	sayEnd      = "Ctrl-C stops everything"
)

func (p *process) start(listen string) {
	p.t.Helper()
	args := append([]string{
		"up", "--data", filepath.Join(p.data, "stores"), "--listen", listen, "--ops-listen", "127.0.0.1:0", "--sale-every", always,
	}, p.args...)
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = []string{asProgram + "=1"}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "NOTSALE_") && !strings.HasPrefix(v, "DATABASE_URL") && !strings.HasPrefix(v, "REDIS_URL") && !strings.HasPrefix(v, "NATS_URL") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, p.env...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	p.output, p.stdin = &testlog.Log{}, stdin
	cmd.Stdout, cmd.Stderr = p.output, p.output
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.cmd, p.ended = cmd, make(chan struct{})
	go func(ended chan struct{}) {
		_ = cmd.Wait()
		close(ended)
	}(p.ended)
	p.awaitAddress()
}

func (p *process) awaitAddress() {
	p.t.Helper()
	deadline := time.After(startTime)
	for {
		if text := p.output.String(); strings.Contains(text, sayEnd) {
			p.address, p.postgres, p.nats = sayOpen.FindStringSubmatch(text)[1], sayPostgres.FindStringSubmatch(text)[1], sayNATS.FindStringSubmatch(text)[1]
			p.Shop = servicetest.NewShop(p.t, p.address)
			return
		}
		select {
		case <-p.ended:
			p.t.Fatalf("notsale up ended:\n%s", p.output)
		case <-deadline:
			p.t.Fatalf("notsale up did not open in %v:\n%s", startTime, p.output)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// stop ends the program as Ctrl-C does.
func (p *process) stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
		p.t.Fatal(err)
	}
	select {
	case <-p.ended:
	case <-time.After(stopTime):
		p.t.Fatalf("notsale up did not stop in %v:\n%s", stopTime, p.output)
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		p.t.Errorf("notsale up ended with status %d:\n%s", code, p.output)
	}
	p.forget()
}

// kill ends the program, and nothing else, with SIGKILL.
func (p *process) kill() {
	p.t.Helper()
	_ = p.cmd.Process.Kill() // it may have ended by itself
	<-p.ended
	p.forget()
}

func (p *process) forget() {
	_ = p.stdin.Close()
	p.cmd = nil
	text := p.output.String()
	for _, bad := range []string{"DATA RACE", "panic:", "a request ended in a panic", "ALARM", "goroutine 1 ["} {
		if strings.Contains(text, bad) {
			p.t.Errorf("the program says %q:\n%s", bad, text)
			return
		}
	}
	if p.t.Failed() {
		p.t.Logf("the program said:\n%s", text)
	}
}

// again starts the program on the same data and address.
func (p *process) again() {
	p.t.Helper()
	p.start(p.address)
}

// children are the ids of the processes that the program has started, by
// their command; empty where there is no /proc.
func (p *process) children() map[int]string {
	children := map[int]string{}
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", p.cmd.Process.Pid))
	for _, file := range files {
		text, _ := os.ReadFile(file)
		for id := range strings.FieldsSeq(string(text)) {
			if n, err := strconv.Atoi(id); err == nil {
				name, _ := os.ReadFile("/proc/" + id + "/comm")
				children[n] = strings.TrimSpace(string(name))
			}
		}
	}
	return children
}

// audit looks, while the program still runs, whether everything was decided and
// recorded as it had to be.
func (p *process) audit() {
	p.t.Helper()
	if p.t.Failed() {
		return
	}
	u := url.URL{Scheme: "nats", User: url.UserPassword("notsale", p.password("nats")), Host: p.nats}
	audittest.Settled(p.t, audittest.Stores{DatabaseURL: p.databaseURL(), NATSURL: u.String()})
}

func (p *process) password(of string) string {
	p.t.Helper()
	text, err := os.ReadFile(filepath.Join(p.data, "stores", of+".password"))
	if err != nil {
		p.t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

func (p *process) databaseURL() string {
	p.t.Helper()
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword("notsale", p.password("postgres")),
		Host: p.postgres, Path: "/notsale", RawQuery: "sslmode=disable&pool_max_conns=2",
	}
	return u.String()
}

// database opens the program's database.
func (p *process) database() *pgxpool.Pool {
	p.t.Helper()
	pool, err := pgxpool.New(context.Background(), p.databaseURL())
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(pool.Close)
	return pool
}
