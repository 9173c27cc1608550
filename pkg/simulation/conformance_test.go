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
)

func TestMain(m *testing.M) { backendstest.Main(m) }

// desk is the ledger as one allocator sees it: the model's, or the real one.
type desk interface {
	Renew(ctx context.Context, ttl time.Duration) ([]ledger.Lease, error)
	Take(ctx context.Context, ttl time.Duration, skip []sale.ID, limit int) ([]ledger.Lease, error)
	Release(ctx context.Context, lease ledger.Lease) error
	position() (ledger.Position, error)
	write(lease ledger.Lease, b *allocation.Batch) error
	hole(lease ledger.Lease, h *allocation.Hole) error
	has(sequence uint64, m allocation.Mark) (bool, error)
	all() ([]allocation.Decision, error)
	sale() (ledger.SaleRow, error)
}

type modelDesk struct{ bookOf }

func (d modelDesk) position() (ledger.Position, error) { _, p, err := d.cursor(1); return p, err }
func (d modelDesk) write(l ledger.Lease, b *allocation.Batch) error {
	return d.commit(l, b)
}
func (d modelDesk) hole(l ledger.Lease, h *allocation.Hole) error { return d.openGeneration(l, h) }
func (d modelDesk) has(n uint64, m allocation.Mark) (bool, error) { return d.applied(1, n, m) }
func (d modelDesk) all() ([]allocation.Decision, error)           { return d.book.sales[0].decisions, nil }

func (d modelDesk) sale() (ledger.SaleRow, error) {
	rows, err := d.Sales(context.Background(), 0, 1)
	return rows[0], err
}

type realDesk struct{ *ledger.Ledger }

func (d realDesk) position() (ledger.Position, error) { return d.Cursor(context.Background(), 1) }
func (d realDesk) write(l ledger.Lease, b *allocation.Batch) error {
	return d.Commit(context.Background(), l.Sale, l.Epoch, b)
}

func (d realDesk) hole(l ledger.Lease, h *allocation.Hole) error {
	return d.OpenGeneration(context.Background(), l.Sale, l.Epoch, h)
}

func (d realDesk) has(n uint64, m allocation.Mark) (bool, error) {
	return d.Applied(context.Background(), 1, n, m)
}

func (d realDesk) all() (list []allocation.Decision, err error) {
	for one, err := range d.Decisions(context.Background(), 1, 0, 1<<40) {
		if err != nil {
			return nil, err
		}
		list = append(list, one)
	}
	return list, nil
}
func (d realDesk) sale() (ledger.SaleRow, error) { return d.Sale(context.Background(), 1) }

