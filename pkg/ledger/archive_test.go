package ledger_test

import (
	"database/sql"
	"errors"
	"math"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pressly/goose/v3"

	"notsale/pkg/allocation"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
)

// sellOut sells what is left of the story's sale.
func (s *story) sellOut(t *testing.T) {
	t.Helper()
	b := packed(s.engine, ask(s.sale, 2, 1, "bob"), ask(s.sale, 3, 2, "carl"))
	if err := s.ledger.Commit(t.Context(), 1, 1, b); err != nil {
		t.Fatal(err)
	}
}

// archive is one that ends where the sale's cursor stands.
func (s *story) archive() ledger.Archive {
	c := s.engine.Cursor()
	return ledger.Archive{Manifest: [32]byte{7}, Sequence: c.Sequence, Attempts: 5, Chain: c.Chain}
}

func (s *story) state(t *testing.T) sale.State {
	t.Helper()
	row, err := s.ledger.Sale(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	return row.State
}

func TestOnlySoldOutSalesAreArchived(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	s.addSale(t, 2, 3, 2) // in preparation
	before := s.dump(t)
	for id, want := range map[sale.ID]error{1: ledger.ErrNotSoldOut, 2: ledger.ErrNotSoldOut, 3: ledger.ErrNotFound} {
		if err := s.ledger.StartArchiving(t.Context(), id); !errors.Is(err, want) {
			t.Errorf("sale %d: %v, want %v", id, err, want)
		}
	}
	if err := s.ledger.FinishArchiving(t.Context(), 1, s.archive()); !errors.Is(err, ledger.ErrArchive) {
		t.Errorf("an open sale: %v, want ErrArchive", err)
	}
	if _, err := s.ledger.ArchiveOf(t.Context(), 1); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("the archive of an open sale: %v, want ErrNotFound", err)
	}
	s.unchanged(t, before)
}

// From sold out to archived: each step may be repeated, and what does not fit
// changes nothing.
func TestArchiving(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	s.sellOut(t)
	for range 2 {
		if err := s.ledger.StartArchiving(t.Context(), 1); err != nil || s.state(t) != sale.Archiving {
			t.Fatalf("state %s, %v", s.state(t), err)
		}
	}
	late := packed(s.engine, ask(s.sale, 9, 0, "dora")) // it was queued before the stream was sealed
	if err := s.ledger.Commit(t.Context(), 1, 1, late); err != nil || late.Decisions[0].Reason != allocation.SoldOut {
		t.Fatalf("%+v, %v", late.Decisions, err)
	}
	good := s.archive()
	other, early, forked := good, good, good
	other.Manifest, early.Sequence, forked.Chain = [32]byte{8}, good.Sequence-1, allocation.Hash{1}
	refused := func(wrong ...ledger.Archive) {
		t.Helper()
		before := s.dump(t)
		for _, a := range wrong {
			if err := s.ledger.FinishArchiving(t.Context(), 1, a); !errors.Is(err, ledger.ErrArchive) {
				t.Errorf("%+v: %v, want ErrArchive", a, err)
			}
		}
		s.unchanged(t, before)
	}
	refused(early, forked)
	if err := s.ledger.FinishArchiving(t.Context(), 1, good); err != nil || s.state(t) != sale.Archived {
		t.Fatalf("state %s, %v", s.state(t), err)
	}
	refused(other, early, forked)
	before := s.dump(t)
	again := good
	again.At = time.Now()
	if err := errors.Join(s.ledger.FinishArchiving(t.Context(), 1, again), s.ledger.StartArchiving(t.Context(), 1)); err != nil {
		t.Errorf("repeated: %v", err)
	}
	s.unchanged(t, before)
	got, err := s.ledger.ArchiveOf(t.Context(), 1)
	if age := time.Since(got.At); err != nil || age < -time.Hour || age > time.Hour {
		t.Errorf("archived at %v, %v", got.At, err)
	}
	if got.At = (time.Time{}); got != good {
		t.Errorf("the archive is %+v, want %+v", got, good)
	}
}

