//go:build unix

package allocator

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/host"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/wire"
	"notsale/services/servicetest"
)

type withLedger interface {
	Ledger(name string) *ledger.Ledger
}

// follower is a standby of the stage's sales.
func follower(stage withLedger, page int) *standby {
	l := stage.Ledger("standby")
	return newStandby(l, l, &host.Real{}, page, slog.New(slog.DiscardHandler))
}

// A sale under rules that this program does not have, or whose decisions do not
// fit its cursor, keeps a standby from no other sale.
func TestStandbyPassesOverWhatCannotBeDecided(t *testing.T) {
	t.Parallel()
	stage := servicetest.New(t)
	unknown, wrong, known := stage.OpenSale(5, 2), stage.OpenSale(5, 2), stage.OpenSale(5, 2)
	for _, text := range []string{
		`UPDATE sales SET rules = 1073741824 WHERE sale_id = 1`,
		`UPDATE cursors SET position = 1`, // only sales of which something is decided are followed
		`UPDATE cursors SET sold = 1 WHERE sale_id = 2`,
	} {
		if _, err := stage.DB.Exec(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	s := follower(stage, DefaultConfig().RestorePage)
	if err := s.follow(t.Context()); err != nil {
		t.Error(err)
	}
	if !s.has(known) || s.has(unknown) || s.has(wrong) {
		t.Error("want an engine of the sale that can be decided, and none of the others")
	}

	// It is not read at every look, only after a rest.
	follow := func() {
		if err := s.follow(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if _, err := stage.DB.Exec(t.Context(), `UPDATE cursors SET sold = 0`); err != nil {
		t.Fatal(err)
	}
	follow()
	if s.has(wrong) {
		t.Error("what could not be followed was read again at once")
	}
	s.rests[wrong.ID] = time.Now()
	follow()
	if !s.has(wrong) || s.has(unknown) {
		t.Error("want an engine of the sale that was mended, too")
	}
}

func (s *standby) has(of sale.Sale) bool {
	e, _ := s.engine(of.ID)
	return e != nil
}

// A standby reads the newest sale first, and keeps none that was not asked for in
// a while.
func TestStandbyKeepsWhatSells(t *testing.T) {
	t.Parallel()
	stage := servicetest.New(t)
	idle, old, young := stage.OpenSale(5, 2), stage.OpenSale(5, 2), stage.OpenSale(5, 2)
	s := follower(stage, DefaultConfig().RestorePage)
	if got := s.behind(map[sale.ID]int64{idle.ID: 1, old.ID: 1, young.ID: 1}); !slices.Equal(got, []sale.ID{young.ID, old.ID, idle.ID}) {
		t.Errorf("sales are read in the order %v, want the newest first", got)
	}
	follow := func(statement string, args ...any) {
		t.Helper()
		if _, err := stage.DB.Exec(t.Context(), statement, args...); err != nil {
			t.Fatal(err)
		}
		if err := s.follow(t.Context()); err != nil {
			t.Error(err)
		}
	}
	const rest = `UPDATE cursors SET position = 1, engine_time = now() - $1::interval WHERE sale_id <= $2`
	follow(rest, idleAfter, int64(idle.ID))
	follow(`UPDATE cursors SET position = 1`)
	if s.has(idle) || !s.has(old) || !s.has(young) {
		t.Error("want engines of the sales that shoppers ask for, and of no other")
	}
	follow(rest, idleAfter, int64(old.ID))
	if s.has(idle) || s.has(old) || !s.has(young) {
		t.Error("want the engine of a sale that is idle let go, and no other")
	}
}

// shoppers is whose codes a history grants.
type shoppers byte

const (
	lost  shoppers = 1
	known shoppers = 2
)

// request is for an item that nobody has at this position.
func (s shoppers) request(of sale.Sale, position int64) allocation.Request {
	return allocation.Request{
		Code: code.ID{byte(s), byte(position)}, User: "ann", Item: of.FirstItem + sale.ItemID(position), Expires: sale.InstantOf(time.Now().Add(time.Hour)),
	}
}

// grant commits the grant of one item more.
func grant(t *testing.T, l *ledger.Ledger, e *allocation.Engine, epoch int64, to shoppers) {
	t.Helper()
	of, next := e.Sale(), e.Cursor()
	b := e.Begin()
	e.Apply(allocation.Pack{Sequence: next.Sequence + 1, Time: next.Now + 1, Requests: []allocation.Request{to.request(of, next.Position)}}, b)
	if err := l.Commit(t.Context(), of.ID, epoch, b); err != nil {
		t.Fatal(err)
	}
}

// lead takes the sale, and returns its engine at the ledger's cursor.
func lead(t *testing.T, l *ledger.Ledger, of sale.Sale) (e *allocation.Engine, epoch int64) {
	t.Helper()
	leases, err := l.Take(t.Context(), servicetest.Patience, nil, 1)
	if err != nil || len(leases) != 1 {
		t.Fatalf("leases %v, %v", leases, err)
	}
	pos, err := l.Cursor(t.Context(), of.ID)
	if err == nil {
		e, err = allocation.Restore(of, pos.Cursor, l.Decisions(t.Context(), of.ID, 0, pos.Cursor.Position), 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	return e, leases[0].Epoch
}

// lose makes a history of two grants, which look sees, and puts the ledger back
// to before it; the stream never had it, as if it was put back, too.
func lose(t *testing.T, stage *servicetest.Stage, of sale.Sale, look func(context.Context) error) {
	t.Helper()
	exec := func(statement string) {
		t.Helper()
		if _, err := stage.DB.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	exec(`CREATE TABLE before AS TABLE cursors`)
	leader := stage.Ledger("lost")
	e, epoch := lead(t, leader, of)
	for range 2 {
		grant(t, leader, e, epoch, lost)
	}
	if err := look(t.Context()); err != nil {
		t.Fatal(err)
	}
	exec(`TRUNCATE decisions, items, commits, leases, allocators, cursors`)
	exec(`INSERT INTO cursors TABLE before`)
}

// Postgres and NATS are put back together while a standby cannot look, and the
// sale goes on beyond where the standby stands: it forgets what was lost.
func TestAStandbyForgetsALostHistory(t *testing.T) {
	t.Parallel()
	stage := servicetest.New(t)
	of := stage.OpenSale(20, 10)
	s := follower(stage, DefaultConfig().RestorePage)
	lose(t, stage, of, s.follow)
	if !s.has(of) {
		t.Fatal("the history was not followed, so this shows nothing")
	}
	leader := stage.Ledger("leader")
	e, epoch := lead(t, leader, of)
	for range 3 {
		grant(t, leader, e, epoch, known)
	}
	if err := s.follow(t.Context()); err != nil {
		t.Fatal(err)
	}
	warm := s.hand(of.ID)
	if warm == nil || warm.Cursor() != e.Cursor() {
		t.Fatal("the sale is not followed to its cursor")
	}
	b := warm.Begin()
	warm.Apply(allocation.Pack{Sequence: e.Cursor().Sequence + 1, Time: e.Cursor().Now, Requests: []allocation.Request{
		lost.request(of, 0), known.request(of, 0),
	}}, b)
	if len(b.Decisions) != 1 || b.Decisions[0].Code != lost.request(of, 0).Code || b.Decisions[0].Reason != allocation.ItemTaken {
		t.Errorf("decided %+v, want that the code of the lost history comes too late, and the other one known", b.Decisions)
	}
}

// The same, but the sale has come just as far again, so that no standby would
// look: what was lost is forgotten by the term that takes over.
func TestATakeoverForgetsALostHistory(t *testing.T) {
	t.Parallel()
	stage := servicetest.New(t)
	of := stage.OpenSale(20, 10)
	allocator := func(name string) *Process {
		cfg := DefaultConfig()
		cfg.LeaseTTL = servicetest.Patience
		a, err := New(cfg, stage.Ledger(name), stage.Stream(name), stage.Cache(name), stage.Log, prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	edge := stage.Stream("edge")
	pack := func(requests ...allocation.Request) {
		if err := edge.PublishPack(t.Context(), of.ID, wire.AppendPack(nil, "edge", requests)); err != nil {
			t.Fatal(err)
		}
	}
	decided := func(position int64) {
		servicetest.Eventually(t, "the pack is decided", func() bool { return stage.Count(`SELECT position FROM cursors`) == position })
	}
	second := allocator("second")
	lose(t, stage, of, second.standby.follow)
	pack(known.request(of, 0), known.request(of, 1))
	stop := stage.Run(allocator("first").Run)
	decided(2)
	stop()
	if !second.standby.has(of) {
		t.Fatal("the standby holds nothing, so this shows nothing")
	}
	pack(lost.request(of, 0))
	stage.Run(second.Run)
	decided(3)
	if n := stage.Count(`SELECT count(*) FROM decisions WHERE position = 3 AND reason = $1`, int16(allocation.ItemTaken)); n != 1 {
		t.Error("the code of the lost history has no decision of its own: its shopper was told that it is granted")
	}
}

// A standby whose read of the ledger hangs gives its engine to the term that
// takes over, as it is.
func TestATakeoverDoesNotWaitForTheStandbysRead(t *testing.T) {
	t.Parallel()
	stage := servicetest.New(t)
	of := stage.OpenSale(20, 10)
	leader := stage.Ledger("leader")
	e, epoch := lead(t, leader, of)
	s := follower(stage, DefaultConfig().RestorePage)
	grant(t, leader, e, epoch, known)
	if err := s.follow(t.Context()); err != nil {
		t.Fatal(err)
	}
	grant(t, leader, e, epoch, known)

	tx, err := stage.DB.Begin(t.Context())
	if err == nil {
		_, err = tx.Exec(t.Context(), `LOCK TABLE decisions IN ACCESS EXCLUSIVE MODE`)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	read := make(chan error, 1)
	go func() { read <- s.follow(t.Context()) }()
	servicetest.Eventually(t, "the read hangs", func() bool {
		return stage.Count(`SELECT count(*) FROM pg_stat_activity WHERE application_name = 'standby' AND wait_event_type = 'Lock' AND datname = current_database()`) == 1
	})
	if warm := s.hand(of.ID); warm == nil || warm.Cursor().Position != 1 {
		t.Error("the engine is not handed over while the ledger is read")
	}
	select {
	case err := <-read:
		t.Errorf("the read has ended (%v), so this shows nothing", err)
	default:
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-read; err != nil || s.hand(of.ID) != nil {
		t.Errorf("%v, or the engine is kept though a term has it", err)
	}
}
