//go:build unix

package cluster

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"

	"notsale/pkg/backends"
	"notsale/pkg/backends/backendstest"
	"notsale/pkg/code"
	"notsale/pkg/effort"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
)

const (
	// Patience is how long Eventually waits.
	Patience  = effort.Patience
	pollPause = 10 * time.Millisecond
	setupTime = effort.Patience
	queryTime = 20 * time.Second // of one try of a query that is repeated
)

// Always is a slot that does not end during a test; Later is one that begins
// after it, so that a second scheduler opens one more sale.
const (
	Always = "87600h"
	Later  = "24h"
)

// Options of a cluster. Zero values are 1,000 items, 10 per user.
type Options struct {
	Stock, Limit int
	SaleBytes    int64                 // reserved per stream; 0: 16 MiB
	StreamStore  int64                 // JetStream's whole store, in a server of its own; 0: plenty
	Stores       []backendstest.Option // such as backendstest.WithOwnPostgres
	// Measured runs the program as it is built for use, also where GOFLAGS
	// asks for the race detector: so that its time and memory are the program's own.
	Measured bool
}

// Cluster is the stores of one test, and the processes that run on them.
type Cluster struct {
	*backendstest.Test

	DB   *pgxpool.Pool // looks into the tables, past the ledger
	Keys *code.Keyring

	t       testing.TB
	options Options
	program string
	keyFile string
	audited bool // or must not be

	mu        sync.Mutex
	processes []*Process // guarded by mu
	nc        *nats.Conn // guarded by mu; nil until it is needed
}

// The builds of notsale that the tests of this process run, each made when the
// first test asks for it.
var (
	program  = sync.OnceValues(func() (string, error) { return build("program") })
	measured = sync.OnceValues(func() (string, error) {
		flags := os.Getenv("GOFLAGS")
		if !strings.Contains(flags, "-race") {
			return program()
		}
		return build("measured", "GOFLAGS="+strings.ReplaceAll(flags, "-race", ""))
	})
	builds = sync.OnceValues(func() (folder string, err error) { return os.MkdirTemp("", "notsale-faults-*") })
)

// build builds the program, without what only debuggers read.
func build(name string, env ...string) (string, error) {
	dir, err := builds()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, name)
	cmd := exec.Command("go", "build", "-ldflags=-s -w", "-o", path, "notsale/services/notsale")
	cmd.Env = append(os.Environ(), env...)
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, text)
	}
	return path, nil
}

// Main runs the tests, stops shared servers, and removes what was built.
func Main(m *testing.M) {
	status := backendstest.Runner{M: m}.Run()
	if dir, err := builds(); err == nil {
		_ = os.RemoveAll(dir)
	}
	os.Exit(status)
}

// New prepares the stores. No process runs yet.
func New(t testing.TB, o Options) *Cluster {
	t.Helper()
	if o.Stock == 0 {
		o.Stock = 1000
	}
	if o.Limit == 0 {
		o.Limit = 10
	}
	if o.SaleBytes == 0 {
		o.SaleBytes = 16 << 20
	}
	built := program
	if o.Measured {
		built = measured
	}
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	a := &Cluster{Test: backendstest.New(t, append(o.Stores, backendstest.Prepared(ledger.Migrate))...), t: t, options: o, program: path}
	if o.StreamStore > 0 {
		a.smallStore()
	}
	a.makeKeys()
	a.open()
	t.Cleanup(a.auditEnd)
	t.Cleanup(a.endAll)
	return a
}

// must fails the test for an error.
func (a *Cluster) must(err error) {
	a.t.Helper()
	if err != nil {
		a.t.Fatal(err)
	}
}

// smallStore takes another NATS server instead of the test's.
func (a *Cluster) smallStore() {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), setupTime)
	defer cancel()
	n, err := backends.StartNATS(ctx, backends.Config{Data: a.t.TempDir(), Ephemeral: true, StreamStore: a.options.StreamStore}, quiet())
	a.must(err)
	a.t.Cleanup(func() { _ = n.Stop(context.Background()) })
	a.NATS, a.NATSURL = n, n.URL()
}

func (a *Cluster) makeKeys() {
	a.t.Helper()
	secret := sha256.Sum256([]byte(a.t.Name()))
	keys := []code.Key{{ID: 1, Secret: secret[:]}}
	text, err := code.FormatKeys(keys)
	if err == nil {
		a.keyFile = filepath.Join(a.t.TempDir(), "code-keys.json")
		err = os.WriteFile(a.keyFile, text, 0o600)
	}
	if err == nil {
		a.Keys, err = code.NewKeyring(keys)
	}
	a.must(err)
}

