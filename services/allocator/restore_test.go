//go:build unix

package allocator

import (
	"context"
	"crypto/md5"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/host"
	"notsale/pkg/sale"
	"notsale/pkg/wire"
	"notsale/services/servicetest"
)

// A crowded sale has some thousand refusals, read in small pages; the reading of
// one in the middle waits for the gate.
const (
	refusals  = 3000
	smallPage = 100
	gated     = 1550 // position
	before    = 1500 // end of the page before
)

type crowded struct {
	*servicetest.Stage

	t    *testing.T
	of   sale.Sale
	gate *pgxpool.Conn // holds it shut
}

func newCrowded(t *testing.T) *crowded {
	t.Helper()
	c := &crowded{Stage: servicetest.New(t), t: t}
	c.of = c.OpenSale(20, 10)
	c.exec(`INSERT INTO decisions (sale_id, position, code_id, item_id, user_id, reason, decided_at)
		SELECT 1, n, md5(n::text)::uuid, 1, 'u' || n, 5, now() FROM generate_series(1, $1::bigint) AS n`, refusals)
	c.exec(`UPDATE cursors SET position = $1`, refusals)
	c.exec(`ANALYZE decisions`)
	c.exec(`ALTER TABLE decisions RENAME TO kept`)
	c.exec(`CREATE SEQUENCE rows_read`)
	c.exec(fmt.Sprintf(`CREATE FUNCTION seen(at bigint) RETURNS boolean LANGUAGE plpgsql AS $$
		BEGIN
			PERFORM nextval('rows_read');
			IF at = %d THEN PERFORM pg_advisory_xact_lock_shared(1); END IF;
			RETURN true;
		END $$`, gated))
	c.exec(`CREATE VIEW decisions AS SELECT sale_id, position, code_id, item_id, user_id, reason, decided_at FROM kept WHERE seen(position)`)
	var err error
	if c.gate, err = c.DB.Acquire(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.open)
	if _, err := c.gate.Exec(t.Context(), `SELECT pg_advisory_lock(1)`); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *crowded) exec(statement string, args ...any) {
	c.t.Helper()
	if _, err := c.DB.Exec(context.Background(), statement, args...); err != nil {
		c.t.Fatalf("%s: %v", statement, err)
	}
}

func (c *crowded) open() {
	if c.gate != nil {
		_, _ = c.gate.Exec(context.Background(), `SELECT pg_advisory_unlock_all()`)
		c.gate.Release()
		c.gate = nil
	}
}

const atGate = ` FROM pg_stat_activity WHERE wait_event = 'advisory' AND datname = current_database()`

// cut ends the session that reads up to the gate.
func (c *crowded) cut() {
	c.t.Helper()
	c.awaitGate()
	pid := c.Count(`SELECT pid` + atGate)
	c.exec(`SELECT pg_terminate_backend($1)`, pid)
	servicetest.Eventually(c.t, "the session has ended", func() bool { return c.Count(`SELECT count(*)`+atGate+` AND pid = $1`, pid) == 0 })
}

func (c *crowded) awaitGate() {
	c.t.Helper()
	servicetest.Eventually(c.t, "a page waits at the gate", func() bool { return c.Count(`SELECT count(*)`+atGate) == 1 })
}

// expectRead compares how many rows were read in all.
func (c *crowded) expectRead(want int64) {
	c.t.Helper()
	if n := c.Count(`SELECT last_value FROM rows_read`); n != want {
		c.t.Errorf("%d decisions were read in all, want %d", n, want)
	}
}