// Nobody decides an archived sale any more, also not who did before.
func TestArchivingEndsTheLease(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	s.sellOut(t)
	if err := s.ledger.StartArchiving(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	wantLeases(t, "while it is archived", renew(t, s.ledger, long), ledger.Lease{Sale: 1, Epoch: 1})
	other, _ := s.open(t, "other")
	wantLeases(t, "it is not free then", take(t, other, 8))
	decided := collect(t, s.ledger.Decisions(t.Context(), 1, 0, math.MaxInt64))
	if err := s.ledger.FinishArchiving(t.Context(), 1, s.archive()); err != nil {
		t.Fatal(err)
	}
	wantLeases(t, "once it is archived", renew(t, s.ledger, long))
	for _, l := range []*ledger.Ledger{s.ledger, other} {
		wantLeases(t, "nobody takes it", take(t, l, 8))
	}
	if pos, err := s.ledger.Cursor(t.Context(), 1); err != nil || pos.Mine || pos.Cursor != s.engine.Cursor() {
		t.Errorf("%+v, %v", pos, err)
	}
	if err := s.ledger.Commit(t.Context(), 1, 1, packed(s.engine, ask(s.sale, 9, 0, "dora"))); !errors.Is(err, ledger.ErrFenced) {
		t.Errorf("a commit of the allocator before: %v, want ErrFenced", err)
	}
	for _, d := range decided {
		if of, got, err := s.ledger.DecisionOf(t.Context(), d.Code); err != nil || of != 1 || !reflect.DeepEqual(got, d) {
			t.Errorf("%+v of sale %d, %v, want %+v", got, of, err, d)
		}
	}
}

// Allocators that take the sale over again and again do not get it past its
// archiving, whichever of the two comes first.
func TestArchivingAmongTakeovers(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	s.sellOut(t)
	if err := s.ledger.StartArchiving(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := s.ledger.Retire(t.Context()); err != nil {
		t.Fatal(err)
	}
	first, _ := s.open(t, "first")
	second, _ := s.open(t, "second")
	command, _ := s.open(t, "command")
	archived := make(chan struct{})
	var racing sync.WaitGroup
	for _, l := range []*ledger.Ledger{first, second} {
		racing.Go(func() {
			for last := false; !last; {
				select {
				case <-archived:
					last = true
				default:
				}
				// No renewal: nobody is alive, so that each takes it from the other,
				// whose sessions it ends.
				_, _ = l.Take(t.Context(), long, nil, 1)
			}
		})
	}
	eventually(t, "the lease goes round", func() error {
		if s.one(t, `SELECT (epoch > 20)::text FROM leases`) != "true" {
			return errors.New("not yet")
		}
		return nil
	})
	err := command.FinishArchiving(t.Context(), 1, s.archive())
	close(archived)
	racing.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if held := s.one(t, `SELECT (SELECT holder FROM leases) || (SELECT holder FROM cursors)`); held != "" {
		t.Errorf("held by %q", held)
	}
}

// The indexes serve what they are there for.
func TestReadsBySaleUseTheirIndexes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(t, `SET enable_seqscan = off`)
	for query, index := range map[string]string{
		`SELECT sale_id FROM sales WHERE state = 'open'`:                              "sales_unfinished",
		`SELECT attempt_id FROM checkout_attempts WHERE sale_id = 1`:                  "checkout_attempts_sale",
		`SELECT item_id FROM items WHERE sale_id = 1 OR item_id BETWEEN 10 AND 20000`: "items_sale",
	} {
		rows, err := w.raw.Query(t.Context(), `EXPLAIN `+query)
		if err != nil {
			t.Fatal(err)
		}
		var plan strings.Builder
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				t.Fatal(err)
			}
			plan.WriteString(line + "\n")
		}
		if err := rows.Err(); err != nil || !strings.Contains(plan.String(), index) {
			t.Errorf("%s does not use %s (%v):\n%s", query, index, err, plan.String())
		}
	}
}

// The step can be taken back: sales whose streams are gone are sold out again.
func TestMigrationOfArchivesGoesBack(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	s.sellOut(t)
	err := s.ledger.StartArchiving(t.Context(), 1)
	if err == nil {
		err = s.ledger.FinishArchiving(t.Context(), 1, s.archive())
	}
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("pgx", s.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, os.DirFS("migrations"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provider.DownTo(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if state := s.state(t); state != sale.SoldOut {
		t.Errorf("state %s", state)
	}
	if _, err := provider.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.ledger.StartArchiving(t.Context(), 1); err != nil || s.state(t) != sale.Archiving {
		t.Errorf("state %s, %v", s.state(t), err)
	}
}
