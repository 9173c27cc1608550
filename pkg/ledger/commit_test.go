package ledger_test

import (
	"errors"
	"math"
	"os"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
)

// story is a sale of three items, of which user ann has bought the first.
type story struct {
	*world

	ledger *ledger.Ledger // holds the lease in epoch 1
	name   string
	engine *allocation.Engine
	sale   sale.Sale
}

func newStory(t *testing.T) *story {
	t.Helper()
	w := newWorld(t)
	l, name := w.open(t, "allocator")
	e := w.openSale(t, l, 1, 3, 2)
	w.lead(t, l, 1)
	s := &story{world: w, ledger: l, name: name, engine: e, sale: e.Sale()}
	if err := l.Commit(t.Context(), 1, 1, packed(e, ask(s.sale, 1, 0, "ann"))); err != nil {
		t.Fatal(err)
	}
	return s
}

func collect(t tb, decisions func(func(allocation.Decision, error) bool)) []allocation.Decision {
	t.Helper()
	var all []allocation.Decision
	for d, err := range decisions {
		if err != nil {
			t.Fatalf("%v", err)
		}
		all = append(all, d)
	}
	return all
}

func TestCommitWritesTheBatch(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	b := packed(s.engine,
		ask(s.sale, 2, 0, "bob"),      // taken
		allocation.Request{Number: 3}, // unreadable
		ask(s.sale, 4, 1, "bob"),
		ask(s.sale, 1, 0, "ann"), // a repeat
	)
	if err := s.ledger.Commit(t.Context(), 1, 1, b); err != nil {
		t.Fatal(err)
	}
	if got := collect(t, s.ledger.Decisions(t.Context(), 1, 1, math.MaxInt64)); !reflect.DeepEqual(got, b.Decisions) {
		t.Errorf("decisions %+v\nwant %+v", got, b.Decisions)
	}
	if pos, err := s.ledger.Cursor(t.Context(), 1); err != nil || pos.Cursor != b.After {
		t.Errorf("cursor %+v (%v), want %+v", pos.Cursor, err, b.After)
	}
	row, err := s.ledger.Sale(t.Context(), 1)
	if err != nil || row.Sold != 2 || row.State != sale.Open {
		t.Errorf("%+v, %v", row, err)
	}
	for query, want := range map[string]string{
		`SELECT string_agg(item_id || ' ' || user_id || ' ' || position, ', ' ORDER BY item_id) FROM items`:                        "1000 ann 1, 1001 bob 4",
		`SELECT string_agg(generation || ' ' || sequence || ' ' || position || ' ' || epoch, ', ' ORDER BY sequence) FROM commits`: "1 2 1 1, 1 3 5 1",
		`SELECT (chain = (SELECT chain FROM cursors))::text FROM commits WHERE sequence = 3`:                                       "true",
		`SELECT count(*)::text FROM decisions WHERE code_id IS NULL AND item_id IS NULL AND user_id IS NULL AND reason = 1`:        "1",
	} {
		if got := s.one(t, query); got != want {
			t.Errorf("%s\ngives %s, want %s", query, got, want)
		}
	}
}

// A pack without anything new, or of repeats only, moves the cursor all the same.
func TestCommitOfRepeatsMovesTheCursor(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	b := packed(s.engine, ask(s.sale, 1, 0, "ann"))
	if len(b.Decisions) != 0 {
		t.Fatalf("%+v", b.Decisions)
	}
	if err := s.ledger.Commit(t.Context(), 1, 1, b); err != nil {
		t.Fatal(err)
	}
	if pos, err := s.ledger.Cursor(t.Context(), 1); err != nil || pos.Cursor.Sequence != 3 || pos.Cursor.Position != 2 {
		t.Errorf("%+v, %v", pos, err)
	}
}

