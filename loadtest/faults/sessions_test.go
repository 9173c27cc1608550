//go:build linux

package faults_test

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"notsale/loadtest/faults/cluster"
	"notsale/loadtest/process"
	"notsale/pkg/backends/backendstest"
)

// saysOf waits until /health of a process says this of the database.
func saysOf(a *cluster.Cluster, p *cluster.Process, want string) {
	a.Eventually(p.Name+" says that the database is "+want, func() bool {
		_, body := process.Ask(p.Ops, "/health")
		return strings.Contains(body, `"database":"`+want+`"`)
	})
}

// For a while sessions lead to a server that cannot be written, as after a
// failover, or through a proxy that led to a standby. Health says so of whoever
// writes; when it is over, purchases are decided again, though the connections
// were left.
func TestSessionsThatCannotWriteAreNotKept(t *testing.T) {
	t.Parallel()
	a := cluster.New(t, cluster.Options{Stock: 100})
	edges, allocators := a.StartAll(1, 1, 0, 1)
	sells(t, a, edges, 1)
	database, err := url.Parse(a.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	of := func(change string) {
		a.Exec("ALTER DATABASE " + strings.TrimPrefix(database.Path, "/") + " " + change)
	}
	of(`SET default_transaction_read_only = on`) // of sessions that begin from now on
	a.Number(`SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'notsale-%'`)
	saysOf(a, allocators[0], "error")
	saysOf(a, edges[0], "ok") // it only reads
	crowd := a.Crowd(edges, cluster.CrowdOptions{Clients: 4, First: 11, Num: 4, Alone: true})
	failures := func() float64 { return allocators[0].Metric("notsale_allocator_restarts_total") }
	before := failures()
	a.Eventually("it has tried with new sessions", func() bool { return failures() >= before+3 })
	until := a.Number(`SELECT (extract(epoch FROM clock_timestamp()) * 1e6)::bigint`) // what began before cannot write
	a.Eventually("it goes on trying", func() bool { return failures() >= before+6 })
	of(`RESET default_transaction_read_only`)
	for _, v := range crowd.Finish() {
		if v.Status != http.StatusOK {
			t.Errorf("item %d: %d", v.Item, v.Status)
		}
	}
	saysOf(a, allocators[0], "ok")
	// One that is kept may be used again at any time, and is all there is where
	// the pool was full of them.
	a.Eventually("no session is left that cannot write", func() bool {
		return a.Number(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'notsale-allocator-%'
			AND extract(epoch FROM backend_start) * 1e6 < $1`, until) == 0
	})
}

// Allocators have database roles of their own, neither a member of the other.
// The holder is stopped: the other may not end its sessions, and leads all the
// same.
func TestATakeoverNeedsNoPrivilege(t *testing.T) {
	t.Parallel()
	a := cluster.New(t, cluster.Options{Stock: 100, Stores: []backendstest.Option{backendstest.WithOwnPostgres}})
	var allocators []*cluster.Process
	for _, role := range []string{"one", "two"} {
		a.Exec(`CREATE ROLE ` + role + ` LOGIN PASSWORD 'secret'`)
		a.Exec(`GRANT ALL ON ALL TABLES IN SCHEMA public TO ` + role)
		u, err := url.Parse(a.DatabaseURL)
		if err != nil {
			t.Fatal(err)
		}
		u.User = url.UserPassword(role, "secret")
		allocators = append(allocators, a.Start(cluster.Allocator, cluster.Env("DATABASE_URL", u.String())))
	}
	edges, _ := a.StartAll(1, 0, 0, 1)
	leader, others := a.Leader(allocators)
	sells(t, a, edges, 1)
	takenOnce(t, a, edges, 11, leader.Stop)
	if n := a.Number(`SELECT count(*) FROM pg_stat_activity WHERE application_name = (SELECT max(name) FROM allocators WHERE expires_at < clock_timestamp())`); n == 0 {
		t.Error("the holder's sessions were ended, so this shows nothing")
	}
	if !others[0].Leads() {
		t.Error("the other does not lead")
	}
}

// The leader's log is a pipe that nobody reads, and it is full: a sale goes on
// all the same.
func TestALogThatNobodyReads(t *testing.T) {
	t.Parallel()
	a := cluster.New(t, cluster.Options{Stock: 100, Stores: []backendstest.Option{backendstest.WithOwnRedis}})
	first := a.Start(cluster.Allocator, cluster.Flags("--log-level", "debug"), cluster.Unread)
	edges, _ := a.StartAll(1, 0, 0, 1)
	a.Eventually("it leads", first.Leads)
	heir := a.Start(cluster.Allocator)
	a.FillLog(first)
	if err := a.Redis.Kill(); err != nil { // of which each commit tells the log
		t.Fatal(err)
	}
	sells(t, a, edges, 1)
	sells(t, a, edges, 11)
	heir.Terminate()
	<-heir.Ended()
}

// A NATS account allows one consumer of a stream, and somebody has it. The
// allocator that needs it is not ready, and says so once; then it is free.
func TestAnAccountWithOneConsumer(t *testing.T) {
	t.Parallel()
	limited := limitedNATS(t)
	a := cluster.New(t, cluster.Options{Stock: 100})
	a.NATSURL = limited
	edges, _ := a.StartAll(1, 0, 0, 1)
	hog, err := a.Stream().Read(t.Context(), 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	p := a.Start(cluster.Allocator)
	const limit = "maximum consumers limit reached"
	a.Eventually("it is not ready, and says why", func() bool {
		status, body := process.Ask(p.Ops, "/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(body, "sale 1 is not decided") && strings.Contains(body, limit)
	})
	if n := strings.Count(p.Log(), limit); n != 1 {
		t.Errorf("%d lines of the log name the limit", n)
	}
	hog.Stop()
	a.Eventually("it is ready", p.Ready)
	sells(t, a, edges, 1)
	a.Spoilt() // who audits would need the one consumer
}

// limitedNATS runs a server whose account may have one consumer of each stream.
func limitedNATS(t *testing.T) string {
	t.Helper()
	config := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(config, []byte(`
		accounts { A { users: [{user: a, password: a}], jetstream { max_mem: 1GB, max_file: 4GB, max_streams: -1, max_consumers: 1 } } }
		no_auth_user: a
		jetstream {}`), 0o600); err != nil {
		t.Fatal(err)
	}
	opts, err := server.ProcessConfigFile(config)
	if err != nil {
		t.Fatal(err)
	}
	opts.Host, opts.Port, opts.StoreDir, opts.NoSigs, opts.NoLog = "127.0.0.1", server.RANDOM_PORT, t.TempDir(), true, true
	s, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(cluster.Patience) {
		t.Fatal("the server is not ready")
	}
	return s.ClientURL()
}

// PGSERVICE names a service that this machine has not: the URL says it all.
func TestPGSERVICEIsNobodysBusiness(t *testing.T) {
	t.Parallel()
	a := cluster.New(t, cluster.Options{Stock: 100})
	a.Start(cluster.Allocator, cluster.Env("PGSERVICE", "prod"))
}

// Who needs no Redis is well without it, though the settings that all roles are
// given name one.
func TestARedisThatIsNotNeededIsNotAsked(t *testing.T) {
	t.Parallel()
	a := cluster.New(t, cluster.Options{Stock: 100})
	p := a.Start(cluster.Scheduler, cluster.Env("REDIS_URL", "rediss://127.0.0.1:1"))
	a.Eventually("it is well", func() bool {
		status, _ := process.Ask(p.Ops, "/health")
		return status == http.StatusOK
	})
}

// Each role works with as few sessions as it may be given, and never has more.
func TestFewestSessions(t *testing.T) {
	t.Parallel()
	a := cluster.New(t, cluster.Options{Stock: 100})
	fewest := map[string]string{cluster.Scheduler: "2", cluster.Allocator: "4", cluster.Recorder: "2", cluster.Edge: "4"}
	var edges []*cluster.Process
	for _, role := range []string{cluster.Scheduler, cluster.Allocator, cluster.Recorder, cluster.Edge} {
		p := a.Start(role, cluster.Flags("--database-conns", fewest[role]))
		if role == cluster.Edge {
			edges = append(edges, p)
		}
	}
	visits := a.Crowd(edges, cluster.CrowdOptions{Clients: 64}).Finish()
	a.Audit(visits, cluster.Expect{SoldOut: true})
	for role, n := range fewest {
		most, _ := strconv.ParseInt(n, 10, 64)
		if role == cluster.Allocator {
			most++
		}
		if had := a.Number(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'notsale-' || $1 || '-%'`, role); had > most {
			t.Errorf("%s has %d sessions, of %d", role, had, most)
		}
	}
	isRefused(t, a, a.Start(cluster.Edge, cluster.Flags("--database-conns", "3"), cluster.Unready), "--database-conns 3: edge needs 4 at least")
}

// isRefused waits until a process that cannot work as it was started ends, and looks
// that it has said why.
func isRefused(t *testing.T, a *cluster.Cluster, p *cluster.Process, why string) {
	t.Helper()
	a.Eventually(p.Name+" ends", func() bool {
		select {
		case <-p.Ended():
			return true
		default:
			return false
		}
	})
	if said := p.Log(); p.Status() == 0 || !strings.Contains(said, why) {
		t.Errorf("%s ends with %d and does not say %q:\n%s", p.Name, p.Status(), why, said)
	}
}
