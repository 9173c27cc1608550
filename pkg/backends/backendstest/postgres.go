//go:build unix

package backendstest

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"notsale/pkg/backends"
	"notsale/pkg/backends/backendstest/seed"
)

var (
	databases   atomic.Int64 // made so far, for their names
	notInName   = regexp.MustCompile(`[^a-z0-9]+`)
	maxTestName = 40 // bytes of a test's name in its database's; Postgres allows 63 in all
)

// The databases of a server that those of tests are copies of.
const (
	emptyModel    = "template1"
	preparedModel = "prepared"
)

// newDatabase gives a test a copy of a database, until the test ends.
func newDatabase(t testing.TB, p *backends.Postgres, model string) string {
	t.Helper()
	test := notInName.ReplaceAllString(strings.ToLower(t.Name()), "_")
	name := fmt.Sprintf("t%d_%.*s", databases.Add(1), maxTestName, test)
	if err := execute(p.URL(), "CREATE DATABASE "+name+" TEMPLATE "+model); err != nil {
		t.Fatalf("create test database: %v", err)
	}
	t.Cleanup(func() {
		if err := execute(p.URL(), "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Errorf("drop test database: %v", err)
		}
	})
	return urlOf(p, name)
}

// urlOf is the URL of a database of the server.
func urlOf(p *backends.Postgres, database string) string {
	u, _ := url.Parse(p.URL()) // which was made by url.URL
	u.Path = "/" + database
	return u.String()
}

// prepareOnce makes the prepared database of the server, unless it is there.
func (s *shared) prepareOnce(p *backends.Postgres, how Preparation) error {
	s.preparing.Lock()
	defer s.preparing.Unlock()
	if s.prepared[p] {
		return nil
	}
	err := execute(p.URL(), "CREATE DATABASE "+preparedModel)
	if err == nil {
		err = prepare(how, urlOf(p, preparedModel))
	}
	s.prepared[p] = err == nil
	return err
}

func prepare(how Preparation, url string) error {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	_, err := how(ctx, url)
	return err
}

// execute runs a statement.
func execute(address, statement string) error {
	return connected(address, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, statement)
		return err
	})
}

// connected uses a connection of its own: a pool would leave goroutines behind
// that leak checks find.
func connected(address string, use func(context.Context, *pgx.Conn) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	return use(ctx, conn)
}

// startSeeded starts a Postgres on data that are those of a new one.
func startSeeded(ctx context.Context, cfg backends.Config, log *slog.Logger) (*backends.Postgres, error) {
	if err := SeedPostgres(cfg.Data); err != nil {
		return nil, err
	}
	return backends.StartPostgres(ctx, cfg, log)
}

// SeedPostgres fills the data folder, which is made if need be, with what a
// Postgres keeps there that has just been started for the first time, and
// stopped.
func SeedPostgres(data string) error {
	return seed.Postgres(data, func(data string) error {
		cfg := backends.DefaultConfig()
		cfg.Data, cfg.Ephemeral = data, true
		p, err := start(cfg, backends.StartPostgres)
		if err != nil {
			return err
		}
		return p.Stop(context.Background())
	})
}

// LoseStandby makes each commit on the test's own Postgres wait for a synchronous
// standby that there is not, until found is called. It returns when one has waited:
// sessions know the setting before the server heeds it.
func (test *Test) LoseStandby() (found func()) {
	test.t.Helper()
	test.Alter(`SET synchronous_standby_names = 'nobody'`)
	for waited := false; !waited; {
		done := make(chan error, 1)
		go func() { done <- execute(test.DatabaseURL, `SELECT pg_logical_emit_message(true, 'test', '')`) }()
		for ended := false; !ended; {
			select {
			case err := <-done:
				if err != nil {
					test.t.Fatal(err)
				}
				ended = true
			case <-time.After(10 * time.Millisecond):
				waited = test.CancelWaits() > 0 || waited
			}
		}
	}
	return func() {
		test.t.Helper()
		test.Alter(`RESET synchronous_standby_names`)
	}
}

// CancelWaits cancels the commits that wait for a synchronous standby, which then
// are in this server only, and returns how many.
func (test *Test) CancelWaits() (n int64) {
	test.t.Helper()
	err := connected(test.DatabaseURL, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'`).Scan(&n)
	})
	if err != nil {
		test.t.Fatal(err)
	}
	return n
}

// Alter changes a setting of the test's own Postgres, by what follows ALTER SYSTEM.
// Sessions heed it a moment later.
func (test *Test) Alter(change string) {
	test.t.Helper()
	for _, statement := range []string{"ALTER SYSTEM " + change, "SELECT pg_reload_conf()"} {
		if err := execute(test.DatabaseURL, statement); err != nil {
			test.t.Fatal(err)
		}
	}
}
