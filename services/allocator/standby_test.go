//go:build unix

package allocator

import (
	"context"
	"testing"
	"time"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/services/notsale/notsaletest"
)

// A sale under rules that this program does not have, or whose decisions do not
// fit its cursor, keeps a standby from no other sale.
func TestStandbyPassesOverWhatCannotBeDecided(t *testing.T) {
	t.Parallel()
	stage := notsaletest.New(t)
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
	s := newStandby(stage.Ledger("standby"), DefaultConfig().RestorePage, stage.Log)
	if err := s.follow(t.Context()); err != nil {
		t.Error(err)
	}
	if s.hand(unknown.ID) != nil || s.hand(wrong.ID) != nil || s.hand(known.ID) == nil {
		t.Error("want an engine of the sale that can be decided, and none of the others")
	}
}

// grant commits the grant of one item more.
func grant(t *testing.T, l *ledger.Ledger, e *allocation.Engine, epoch int64) {
	t.Helper()
	of, next := e.Sale(), e.Cursor()
	b := e.Begin()
	e.Apply(allocation.Pack{Sequence: next.Sequence + 1, Time: next.Now + 1, Requests: []allocation.Request{{
		Code: code.ID{1, byte(next.Position)}, User: "ann", Item: of.FirstItem + sale.ItemID(next.Position), Expires: sale.InstantOf(time.Now().Add(time.Hour)),
	}}}, b)
	if err := l.Commit(t.Context(), of.ID, epoch, b); err != nil {
		t.Fatal(err)
	}
}

// A standby whose read of the ledger hangs gives its engine to the term that
// takes over, as it is.
func TestATakeoverDoesNotWaitForTheStandbysRead(t *testing.T) {
	t.Parallel()
	stage := notsaletest.New(t)
	of := stage.OpenSale(20, 10)
	leader := stage.Ledger("leader")
	leases, err := leader.Take(t.Context(), time.Minute, nil, 1)
	if err != nil || len(leases) != 1 {
		t.Fatalf("leases %v, %v", leases, err)
	}
	pos, err := leader.Cursor(t.Context(), of.ID)
	if err != nil {
		t.Fatal(err)
	}
	e, err := allocation.Restore(of, pos.Cursor, leader.Decisions(t.Context(), of.ID, 0, pos.Cursor.Position), 0)
	if err != nil {
		t.Fatal(err)
	}
	s := newStandby(stage.Ledger("standby"), DefaultConfig().RestorePage, stage.Log)
	grant(t, leader, e, leases[0].Epoch)
	if err := s.follow(t.Context()); err != nil {
		t.Fatal(err)
	}
	grant(t, leader, e, leases[0].Epoch)

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
	notsaletest.Eventually(t, "the read hangs", func() bool {
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
