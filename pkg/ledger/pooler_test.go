//go:build unix

package ledger_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"notsale/pkg/allocation"
	"notsale/pkg/backends/backendstest"
	"notsale/pkg/ledger"
)

// way is how ledgers reach a database: it turns its URL into theirs.
type way func(t *testing.T, databaseURL string) string

// each runs a test directly and through a pooler, of whose sessions there are
// fewer than those of two ledgers.
func each(t *testing.T, test func(t *testing.T, through way)) {
	t.Helper()
	for name, through := range map[string]way{
		"direct": func(_ *testing.T, databaseURL string) string { return databaseURL },
		"pooled": func(t *testing.T, databaseURL string) string {
			return pooled(t, databaseURL, "pool_mode = transaction", "default_pool_size = 3")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, through)
		})
	}
}

// pooled is the URL through a pooler as README says it.
func pooled(t *testing.T, databaseURL string, lines ...string) string {
	t.Helper()
	return withParameter(t, backendstest.Pooler(t, databaseURL, lines...), "default_query_exec_mode", "cache_describe")
}

// exercise does all that can be asked of a ledger.
func (w *world) exercise(t *testing.T, l *ledger.Ledger) {
	t.Helper()
	engine := w.openSale(t, l, 1, 10, 2)
	w.lead(t, l, 1)
	b := packed(engine, ask(engine.Sale(), 1, 0, "ann"))
	if err := l.Commit(t.Context(), 1, 1, b); err != nil {
		t.Errorf("Commit: %v", err)
	}
	for name, call := range calls(l, b) {
		switch err := call(t.Context()); {
		case err == nil, errors.Is(err, ledger.ErrNotFound), errors.Is(err, ledger.ErrFenced), errors.Is(err, ledger.ErrMoved):
		default:
			t.Errorf("%s: %v", name, err)
		}
	}
}

// ofDatabase changes what sessions of the world's database begin with, and ends
// those that there are.
func (w *world) ofDatabase(t *testing.T, change string) {
	t.Helper()
	w.exec(t, "ALTER DATABASE "+w.one(t, `SELECT current_database()::text`)+" "+change)
	w.exec(t, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
}

// Through a pooler that nobody has told anything, in either mode, each transaction
// has what it needs, whatever the server likes best, and leaves nothing behind.
func TestEachTransactionOfAPoolerHasWhatItNeeds(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"transaction", "session"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.exec(t, `CREATE TABLE noted (name text, commit text, statement text, idle text, UNIQUE (name, commit, statement, idle))`)
			w.exec(t, `CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
				INSERT INTO noted VALUES (TG_TABLE_NAME, current_setting('synchronous_commit'), current_setting('statement_timeout'),
					current_setting('idle_in_transaction_session_timeout')) ON CONFLICT DO NOTHING;
				RETURN NULL; END $$`)
			for _, table := range []string{"sales", "allocators", "leases", "cursors", "decisions", "items", "commits", "holes", "checkout_attempts", "attempt_cursors"} {
				w.exec(t, `CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON `+table+` EXECUTE FUNCTION note()`)
			}
			w.ofDatabase(t, `SET synchronous_commit = off`)
			w.ofDatabase(t, `SET statement_timeout = '59s'`)
			url := pooled(t, w.DatabaseURL, "pool_mode = "+mode)
			w.ledgers = url
			l, _ := w.open(t, "service")
			if err := l.CheckSchema(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.exercise(t, l)
			w.exec(t, `DELETE FROM noted WHERE statement = '0'`) // the test's own
			if got := w.one(t, `SELECT string_agg(DISTINCT concat_ws(' ', commit, statement, idle), ', ') FROM noted WHERE name <> 'allocators'`); got != "on 15s 15s" {
				t.Errorf("what must be durable was written with %s", got)
			}
			if got := w.one(t, `SELECT string_agg(concat_ws(' ', commit, statement, idle), ', ') FROM noted WHERE name = 'allocators'`); got != "off 5s 5s" {
				t.Errorf("renewals were written with %s", got)
			}
			if n := w.one(t, `SELECT count(DISTINCT name)::text FROM noted`); n != "10" {
				t.Errorf("%s of the tables were written", n)
			}
			var left string
			if err := w.session(t, url).QueryRow(t.Context(), `SHOW statement_timeout`).Scan(&left); err != nil || left != "59s" {
				t.Errorf("a session of the pooler was left with statement_timeout %s, %v", left, err)
			}
		})
	}
}

