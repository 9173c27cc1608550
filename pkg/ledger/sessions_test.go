//go:build unix

package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"notsale/pkg/allocation"
	"notsale/pkg/backends/backendstest"
	"notsale/pkg/effort"
	"notsale/pkg/ledger"
)

// cancelWaits cancels what waits for a synchronous standby, until done.
func (w *world) cancelWaits(t *testing.T, done <-chan error) error {
	t.Helper()
	for deadline := time.After(patience); ; {
		w.CancelWaits()
		select {
		case err := <-done:
			return err
		case <-deadline:
			t.Fatal("it waits still")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// A commit that stands in this server only, because somebody has cancelled the
// wait for its synchronous standby, is none: nobody may be told of it.
func TestACancelledWaitForTheStandbyIsNoCommit(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, through way) {
		w := newWorld(t, backendstest.WithOwnPostgres)
		w.ledgers = through(t, w.DatabaseURL)
		w.cancelledWaits(t)
	})
}

func (w *world) cancelledWaits(t *testing.T) {
	t.Helper()
	l, _ := w.open(t, "service")
	engine := w.openSale(t, l, 1, 10, 2)
	w.lead(t, l, 1)
	b := packed(engine, ask(engine.Sale(), 1, 0, "ann"))
	found := w.LoseStandby()
	for _, c := range []struct {
		name string
		call func(context.Context) error
	}{
		{"one statement", func(ctx context.Context) error { return l.Commit(ctx, 1, 1, b) }},
		{"one that returns nothing", func(ctx context.Context) error { return l.Release(ctx, ledger.Lease{Sale: 1, Epoch: 1}) }},
		{"a transaction", func(ctx context.Context) error { _, err := l.OpenSlot(ctx, template()); return err }},
		{"a retry that reads the commit", func(ctx context.Context) error { _, _, err := l.DecisionOf(ctx, codeOf(1, 1)); return err }},
		{"retries that read it together", func(ctx context.Context) error {
			_, err := l.Verdicts(ctx, []ledger.Question{{Code: codeOf(1, 1)}}, false)
			return err
		}},
		{"a commit in doubt", func(ctx context.Context) error { _, err := l.Settled(ctx, 1, 1); return err }},
	} {
		done := make(chan error, 1)
		go func() { done <- c.call(context.WithoutCancel(t.Context())) }()
		if err := w.cancelWaits(t, done); !errors.Is(err, ledger.ErrUnconfirmed) {
			t.Errorf("%s: %v, want ErrUnconfirmed", c.name, err)
		}
	}
	read := make(chan error, 1)
	go func() {
		_, err := l.Verdicts(t.Context(), []ledger.Question{{Code: codeOf(1, 1)}}, false)
		read <- err
	}()
	eventually(t, "reading and confirming is one round trip", func() error {
		if query := w.one(t, `SELECT COALESCE(max(query), '') FROM pg_stat_activity WHERE wait_event = 'SyncRep'`); !strings.HasPrefix(query, "-- What is known for good") {
			return errors.New(query)
		}
		return nil
	})
	if err := w.cancelWaits(t, read); !errors.Is(err, ledger.ErrUnconfirmed) {
		t.Errorf("%v, want ErrUnconfirmed", err)
	}
	if held, err := l.Renew(t.Context(), long); err != nil || len(held) != 0 { // waits for nobody
		t.Errorf("held %v, %v", held, err)
	}
	found()
	if _, d, err := l.DecisionOf(t.Context(), codeOf(1, 1)); err != nil || d.Reason != allocation.Granted {
		t.Errorf("read when it is confirmed: %v, %v", d, err)
	}
	if pos, err := l.Settled(t.Context(), 1, 1); err != nil || pos.Cursor != b.After {
		t.Errorf("settled at %+v, %v, want %+v", pos.Cursor, err, b.After)
	}
}

// A session that can only read is dropped at the first write that it refuses,
// and none is made while the server is read-only. Who only reads minds neither.
func TestReadOnlySessionsAreDropped(t *testing.T) {
	t.Parallel()
	w := newWorld(t, backendstest.WithOwnPostgres)
	writer, name := w.open(t, "writer")
	reader, err := ledger.Open(t.Context(), ledger.Config{URL: w.DatabaseURL, Name: "reader", Conns: 1, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(reader.Close)
	w.openSale(t, writer, 1, 10, 2)
	release := func() error { return writer.Release(t.Context(), ledger.Lease{Sale: 1, Epoch: 1}) }
	if err := errors.Join(release(), reader.Ping(t.Context())); err != nil {
		t.Fatal(err)
	}
	old := w.one(t, `SELECT string_agg(pid::text, ',') FROM pg_stat_activity WHERE application_name = $1`, name)
	w.exec(t, `SET default_transaction_read_only = off`)
	w.Alter(`SET default_transaction_read_only = on`)
	eventually(t, "the session refuses to write", func() error {
		err := release()
		if refused := new(pgconn.PgError); !errors.Is(err, ledger.ErrReadOnly) && (!errors.As(err, &refused) || refused.Code != "25006") {
			return fmt.Errorf("it did not: %w", err)
		}
		return nil
	})
	eventually(t, "it is dropped", func() error {
		if n := w.one(t, `SELECT count(*)::text FROM pg_stat_activity WHERE pid::text = ANY (string_to_array($1, ','))`, old); n != "0" {
			return errors.New(n)
		}
		return nil
	})
	for what, call := range map[string]func() error{"a write": release, "health": func() error { return writer.Ping(t.Context()) }} {
		if err := call(); !errors.Is(err, ledger.ErrReadOnly) {
			t.Errorf("%s on a read-only server: %v", what, err)
		}
	}
	if err := reader.Ping(t.Context()); err != nil {
		t.Errorf("a reader: %v", err)
	}
	w.Alter(`RESET default_transaction_read_only`)
	eventually(t, "it writes again", release)
}

// Health finds a session that has become read-only without having written.
func TestHealthOfAWriterIsThatItCanWrite(t *testing.T) {
	t.Parallel()
	w := newWorld(t, backendstest.WithOwnPostgres)
	writer, _ := w.open(t, "writer")
	if err := writer.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.exec(t, `SET default_transaction_read_only = off`)
	w.Alter(`SET default_transaction_read_only = on`)
	eventually(t, "health says so", func() error {
		if err := writer.Ping(t.Context()); !errors.Is(err, ledger.ErrReadOnly) {
			return fmt.Errorf("health says %w", err)
		}
		return nil
	})
	w.Alter(`RESET default_transaction_read_only`)
	eventually(t, "it is healthy again", func() error { return writer.Ping(t.Context()) })
}

// The first of several hosts accepts and never answers: the second is reached all
// the same, and soon, by migrations too.
func TestAHostThatHangsIsPassedBy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hanging, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts
	if err != nil {
		t.Fatal(err)
	}
	defer hanging.Close()
	u, err := url.Parse(w.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = hanging.Addr().String() + "," + u.Host
	w.ledgers = u.String()
	l, _ := w.open(t, "service")
	started := time.Now()
	if err := l.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	effort.Figure(t, "past a host that hangs", time.Since(started), 4*time.Second)
	within, cancel := context.WithTimeout(t.Context(), patience) // the driver's own limit is two minutes a session
	defer cancel()
	if _, err := ledger.Migrate(within, u.String()); err != nil {
		t.Errorf("migrations: %v", err)
	}
}

// Of several servers a reader, too, takes the one that can be written, which knows
// the latest, also when that has changed.
func TestReadersOfSeveralServersFollowThePrimary(t *testing.T) {
	t.Parallel()
	w := newWorld(t, backendstest.WithOwnPostgres)
	standby := w.Standby()
	u := strings.Replace(w.DatabaseURL, w.Postgres.Address(), standby.Address()+","+w.Postgres.Address(), 1)
	reader, err := ledger.Open(t.Context(), ledger.Config{URL: u, Name: "reader", Conns: 1, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(reader.Close)
	if _, err := reader.Installation(t.Context()); err != nil {
		t.Fatal(err)
	}
	const sessions = `SELECT count(*)::text FROM pg_stat_activity WHERE application_name = 'reader'`
	if n := w.one(t, sessions); n != "1" {
		t.Errorf("%s of its sessions are with the primary", n)
	}
	w.Alter(`SET default_transaction_read_only = on`)
	w.Promote(standby)
	promoted := w.session(t, standby.URL())
	var latest [16]byte
	if err := promoted.QueryRow(t.Context(), `UPDATE installation SET id = gen_random_uuid() RETURNING id`).Scan(&latest); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it reads from the other server", func() error {
		if got, err := reader.Installation(t.Context()); err != nil || got != latest {
			return fmt.Errorf("it reads %v, %w", got, err)
		}
		return nil
	})
	eventually(t, "none of its sessions is left with the first", func() error {
		if n := w.one(t, sessions); n != "0" {
			return errors.New(n)
		}
		return nil
	})
}
