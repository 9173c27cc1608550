//go:build unix

package simulation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"pgregory.net/rapid"

	"notsale/pkg/allocation"
	"notsale/pkg/backends/backendstest"
	"notsale/pkg/code"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/services/allocator"
	"notsale/services/edge/shop"
)

func TestMain(m *testing.M) { backendstest.Main(m) }

// statements are the ledger as an allocator or an edge sees it: the model's, or the
// real one.
type statements interface {
	allocator.Leases
	allocator.History
	allocator.Commits
	shop.Ledger
}

// The model of the ledger means what the real one means: whatever allocators
// do, in whatever order, both say the same and hold the same.
func TestTheModelOfTheLedgerIsTheLedger(t *testing.T) {
	names := []string{"one", "two"}
	db, real := realLedgers(t, names...)
	rapid.Check(t, func(t *rapid.T) {
		if _, err := db.Exec(context.Background(), `TRUNCATE sales, leases, allocators, cursors, decisions, items, commits, holes, archives`); err != nil {
			t.Fatal(err)
		}
		w := newWorld(1)
		model := newBook(w)
		m := &twins{t: t, w: w, db: db}
		for i, name := range names {
			m.ledgers[i] = [2]statements{bookOf{model, name, nil}, real[i]}
		}
		m.open(bookOf{model, names[0], nil}, real[0], rapid.IntRange(1, 5).Draw(t, "stock"))
		t.Repeat(map[string]func(*rapid.T){
			"renew": m.renew, "take": m.take, "release": m.release, "expire": m.expire, "commit": m.commit,
			"commit as if of another epoch": m.commitStale, "hole": m.openHole, "verdict": m.verdict, "": m.same,
		})
	})
}

