//go:build unix

package backends

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"notsale/pkg/backends/backendstest/seed"
	"notsale/pkg/effort"
)

// parentOf makes the test binary a program that starts the three stores on the
// folder it names, prints a report and waits to be killed.
const parentOf = "NOTSALE_TEST_PARENT_OF"

func TestMain(m *testing.M) {
	if data := os.Getenv(parentOf); data != "" {
		beParent(data)
	}
	os.Exit(m.Run())
}

// report names the processes of a parent's children.
type report struct{ Postgres, Redis, PostgresChild int }

func beParent(data string) {
	b, err := Start(context.Background(), Config{Data: data}, discard())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	family, err := b.postgres.run.(*child).family()
	if err != nil || len(family) < 2 {
		fmt.Fprintln(os.Stderr, "no children of postgres:", err)
		os.Exit(1)
	}
	r := report{Postgres: family[0], PostgresChild: family[1]}
	if c, ok := b.redis.run.(*child); ok {
		r.Redis = c.process.Pid
	}
	_ = json.NewEncoder(os.Stdout).Encode(r)
	select {}
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// newData gives a folder that does not exist yet, which root's children can
// reach.
func newData(t *testing.T) string {
	t.Helper()
	parent, err := os.MkdirTemp(effort.Folder(), "notsale-backends-test-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(parent) })
	if err := os.Chmod(parent, 0o711); err != nil {
		t.Fatal(err)
	}
	return parent + "/data"
}

// newSeeded gives a folder in which Postgres has started and stopped before, for tests
// that need no new one.
func newSeeded(t *testing.T) string {
	t.Helper()
	data := newData(t)
	err := seed.Postgres(data, func(data string) error {
		p, err := StartPostgres(t.Context(), Config{Data: data, Ephemeral: true}, discard())
		if err != nil {
			return err
		}
		return p.Stop(t.Context())
	})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func stop(t *testing.T, part func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), effort.Patience)
	defer cancel()
	began := time.Now()
	if err := part(ctx); err != nil {
		t.Errorf("stop: %v", err)
	}
	t.Logf("stopped in %v", time.Since(began).Round(time.Millisecond))
}

// start starts all three, and stops them when the test ends.
func start(t *testing.T, cfg Config) *Backends {
	t.Helper()
	began := time.Now()
	b, err := Start(t.Context(), cfg, discard())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("started in %v: %+v", time.Since(began).Round(time.Millisecond), b.Parts())
	t.Cleanup(func() { stop(t, b.Stop) })
	return b
}

// startPostgres starts only Postgres, without fsync.
func startPostgres(t *testing.T, data string) *Postgres {
	t.Helper()
	p, err := StartPostgres(t.Context(), Config{Data: data, Ephemeral: true}, discard())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, p.Stop) })
	return p
}

// query gives the first column of the first row as text.
func query(t *testing.T, url, sql string) string {
	t.Helper()
	text, err := ask(t.Context(), url, sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return text
}

func ask(ctx context.Context, url, sql string) (string, error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close(context.Background()) }()
	rows, err := conn.Query(ctx, sql, pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		return "", err
	}
	text, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(text) == 0 {
		return "", err
	}
	return text[0], nil
}

// eventually polls until the condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	limit := time.Now().Add(effort.Patience)
	for !holds() {
		if time.Now().After(limit) {
			t.Fatalf("after %v still not: %s", effort.Patience, what)
		}
		time.Sleep(pollEvery)
	}
}