// A statement that fails no sooner than at its commit has failed.
func TestAFailureOfTheCommitItself(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, through way) {
		w := newWorld(t)
		w.ledgers = through(t, w.DatabaseURL)
		l, _ := w.open(t, "service")
		engine := w.openSale(t, l, 1, 10, 2)
		w.lead(t, l, 1)
		w.addSale(t, 2, 10, 2)
		w.exec(t, `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'at the end'; END $$`)
		w.exec(t, `CREATE CONSTRAINT TRIGGER late AFTER INSERT OR UPDATE ON items DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()`)
		w.exec(t, `CREATE CONSTRAINT TRIGGER late AFTER INSERT OR UPDATE ON sales DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()`)
		_, slot := l.OpenSlot(t.Context(), template())
		for what, err := range map[string]error{
			"one that returns a row":  l.Commit(t.Context(), 1, 1, packed(engine, ask(engine.Sale(), 1, 0, "ann"))),
			"one that returns no row": l.MarkOpen(t.Context(), 2, allocation.Genesis(allocation.Hash{}, genesisAt), genesisAt.Time()),
			"a transaction":           slot,
		} {
			if err == nil || !strings.Contains(err.Error(), "at the end") {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
}

// Where a pooler cannot be worked with, or not by this URL, the ledger says so at
// once, with what to do.
func TestWrongSetupsOfAPoolerAreRefused(t *testing.T) {
	t.Parallel()
	const (
		ignored = "ignore_startup_parameters = statement_timeout,idle_in_transaction_session_timeout,synchronous_commit"
		add     = "add default_query_exec_mode=cache_describe"
	)
	for name, c := range map[string]struct {
		mode, database string
		lines          []string
		want, todo     string
	}{
		"it knows no such parameters":               {lines: []string{"pool_mode = transaction"}, want: "unsupported startup parameter", todo: add},
		"in session mode, too":                      {lines: []string{"pool_mode = session"}, want: "unsupported startup parameter", todo: add},
		"commits are made as the server likes":      {database: "SET synchronous_commit = off", lines: []string{"pool_mode = transaction", ignored}, want: "synchronous_commit=off", todo: add},
		"statements last as long as they like":      {lines: []string{"pool_mode = transaction", ignored}, want: "statement_timeout", todo: add},
		"prepared statements are another session's": {database: "SET statement_timeout = '15s'", lines: []string{"pool_mode = transaction", ignored}, want: "pooler's", todo: add},
		"so are described ones":                     {mode: "describe_exec", database: "SET statement_timeout = '15s'", lines: []string{"pool_mode = transaction", ignored}, want: "pooler's", todo: add},
		"no transaction is kept together":           {mode: "cache_describe", lines: []string{"pool_mode = statement"}, want: "statement pooling mode", todo: "pool_mode=transaction"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if c.database != "" {
				w.ofDatabase(t, c.database)
				w.ofDatabase(t, "SET idle_in_transaction_session_timeout = '15s'")
			}
			w.ledgers = backendstest.Pooler(t, w.DatabaseURL, c.lines...)
			if c.mode != "" {
				w.ledgers = withParameter(t, w.ledgers, "default_query_exec_mode", c.mode)
			}
			l, _ := w.open(t, "pooled")
			for what, err := range map[string]error{"at start": l.CheckSchema(t.Context()), "later": l.Ping(t.Context())} {
				if !errors.Is(err, ledger.ErrUnfit) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.todo) {
					t.Errorf("%s: %v, want %q and %q", what, err, c.want, c.todo)
				}
			}
		})
	}
}

// Migrations take turns through a pooler, too, which has no session to lock.
func TestMigrateThroughAPooler(t *testing.T) {
	t.Parallel()
	test := backendstest.New(t)
	url := backendstest.Pooler(t, test.DatabaseURL, "pool_mode = transaction")
	results := make(chan int, 4)
	for range cap(results) {
		go func() {
			steps, err := ledger.Migrate(t.Context(), url)
			if err != nil {
				t.Error(err)
			}
			results <- steps
		}()
	}
	busy := 0
	for range cap(results) {
		select {
		case steps := <-results:
			busy += min(steps, 1)
		case <-time.After(patience):
			t.Fatal("the migrations wait for each other")
		}
	}
	if busy != 1 {
		t.Errorf("%d of the processes took steps, want one", busy)
	}
}