// realLedgers opens a database of its own as each of these sees it.
func realLedgers(t *testing.T, names ...string) (db *pgxpool.Pool, ledgers []*ledger.Ledger) {
	t.Helper()
	stores := backendstest.New(t)
	if _, err := ledger.Migrate(t.Context(), stores.DatabaseURL); err != nil {
		t.Fatal(err)
	}
	db, err := pgxpool.New(t.Context(), stores.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	for _, name := range names {
		l, err := ledger.Open(t.Context(), ledger.Config{URL: stores.DatabaseURL, Name: name, Conns: 2})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(l.Close)
		ledgers = append(ledgers, l)
	}
	return db, ledgers
}

// twins are a model and a real ledger to which the same is done.
type twins struct {
	t       *rapid.T
	w       *world
	db      *pgxpool.Pool
	ledgers [2][2]statements // by allocator; model, real
	of      sale.Sale
	leases  [2]ledger.Lease // what each allocator believes to hold
	marks   []allocation.Mark
	cursors []allocation.Cursor // of the last commit, and one that is none
	time    sale.Instant
}

// ttl is longer than a check takes: leases expire when they are told to.
const ttl = time.Hour

func (m *twins) open(model bookOf, real *ledger.Ledger, stock int) {
	ctx := context.Background()
	t := ledger.Template{Every: time.Second, Stock: stock, UserLimit: 2, Seed: 1}
	genesis := allocation.Genesis(allocation.Hash{1}, m.w.now)
	created := m.w.now.Time()
	_, errModel := model.OpenSlot(ctx, t)
	_, errReal := real.OpenSlot(ctx, t)
	if err := errors.Join(errModel, errReal, model.MarkOpen(ctx, 1, genesis, created), real.MarkOpen(ctx, 1, genesis, created)); err != nil {
		m.t.Fatal(err)
	}
	m.of = model.sale(1).row.Sale
	m.time = m.w.now
	m.marks = []allocation.Mark{{Time: genesis.PackTime, Hash: genesis.PackHash}}
}

// both does something with either ledger and compares what they say.
func both[T any](t *rapid.T, m *twins, who int, what string, do func(statements) (T, error)) (T, error) {
	a, errA := do(m.ledgers[who][0])
	b, errB := do(m.ledgers[who][1])
	for range 4 { // a takeover has ended the sessions of this one, in the ledger only
		if ended := new(pgconn.PgError); !errors.As(errB, &ended) || ended.Code != "57P01" {
			break
		}
		b, errB = do(m.ledgers[who][1])
	}
	if fmt.Sprint(a) != fmt.Sprint(b) || errors.Is(errA, ledger.ErrFenced) != errors.Is(errB, ledger.ErrFenced) || (errA == nil) != (errB == nil) {
		t.Fatalf("%s by %d: model %v, %v; ledger %v, %v", what, who, a, errA, b, errB)
	}
	return a, errA
}

func who(t *rapid.T) int { return rapid.IntRange(0, 1).Draw(t, "who") }

func (m *twins) renew(t *rapid.T) {
	_, _ = both(t, m, who(t), "renew", func(d statements) ([]ledger.Lease, error) { return d.Renew(context.Background(), ttl) })
}

func (m *twins) take(t *rapid.T) {
	n := who(t)
	taken, _ := both(t, m, n, "take", func(d statements) ([]ledger.Lease, error) { return d.Take(context.Background(), ttl, nil, 10) })
	if len(taken) == 1 {
		m.leases[n] = taken[0]
	}
}

func (m *twins) release(t *rapid.T) {
	n := who(t)
	if m.leases[n].Sale == 0 {
		t.Skip("nothing was ever taken")
	}
	_, _ = both(t, m, n, "release", func(d statements) (int, error) { return 0, d.Release(context.Background(), m.leases[n]) })
}

// expire lets an allocator's lease run out, in both.
func (m *twins) expire(t *rapid.T) {
	name := []string{"one", "two"}[who(t)]
	book := m.ledgers[0][0].(bookOf).book
	if _, alive := book.alive[name]; alive {
		book.alive[name] = 0
	}
	if _, err := m.db.Exec(context.Background(), `UPDATE allocators SET expires_at = '-infinity' WHERE name = $1`, name); err != nil {
		t.Fatal(err)
	}
}

// batch decides some packs after the cursor of the ledger.
func (m *twins) batch(t *rapid.T) *allocation.Batch {
	d := m.ledgers[0][0]
	pos, _ := d.Cursor(context.Background(), 1)
	decisions, _ := all(d)
	engine, err := allocation.Restore(m.of, pos.Cursor, each(decisions), 0)
	if err != nil {
		t.Fatal(err)
	}
	b := engine.Begin()
	for range rapid.IntRange(1, 3).Draw(t, "packs") {
		m.time += sale.Instant(rapid.IntRange(0, 5).Draw(t, "time"))
		p := allocation.Pack{Sequence: engine.Cursor().Sequence + 1, Time: m.time, Hash: allocation.Hash{byte(rapid.IntRange(1, 250).Draw(t, "hash"))}, Edge: "e"}
		for range rapid.IntRange(1, 3).Draw(t, "requests") {
			k := rapid.IntRange(0, 20).Draw(t, "code")
			p.Requests = append(p.Requests, allocation.Request{
				Code: code.ID{byte(k)}, Item: m.of.FirstItem + sale.ItemID(k%6), User: sale.UserID(fmt.Sprintf("u%d", k%3)), Expires: 1 << 60,
			})
		}
		engine.Apply(p, b)
	}
	return b
}

// each yields decisions as a ledger does.
func each(ds []allocation.Decision) func(func(allocation.Decision, error) bool) {
	return func(yield func(allocation.Decision, error) bool) {
		for _, d := range ds {
			if !yield(d, nil) {
				return
			}
		}
	}
}

func (m *twins) commit(t *rapid.T) { m.commitAs(t, 0) }

func (m *twins) commitStale(t *rapid.T) { m.commitAs(t, rapid.Int64Range(-1, 1).Draw(t, "epochs off")) }

func (m *twins) commitAs(t *rapid.T, off int64) {
	n, b := who(t), m.batch(t)
	lease := m.leases[n]
	lease.Sale = 1
	lease.Epoch += off
	if _, err := both(t, m, n, "commit", func(d statements) (int, error) { return 0, d.Commit(context.Background(), 1, lease.Epoch, b) }); err == nil {
		m.marks = append(m.marks[:b.Before.Sequence], b.Packs...)
		m.cursors = []allocation.Cursor{b.After, {Generation: b.After.Generation, Sequence: b.After.Sequence}}
	}
}

func (m *twins) openHole(t *rapid.T) {
	n := who(t)
	pos, _ := m.ledgers[n][0].Cursor(context.Background(), 1)
	c := pos.Cursor
	matching := rapid.Uint64Range(1, c.Sequence).Draw(t, "matching")
	h := &allocation.Hole{Generation: c.Generation + 1, Matching: matching, Mark: m.marks[matching-1], Lost: c}
	lease := m.leases[n]
	lease.Sale = 1
	if _, err := both(t, m, n, "hole", func(d statements) (int, error) { return 0, d.OpenGeneration(context.Background(), 1, lease.Epoch, h) }); err == nil {
		m.marks = m.marks[:matching]
	}
}

// verdict asks what is known of a request for good.
func (m *twins) verdict(t *rapid.T) {
	k, limits := rapid.IntRange(0, 20).Draw(t, "code"), rapid.Bool().Draw(t, "limits")
	q := ledger.Question{Item: m.of.FirstItem + sale.ItemID(rapid.IntRange(0, 5).Draw(t, "item")), User: sale.UserID(fmt.Sprintf("u%d", k%3))}
	if rapid.Bool().Draw(t, "purchase") {
		q.Code = code.ID{byte(k)}
	}
	_, _ = both(t, m, 0, "verdict", func(d statements) (string, error) {
		rows, err := d.SalesOf(context.Background(), nil, []sale.ItemID{m.of.FirstItem})
		if err != nil || len(rows) != 1 {
			return fmt.Sprint(len(rows), " sales"), err
		}
		q.Sale = rows[0].Sale.UUID
		verdicts, err := d.Verdicts(context.Background(), []ledger.Question{q}, limits)
		if err != nil || verdicts[0].Decision == nil {
			return fmt.Sprint(verdicts), err
		}
		return fmt.Sprint(*verdicts[0].Decision), nil
	})
}

// all reads the decisions, page by page.
func all(d statements) (list []allocation.Decision, err error) {
	for after := int64(0); ; after = list[len(list)-1].Position {
		page, err := d.DecisionPage(context.Background(), 1, after, 1<<40, 3, nil)
		if list = append(list, page...); err != nil || len(page) < 3 {
			return list, err
		}
	}
}

// same compares all that can be read.
func (m *twins) same(t *rapid.T) {
	for n := range m.ledgers {
		_, _ = both(t, m, n, "cursor", func(d statements) (ledger.Position, error) { return d.Cursor(context.Background(), 1) })
		_, _ = both(t, m, n, "settled", func(d statements) (ledger.Position, error) {
			return d.Settled(context.Background(), 1, m.leases[n].Epoch)
		})
	}
	_, _ = both(t, m, 0, "decisions", all)
	_, _ = both(t, m, 0, "sale", func(d statements) (string, error) {
		row, err := d.Sale(context.Background(), 1)
		return fmt.Sprint(row.State, row.Sold, row.Sale.Stock, row.Sale.FirstItem), err
	})
	_, _ = both(t, m, 0, "open positions", func(d statements) (map[sale.ID]int64, error) {
		return d.OpenPositions(context.Background(), 50*365*24*time.Hour) // the clocks are not the same
	})
	for _, c := range m.cursors {
		_, _ = both(t, m, 0, "committed", func(d statements) (bool, error) {
			return d.Committed(context.Background(), 1, c.Generation, c.Sequence, c.Chain)
		})
	}
	if len(m.marks) < 2 {
		return
	}
	at := rapid.IntRange(2, len(m.marks)).Draw(t, "sequence")
	for _, mark := range slices.Compact([]allocation.Mark{m.marks[at-1], {Time: 1}}) {
		_, _ = both(t, m, 0, "applied", func(d statements) (bool, error) { return d.Applied(context.Background(), 1, uint64(at), mark) })
	}
}