func TestTheLastItemClosesTheSale(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	for item := 1; item <= 2; item++ {
		if row, err := s.ledger.Sale(t.Context(), 1); err != nil || row.State != sale.Open {
			t.Fatalf("before item %d: %+v, %v", item, row, err)
		}
		if err := s.ledger.Commit(t.Context(), 1, 1, packed(s.engine, ask(s.sale, 1+item, item, "bob"))); err != nil {
			t.Fatal(err)
		}
	}
	row, err := s.ledger.Sale(t.Context(), 1)
	if err != nil || row.State != sale.SoldOut || row.Sold != 3 {
		t.Fatalf("%+v, %v", row, err)
	}
	at := s.one(t, `SELECT sold_out_at::text FROM sales`)
	late := packed(s.engine, ask(s.sale, 9, 0, "carl"))
	if err := s.ledger.Commit(t.Context(), 1, 1, late); err != nil || late.Decisions[0].Reason != allocation.SoldOut {
		t.Errorf("a request after the end: %+v, %v", late.Decisions, err)
	}
	if again := s.one(t, `SELECT sold_out_at::text FROM sales`); again != at {
		t.Errorf("sold out at %s, then at %s", at, again)
	}
}

// Whatever is wrong with a batch, nothing of it is written.
func TestCommitWritesAllOrNothing(t *testing.T) {
	t.Parallel()
	granted := func(position int64, id code.ID, item sale.ItemID) allocation.Decision {
		return allocation.Decision{Position: position, Code: id, Item: item, User: "eve", At: genesisAt}
	}
	for _, c := range []struct {
		name   string
		change func(s *story, b *allocation.Batch)
		sale   sale.ID
		epoch  int64
		fenced bool
	}{
		{"an earlier epoch", nil, 1, 0, true},
		{"a later epoch", nil, 1, 2, true},
		{"another sale", nil, 2, 1, true},
		{"a later sequence", func(_ *story, b *allocation.Batch) { b.Before.Sequence++ }, 1, 1, true},
		{"an earlier sequence", func(_ *story, b *allocation.Batch) { b.Before.Sequence-- }, 1, 1, true},
		{"a later generation", func(_ *story, b *allocation.Batch) { b.Before.Generation++ }, 1, 1, true},
		{"an item that has an owner", func(s *story, b *allocation.Batch) {
			b.Decisions = append(b.Decisions, granted(99, codeOf(1, 99), s.sale.FirstItem))
		}, 1, 1, false},
		{"an item twice", func(_ *story, b *allocation.Batch) {
			b.Decisions = append(b.Decisions, granted(99, codeOf(1, 99), b.Decisions[0].Item))
		}, 1, 1, false},
		{"a code that was decided", func(s *story, b *allocation.Batch) {
			b.Decisions = append(b.Decisions, granted(99, codeOf(1, 1), s.sale.FirstItem+2))
		}, 1, 1, false},
		{"a code twice", func(s *story, b *allocation.Batch) {
			b.Decisions = append(b.Decisions, granted(99, b.Decisions[0].Code, s.sale.FirstItem+2))
		}, 1, 1, false},
		{"a position that was given out", func(_ *story, b *allocation.Batch) { b.Decisions[0].Position = 1 }, 1, 1, false},
		{"more sold than there are", func(_ *story, b *allocation.Batch) { b.After.Sold = 4 }, 1, 1, false},
		{"a user id that no text can hold", func(_ *story, b *allocation.Batch) { b.Decisions[0].User = "a\x00b" }, 1, 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newStory(t)
			b := packed(s.engine, ask(s.sale, 2, 1, "bob"), ask(s.sale, 3, 0, "bob"))
			intact := *b
			intact.Decisions = slices.Clone(b.Decisions)
			if c.change != nil {
				c.change(s, b)
			}
			before := s.dump(t)
			err := s.ledger.Commit(t.Context(), c.sale, c.epoch, b)
			if err == nil || errors.Is(err, ledger.ErrFenced) != c.fenced {
				t.Errorf("error %v, want ErrFenced: %v", err, c.fenced)
			}
			s.unchanged(t, before)
			if err := s.ledger.Commit(t.Context(), 1, 1, &intact); err != nil {
				t.Errorf("the batch as it was: %v", err)
			}
		})
	}
}

// The same batch committed again is fenced: a retry after an unknown outcome
// sells nothing twice.
func TestCommitAgainIsFenced(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	b := packed(s.engine, ask(s.sale, 2, 1, "bob"))
	if err := s.ledger.Commit(t.Context(), 1, 1, b); err != nil {
		t.Fatal(err)
	}
	before := s.dump(t)
	if err := s.ledger.Commit(t.Context(), 1, 1, b); !errors.Is(err, ledger.ErrFenced) {
		t.Errorf("again: %v", err)
	}
	s.unchanged(t, before)
}

