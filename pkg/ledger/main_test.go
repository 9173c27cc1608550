package ledger_test

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"notsale/pkg/allocation"
	"notsale/pkg/backends/backendstest"
	"notsale/pkg/code"
	"notsale/pkg/effort"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(backendstest.Runner{M: m}) }

// patience is how long a test waits for what must happen soon.
const patience = effort.Patience

// tb is a *testing.T or a *rapid.T.
type tb interface {
	Helper()
	Fatalf(format string, args ...any)
}

// world is one test's migrated database, with a session that looks past the
// ledger.
type world struct {
	*backendstest.Test

	raw     *pgx.Conn
	ledgers string // the URL of those that are opened
}

func newWorld(t *testing.T, opts ...backendstest.Option) *world {
	t.Helper()
	w := &world{Test: backendstest.New(t, append(opts, backendstest.Prepared(ledger.Migrate))...)}
	w.raw, w.ledgers = w.session(t, w.DatabaseURL), w.DatabaseURL
	w.exec(t, `UPDATE installation SET id = gen_random_uuid()`) // no test is another's
	return w
}

// session opens a session that the ledger knows nothing about.
func (w *world) session(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

var ledgers atomic.Int64 // opened so far, for their names

// open opens a ledger of a process that is called name. The name is made
// unique: other tests' sessions live on the same server.
func (w *world) open(t *testing.T, name string) (*ledger.Ledger, string) {
	t.Helper()
	name = fmt.Sprintf("%s-%d", name, ledgers.Add(1))
	l, err := ledger.Open(t.Context(), ledger.Config{URL: w.ledgers, Name: name, Conns: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l, name
}

func (w *world) exec(t tb, statement string, args ...any) {
	t.Helper()
	if _, err := w.raw.Exec(context.Background(), statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// one returns the text of the one value that the query selects.
func (w *world) one(t tb, query string, args ...any) string {
	t.Helper()
	var value string
	if err := w.raw.QueryRow(context.Background(), query, args...).Scan(&value); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return value
}

// dump is every row of every table, as text.
func (w *world) dump(t tb) map[string][]string {
	t.Helper()
	ctx := context.Background()
	rows, err := w.raw.Query(ctx, `SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'`)
	if err != nil {
		t.Fatalf("%v", err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatalf("%v", err)
	}
	all := make(map[string][]string, len(tables))
	for _, table := range tables {
		rows, err := w.raw.Query(ctx, `SELECT row_to_json(t)::text FROM `+pgx.Identifier{table}.Sanitize()+` AS t ORDER BY 1`)
		if err != nil {
			t.Fatalf("%v", err)
		}
		if all[table], err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
			t.Fatalf("%v", err)
		}
	}
	return all
}

// unchanged fails unless the database still holds what it held.
func (w *world) unchanged(t tb, before map[string][]string) {
	t.Helper()
	after := w.dump(t)
	for _, table := range slices.Sorted(maps.Keys(after)) {
		if !reflect.DeepEqual(before[table], after[table]) {
			t.Fatalf("table %s was written:\nbefore %s\nafter  %s", table, strings.Join(before[table], "\n"), strings.Join(after[table], "\n"))
		}
	}
}

// genesisAt is the stream's time of every opening record in these tests.
const genesisAt = sale.Instant(1_800_000_000_000_000)

// addSale makes the row of a sale of an hour of its own, in state preparing.
// Each sale has a thousand item ids, from 1000 times its number.
func (w *world) addSale(t tb, id sale.ID, stock, limit int) {
	t.Helper()
	w.exec(t, `INSERT INTO sales (sale_id, sale_uuid, installation, opens_at, stock, user_limit, first_item, seed, rules)
		SELECT $1, gen_random_uuid(), id, to_timestamp($1::bigint * 3600), $2, $3, $1 * 1000, 7, 1 FROM installation`, int64(id), stock, limit)
}

// openSale makes an open sale and returns the engine that decides it.
func (w *world) openSale(t tb, l *ledger.Ledger, id sale.ID, stock, limit int) *allocation.Engine {
	t.Helper()
	ctx := context.Background()
	w.addSale(t, id, stock, limit)
	opening := allocation.Hash{byte(id), 1}
	if err := l.MarkOpen(ctx, id, allocation.Genesis(opening, genesisAt), genesisAt.Time()); err != nil {
		t.Fatalf("%v", err)
	}
	row, err := l.Sale(ctx, id)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return allocation.New(row.Sale, opening, genesisAt)
}

// lead takes the lease of a sale that no other allocator has, with epoch 1.
func (w *world) lead(t tb, l *ledger.Ledger, id sale.ID) {
	t.Helper()
	ctx := context.Background()
	var others []sale.ID
	for n := range id {
		others = append(others, n)
	}
	if _, err := l.Renew(ctx, long); err != nil {
		t.Fatalf("%v", err)
	}
	if taken, err := l.Take(ctx, long, others, 1); err != nil || len(taken) != 1 || taken[0] != (ledger.Lease{Sale: id, Epoch: 1}) {
		t.Fatalf("lease of sale %d: %v, %v", id, taken, err)
	}
}

// codeOf is the id of the sale's n-th code.
func codeOf(id sale.ID, n int) code.ID {
	return code.ID{byte(id >> 8), byte(id), byte(n >> 8), byte(n), 0xc0}
}

// ask is a request by a user for the item with an index, with the sale's n-th
// code.
func ask(s sale.Sale, n, item int, user sale.UserID) allocation.Request {
	return allocation.Request{
		Number: uint64(n), Code: codeOf(s.ID, n), Item: s.FirstItem + sale.ItemID(item), User: user,
		Expires: genesisAt + 1_000_000_000,
	}
}

// packed applies the requests as the stream's next message, in a batch of
// their own.
func packed(e *allocation.Engine, requests ...allocation.Request) *allocation.Batch {
	b := e.Begin()
	sequence := e.Cursor().Sequence + 1
	e.Apply(allocation.Pack{
		Sequence: sequence, Time: genesisAt + sale.Instant(sequence), Hash: allocation.Hash{byte(sequence)},
		Edge: "edge", Requests: requests,
	}, b)
	return b
}

// eventually asks until the answer is nil.
func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		<-time.After(10 * time.Millisecond)
	}
}