// The model of the ledger means what the real one means: whatever allocators
// do, in whatever order, both say the same and hold the same.
func TestTheModelOfTheLedgerIsTheLedger(t *testing.T) {
	stores := backendstest.New(t)
	if _, err := ledger.Migrate(t.Context(), stores.DatabaseURL); err != nil {
		t.Fatal(err)
	}
	db, err := pgxpool.New(t.Context(), stores.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	names := []string{"one", "two"}
	var real [2]*ledger.Ledger
	for i, name := range names {
		if real[i], err = ledger.Open(t.Context(), ledger.Config{URL: stores.DatabaseURL, Name: name, Conns: 2}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(real[i].Close)
	}
	rapid.Check(t, func(t *rapid.T) {
		if _, err := db.Exec(context.Background(), `TRUNCATE sales, leases, allocators, cursors, decisions, items, commits, holes, archives`); err != nil {
			t.Fatal(err)
		}
		w := newWorld(1)
		model := newBook(w)
		model.point = func(string) {}
		m := &twins{t: t, w: w, db: db}
		for i, name := range names {
			m.desks[i] = [2]desk{modelDesk{bookOf{model, name, func(string) {}}}, realDesk{real[i]}}
		}
		m.open(model, real[0], rapid.IntRange(1, 5).Draw(t, "stock"))
		t.Repeat(map[string]func(*rapid.T){
			"renew": m.renew, "take": m.take, "release": m.release, "expire": m.expire, "commit": m.commit,
			"commit as if of another epoch": m.commitStale, "hole": m.openHole, "": m.same,
		})
	})
}

// twins are a model and a real ledger to which the same is done.
type twins struct {
	t      *rapid.T
	w      *world
	db     *pgxpool.Pool
	desks  [2][2]desk // by allocator; model, real
	of     sale.Sale
	leases [2]ledger.Lease // what each allocator believes to hold
	marks  []allocation.Mark
	time   sale.Instant
}

// ttl is longer than a check takes: leases expire when they are told to.
const ttl = time.Hour

func (m *twins) open(model *book, real *ledger.Ledger, stock int) {
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
func both[T any](t *rapid.T, m *twins, who int, what string, do func(desk) (T, error)) (T, error) {
	a, errA := do(m.desks[who][0])
	b, errB := do(m.desks[who][1])
	for range 4 { // a takeover has ended the sessions of this one, in the ledger only
		if ended := new(pgconn.PgError); !errors.As(errB, &ended) || ended.Code != "57P01" {
			break
		}
		b, errB = do(m.desks[who][1])
	}
	if fmt.Sprint(a) != fmt.Sprint(b) || errors.Is(errA, ledger.ErrFenced) != errors.Is(errB, ledger.ErrFenced) || (errA == nil) != (errB == nil) {
		t.Fatalf("%s by %d: model %v, %v; ledger %v, %v", what, who, a, errA, b, errB)
	}
	return a, errA
}

func who(t *rapid.T) int { return rapid.IntRange(0, 1).Draw(t, "who") }

func (m *twins) renew(t *rapid.T) {
	_, _ = both(t, m, who(t), "renew", func(d desk) ([]ledger.Lease, error) { return d.Renew(context.Background(), ttl) })
}

func (m *twins) take(t *rapid.T) {
	n := who(t)
	taken, _ := both(t, m, n, "take", func(d desk) ([]ledger.Lease, error) { return d.Take(context.Background(), ttl, nil, 10) })
	if len(taken) == 1 {
		m.leases[n] = taken[0]
	}
}

func (m *twins) release(t *rapid.T) {
	n := who(t)
	if m.leases[n].Sale == 0 {
		t.Skip("nothing was ever taken")
	}
	_, _ = both(t, m, n, "release", func(d desk) (int, error) { return 0, d.Release(context.Background(), m.leases[n]) })
}

// expire lets an allocator's lease run out, in both.
func (m *twins) expire(t *rapid.T) {
	name := []string{"one", "two"}[who(t)]
	book := m.desks[0][0].(modelDesk).book
	if _, alive := book.alive[name]; alive {
		book.alive[name] = 0
	}
	if _, err := m.db.Exec(context.Background(), `UPDATE allocators SET expires_at = '-infinity' WHERE name = $1`, name); err != nil {
		t.Fatal(err)
	}
}

// batch decides some packs from where the ledger stands.
func (m *twins) batch(t *rapid.T) *allocation.Batch {
	d := m.desks[0][0]
	pos, _ := d.position()
	decisions, _ := d.all()
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

func (m *twins) commit(t *rapid.T) { m.commitAs(t, 0) }

func (m *twins) commitStale(t *rapid.T) { m.commitAs(t, rapid.Int64Range(-1, 1).Draw(t, "epochs off")) }

func (m *twins) commitAs(t *rapid.T, off int64) {
	n, b := who(t), m.batch(t)
	lease := m.leases[n]
	lease.Sale = 1
	lease.Epoch += off
	if _, err := both(t, m, n, "commit", func(d desk) (int, error) { return 0, d.write(lease, b) }); err == nil {
		m.marks = append(m.marks[:b.Before.Sequence], b.Packs...)
	}
}

func (m *twins) openHole(t *rapid.T) {
	n := who(t)
	pos, _ := m.desks[n][0].position()
	c := pos.Cursor
	matching := rapid.Uint64Range(1, c.Sequence).Draw(t, "matching")
	h := &allocation.Hole{Generation: c.Generation + 1, Matching: matching, Mark: m.marks[matching-1], Lost: c}
	lease := m.leases[n]
	lease.Sale = 1
	if _, err := both(t, m, n, "hole", func(d desk) (int, error) { return 0, d.hole(lease, h) }); err == nil {
		m.marks = m.marks[:matching]
	}
}

// same compares all that can be read.
func (m *twins) same(t *rapid.T) {
	for n := range m.desks {
		_, _ = both(t, m, n, "cursor", desk.position)
	}
	_, _ = both(t, m, 0, "decisions", desk.all)
	_, _ = both(t, m, 0, "sale", func(d desk) (string, error) {
		row, err := d.sale()
		return fmt.Sprint(row.State, row.Sold, row.Sale.Stock, row.Sale.FirstItem), err
	})
	if len(m.marks) < 2 {
		return
	}
	at := rapid.IntRange(2, len(m.marks)).Draw(t, "sequence")
	for _, mark := range slices.Compact([]allocation.Mark{m.marks[at-1], {Time: 1}}) {
		_, _ = both(t, m, 0, "applied", func(d desk) (bool, error) { return d.has(uint64(at), mark) })
	}
}