// A takeover whose reading of the ledger fails in the middle goes on where it
// stopped, not anew, and the refusals read before count.
func TestATakeoverGoesOnWhereItsReadingStopped(t *testing.T) {
	t.Parallel()
	c := newCrowded(t)
	c.exec(`UPDATE sales SET state = 'sold_out'`) // so that the process's own standby does not read, too
	fresh := allocation.Request{Number: 1, Code: code.ID{1}, Item: c.of.FirstItem, User: "ann", Expires: sale.InstantOf(time.Now().Add(time.Hour))}
	known := fresh
	known.Number, known.Code, known.Item = 2, md5.Sum([]byte("1")), c.of.FirstItem+1
	if err := c.Stream("edge").PublishPack(t.Context(), c.of.ID, wire.AppendPack(nil, "edge", []allocation.Request{fresh, known})); err != nil {
		t.Fatal(err)
	}
	cfg := DefaultConfig()
	cfg.LeaseTTL, cfg.RestorePage = servicetest.Patience, smallPage
	a, err := New(cfg, c.Ledger("allocator-1"), c.Stream("allocator-1"), c.Cache("allocator-1"), c.Log, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	c.Run(a.Run)
	c.cut()
	c.cut()
	c.awaitGate()
	c.expectRead(gated + 2*(gated-before))
	c.open()
	servicetest.Eventually(t, "the pack is decided", func() bool { return c.Count(`SELECT position FROM cursors`) == refusals+2 })
	c.expectRead(refusals + 2*(gated-before))
	if n := c.Count(`SELECT count(*) FROM kept WHERE position > $1 AND reason = 0`, refusals); n != 1 {
		t.Error("want the fresh code granted")
	}
	if n := c.Count(`SELECT count(*) FROM kept`); n != refusals+1 {
		t.Errorf("%d decisions, want one more than before: the other code was refused already", n)
	}
}

// A standby whose reading fails in the middle goes on where it stopped, and a
// takeover meanwhile gets what it has.
func TestAStandbyGoesOnWhereItsReadingStopped(t *testing.T) {
	t.Parallel()
	c := newCrowded(t)
	s := follower(c, smallPage)
	read := make(chan error, 1)
	follow := func() { read <- s.follow(t.Context()) }
	go follow()
	c.cut()
	if err := <-read; err == nil {
		t.Error("a session was cut, and nothing has failed")
	}
	if _, at := s.engine(c.of.ID); at.Position != before {
		t.Errorf("the engine stands at %d, want %d", at.Position, before)
	}
	c.goOn(1)
	go follow()
	c.awaitGate()
	c.open()
	if err := <-read; err != nil {
		t.Error(err)
	}
	c.expectRead(refusals + 1 + gated - before)
	if e := s.hand(c.of.ID); e == nil || e.Cursor().Position != refusals+1 || e.Cursor().Sequence != 2 {
		t.Errorf("the engine does not stand at the cursor: %v", e)
	}
}

// goOn commits a refusal more, on a chain that begins with this byte.
func (c *crowded) goOn(chain byte) {
	c.t.Helper()
	c.exec(`INSERT INTO kept SELECT 1, $1, gen_random_uuid(), 1, 'late', 5, now()`, refusals+1)
	c.exec(`INSERT INTO commits SELECT sale_id, generation, sequence, position, chain, '', epoch FROM cursors`)
	c.exec(`UPDATE cursors SET position = $1, sequence = 2, chain = $2`, refusals+1, append([]byte{chain}, make([]byte, 31)...))
}

// What a standby has read of half a history that is lost is read anew when the
// ledger has gone on with another.
func TestAStandbyReadsALostHistoryAnew(t *testing.T) {
	t.Parallel()
	c := newCrowded(t)
	s := follower(c, smallPage)
	read := make(chan error, 1)
	go func() { read <- s.follow(t.Context()) }()
	c.cut()
	if err := <-read; err == nil {
		t.Error("a session was cut, and nothing has failed")
	}
	c.open()
	c.exec(`UPDATE kept SET code_id = gen_random_uuid()`)
	c.exec(`UPDATE cursors SET chain = sha256(chain)`)
	c.goOn(1)
	if err := s.follow(t.Context()); err != nil {
		t.Error(err)
	}
	c.expectRead(gated + refusals + 1)
	if e := s.hand(c.of.ID); e == nil || e.Cursor().Position != refusals+1 {
		t.Errorf("the engine does not stand at the cursor: %v", e)
	}
}

// A restore makes progress with each page, whatever it takes in all; that it
// takes long is told once, with how far it is, and the allocator is not ready.
func TestALongRestoreIsTold(t *testing.T) {
	t.Parallel()
	var clock atomic.Int64
	p := newProgress(&host.Real{}, &clock)
	const total = 4_000_000
	var attended time.Duration
	for at := int64(0); at < total; at += total / 10 {
		p.restores(at, total)
		p.begin(restoring, ledgerTimeout)
		attended += ledgerTimeout
		clock.Store(int64(attended))
		if err := p.stalled(int64(attended)); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.stalled(int64(attended + 2*stallSlack)); err == nil {
		t.Error("a page takes longer than it can, and the loop is not stalled")
	}
	began := p.restore
	if p.late(began.Add(troubleAfter)) != nil || p.trouble(began.Add(troubleAfter)) != nil {
		t.Error("told too early")
	}
	late := began.Add(troubleAfter + time.Second)
	for _, err := range []error{p.late(late), p.trouble(late)} {
		if err == nil || !strings.Contains(err.Error(), "position 3600000 of 4000000 is read") {
			t.Errorf("told %v", err)
		}
	}
	if p.late(late) != nil {
		t.Error("told twice")
	}
	if p.restored() == 0 || p.restored() != 0 || p.trouble(began.Add(time.Millisecond)) != nil {
		t.Error("the end of it is to be told, once")
	}
}