// An allocator that commits while it is being replaced waits for the new epoch
// and then writes nothing.
func TestCommitDuringATakeover(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	takeover, err := s.raw.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := takeover.Exec(t.Context(), `UPDATE cursors SET epoch = 2`); err != nil {
		t.Fatal(err)
	}
	committed := make(chan error, 1)
	go func() {
		committed <- s.ledger.Commit(t.Context(), 1, 1, packed(s.engine, ask(s.sale, 2, 1, "bob")))
	}()
	eventually(t, "the commit waits for the takeover", func() error {
		var waiting int
		err := takeover.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&waiting)
		if err == nil && waiting == 0 {
			err = errors.New("nobody waits")
		}
		return err
	})
	before := s.dump(t) // as the takeover leaves it
	if err := takeover.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-committed; !errors.Is(err, ledger.ErrFenced) {
		t.Errorf("the replaced allocator got %v", err)
	}
	s.unchanged(t, before)
}

// A replaced allocator that has pipelined its next batches behind the fenced
// one writes none of them. This test knows the statement: the ledger itself
// sends one at a time.
func TestPipelinedCommitsOfAReplacedAllocator(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	statement, err := os.ReadFile("queries/commit.sql")
	if err != nil {
		t.Fatal(err)
	}
	pipeline := &pgx.Batch{}
	for n := range 3 {
		b := packed(s.engine, ask(s.sale, 2+n, n, "bob"))
		c, d := &b.After, &b.Decisions[0]
		pipeline.Queue(string(statement), pgx.StrictNamedArgs{
			"sale": 1, "epoch": 1, "holder": s.name, "before_generation": b.Before.Generation, "before_sequence": b.Before.Sequence,
			"generation": c.Generation, "sequence": c.Sequence, "position": c.Position, "sold": c.Sold, "chain": c.Chain[:],
			"pack_hash": c.PackHash[:], "pack_time": c.PackTime.Time(), "engine_time": c.Now.Time(), "packs": []byte{},
			"positions": []int64{d.Position}, "codes": [][16]byte{d.Code}, "items": []int64{int64(d.Item)}, "users": []string{string(d.User)},
			"reasons": []int16{int16(d.Reason)}, "times": []time.Time{d.At.Time()},
		})
	}
	s.exec(t, `UPDATE cursors SET epoch = 2`)
	before := s.dump(t)
	results := s.raw.SendBatch(t.Context(), pipeline)
	for range pipeline.Len() {
		if tag, err := results.Exec(); err != nil || tag.RowsAffected() != 0 {
			t.Errorf("%v, %v, want no row", tag, err)
		}
	}
	if err := results.Close(); err != nil {
		t.Error(err)
	}
	s.unchanged(t, before)
}

func TestDecisionOf(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	b := packed(s.engine, ask(s.sale, 2, 0, "bob"))
	if err := s.ledger.Commit(t.Context(), 1, 1, b); err != nil {
		t.Fatal(err)
	}
	id, d, err := s.ledger.DecisionOf(t.Context(), codeOf(1, 2))
	if err != nil || id != 1 || d != b.Decisions[0] || d.Reason != allocation.ItemTaken {
		t.Errorf("sale %d, %+v, %v, want %+v", id, d, err, b.Decisions[0])
	}
	if _, _, err := s.ledger.DecisionOf(t.Context(), codeOf(1, 3)); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("a code that nobody used: %v", err)
	}
	if _, _, err := s.ledger.DecisionOf(t.Context(), code.ID{}); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("the zero code: %v", err)
	}
}

func TestSoldItems(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	if err := s.ledger.Commit(t.Context(), 1, 1, packed(s.engine, ask(s.sale, 2, 2, "bob"))); err != nil {
		t.Fatal(err)
	}
	first := s.sale.FirstItem
	for _, c := range []struct {
		first, last sale.ItemID
		want        []sale.ItemID
	}{
		{first, first + 2, []sale.ItemID{first, first + 2}},
		{first, first + 1, []sale.ItemID{first}},
		{first + 1, first + 1, []sale.ItemID{}},
		{first + 2, sale.MaxItemID, []sale.ItemID{first + 2}},
		{first + 2, first, []sale.ItemID{}},
	} {
		if got, err := s.ledger.SoldItems(t.Context(), c.first, c.last); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%d to %d: %v, %v, want %v", c.first, c.last, got, err, c.want)
		}
	}
}