// Migrate brings the schema up to date.
func (a *Cluster) Migrate() {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), setupTime)
	defer cancel()
	_, err := ledger.Migrate(ctx, a.DatabaseURL)
	a.must(err)
}

func (a *Cluster) open() {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), setupTime)
	defer cancel()
	pool, err := pgxpool.New(ctx, a.DatabaseURL)
	a.must(err)
	a.DB = pool
	a.Exec(`UPDATE installation SET id = gen_random_uuid()`) // each test has its own
	a.t.Cleanup(pool.Close)
}

// Stream connects the test itself to NATS. It is closed when the test ends.
func (a *Cluster) Stream() *stream.Client {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), setupTime)
	defer cancel()
	cfg := stream.DefaultConfig()
	cfg.URL, cfg.Name = a.NATSURL, "test"
	c, err := stream.Connect(ctx, cfg, quiet())
	a.must(err)
	a.t.Cleanup(c.Close)
	return c
}

// ledger opens the ledger, to be closed by the caller.
func (a *Cluster) ledger() *ledger.Ledger {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), setupTime)
	defer cancel()
	l, err := ledger.Open(ctx, ledger.Config{URL: a.DatabaseURL, Name: "test", Conns: 1, ReadOnly: true})
	a.must(err)
	return l
}

// Sale reads a sale's row.
func (a *Cluster) Sale(id sale.ID) ledger.SaleRow {
	a.t.Helper()
	l := a.ledger()
	defer l.Close()
	row, err := l.Sale(context.Background(), id)
	a.must(err)
	return row
}

// Number asks the database for one number.
func (a *Cluster) Number(query string, args ...any) int64 {
	a.t.Helper()
	deadline := time.Now().Add(Patience)
	for {
		n, err := a.TryNumber(query, args...)
		if err == nil {
			return n
		}
		if time.Now().After(deadline) { // a session that a test has ended fails once
			a.t.Fatalf("%s: %v", query, err)
		}
		time.Sleep(pollPause)
	}
}

// TryNumber is Number for a database that may not answer.
func (a *Cluster) TryNumber(query string, args ...any) (n int64, err error) {
	err = a.scan(&n, query, args...)
	return n, err
}

// scan asks the database for one value.
func (a *Cluster) scan(value any, query string, args ...any) error {
	ctx, cancel := context.WithTimeout(context.Background(), queryTime)
	defer cancel()
	return a.DB.QueryRow(ctx, query, args...).Scan(value)
}

// Exec runs a statement.
func (a *Cluster) Exec(statement string, args ...any) {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), setupTime)
	defer cancel()
	if _, err := a.DB.Exec(ctx, statement, args...); err != nil {
		a.t.Fatalf("%.100s: %v", statement, err)
	}
}

// Epoch is the sale's epoch, 0 while nobody has ever led it or the database
// does not answer.
func (a *Cluster) Epoch(id sale.ID) int64 {
	n, err := a.TryNumber(`SELECT coalesce(max(epoch), 0) FROM leases WHERE sale_id = $1`, id)
	if err != nil {
		return 0
	}
	return n
}

// Sold is how many items of the sale have an owner, -1 while the database does
// not answer.
func (a *Cluster) Sold(id sale.ID) int64 {
	n, err := a.TryNumber(`SELECT coalesce(max(sold), 0) FROM cursors WHERE sale_id = $1`, id)
	if err != nil {
		return -1
	}
	return n
}

// LongestGap is the longest time between two commits of the sale from a moment
// on. Requests must have come all the time.
func (a *Cluster) LongestGap(id sale.ID, from time.Time) time.Duration {
	a.t.Helper()
	var seconds float64
	a.must(a.scan(&seconds, `
		SELECT coalesce(max(extract(epoch FROM gap)), 0)::float8 FROM (
			SELECT committed_at, committed_at - lag(committed_at) OVER (ORDER BY committed_at) AS gap
			FROM commits WHERE sale_id = $1) AS gaps
		WHERE committed_at > $2`, id, from))
	return time.Duration(seconds * float64(time.Second))
}

// Eventually waits until the condition holds, and returns how long that took. It
// fails the test after Patience.
func (a *Cluster) Eventually(what string, holds func() bool) time.Duration {
	a.t.Helper()
	return a.Within(Patience, what, holds)
}

// Within is Eventually with a limit of its own.
func (a *Cluster) Within(limit time.Duration, what string, holds func() bool) time.Duration {
	a.t.Helper()
	started := time.Now()
	for !holds() {
		if time.Since(started) > limit {
			a.t.Fatalf("after %v still not: %s", limit, what)
		}
		time.Sleep(pollPause)
	}
	return time.Since(started)
}
