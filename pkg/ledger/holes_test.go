package ledger_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"notsale/pkg/allocation"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
)

// holeAt is the hole that an engine finds whose stream still holds all up to
// the matching message.
func holeAt(e *allocation.Engine, matching uint64, m allocation.Mark) *allocation.Hole {
	return &allocation.Hole{Generation: e.Cursor().Generation + 1, Matching: matching, Mark: m, Lost: e.Cursor()}
}

func TestAHoleOpensAGeneration(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	lost := packed(s.engine, ask(s.sale, 2, 1, "bob"))
	if err := s.ledger.Commit(t.Context(), 1, 1, lost); err != nil {
		t.Fatal(err)
	}
	h := holeAt(s.engine, 2, allocation.Mark{Time: genesisAt + 2, Hash: allocation.Hash{2}})
	if err := s.ledger.OpenGeneration(t.Context(), 1, 1, h); err != nil {
		t.Fatal(err)
	}
	s.engine.Reopen(h)
	pos, err := s.ledger.Cursor(t.Context(), 1)
	if err != nil || pos.Cursor != s.engine.Cursor() || pos.Cursor.Generation != 2 || pos.Cursor.Sequence != 2 {
		t.Fatalf("cursor %+v, %v\nwant %+v", pos.Cursor, err, s.engine.Cursor())
	}
	want := "2: 2 matches, was at 3 (position 2), goes on at 3, epoch 1"
	if got := s.one(t, `SELECT format('%s: %s matches, was at %s (position %s), goes on at %s, epoch %s',
		generation, matching_sequence, cursor_sequence, cursor_position, resume_sequence, epoch) FROM holes`); got != want {
		t.Errorf("recorded %s\nwant     %s", got, want)
	}
	// What was sold stays sold; another message stands at the sequence now.
	b := packed(s.engine, ask(s.sale, 3, 1, "eve"), ask(s.sale, 2, 1, "bob"))
	if err := s.ledger.Commit(t.Context(), 1, 1, b); err != nil {
		t.Fatal(err)
	}
	if r := b.Replies; r[0].Decision.Reason != allocation.ItemTaken || r[1].Decision != lost.Decisions[0] {
		t.Errorf("after the hole: %+v", r)
	}
	if got := s.one(t, `SELECT string_agg(generation || ' ' || sequence || ' ' || position, ', ' ORDER BY generation, sequence) FROM commits`); got != "1 2 1, 1 3 2, 2 3 4" {
		t.Errorf("commits %s", got)
	}
}

func TestAHoleIsRecordedWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		epoch  int64
		change func(h *allocation.Hole)
	}{
		{"an earlier epoch", 0, nil},
		{"a later epoch", 2, nil},
		{"an earlier cursor", 1, func(h *allocation.Hole) { h.Lost.Sequence-- }},
		{"a later cursor", 1, func(h *allocation.Hole) { h.Lost.Sequence++ }},
		{"another generation", 1, func(h *allocation.Hole) { h.Lost.Generation++ }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newStory(t)
			h := holeAt(s.engine, 1, allocation.Mark{Time: genesisAt, Hash: allocation.Hash{1, 1}})
			if c.change != nil {
				c.change(h)
			}
			before := s.dump(t)
			if err := s.ledger.OpenGeneration(t.Context(), 1, c.epoch, h); !errors.Is(err, ledger.ErrFenced) {
				t.Errorf("error %v, want ErrFenced", err)
			}
			s.unchanged(t, before)
		})
	}
	t.Run("twice", func(t *testing.T) {
		t.Parallel()
		s := newStory(t)
		h := holeAt(s.engine, 1, allocation.Mark{Time: genesisAt, Hash: allocation.Hash{1, 1}})
		if err := s.ledger.OpenGeneration(t.Context(), 1, 1, h); err != nil {
			t.Fatal(err)
		}
		before := s.dump(t)
		if err := s.ledger.OpenGeneration(t.Context(), 1, 1, h); !errors.Is(err, ledger.ErrFenced) {
			t.Errorf("error %v, want ErrFenced", err)
		}
		s.unchanged(t, before)
	})
}

// broken is a sale whose stream loses its tail again and again, with what the
// ledger must know of its messages.
type broken struct {
	ledger  *ledger.Ledger
	engine  *allocation.Engine
	applied map[uint64]allocation.Mark // by sequence
	highest uint64                     // sequence ever applied
	stamp   byte                       // of the last message ever, so that no two are alike
}

func (b *broken) commit(t *rapid.T) {
	batch := b.engine.Begin()
	for range rapid.IntRange(1, 3).Draw(t, "packs") {
		b.stamp++
		p := allocation.Pack{
			Sequence: b.engine.Cursor().Sequence + 1, Time: genesisAt + sale.Instant(b.stamp), Hash: allocation.Hash{b.stamp},
			Requests: []allocation.Request{ask(b.engine.Sale(), int(b.stamp), int(b.stamp)%5, "ann")},
		}
		b.engine.Apply(p, batch)
		b.applied[p.Sequence] = allocation.Mark{Time: p.Time, Hash: p.Hash}
		b.highest = max(b.highest, p.Sequence)
	}
	if err := b.ledger.Commit(t.Context(), b.engine.Sale().ID, 1, batch); err != nil {
		t.Fatalf("commit: %v", err)
	}
}

func (b *broken) lose(t *rapid.T) {
	last := b.engine.Cursor().Sequence
	matching := rapid.Uint64Range(1, last).Draw(t, "matching")
	mark, ok := b.applied[matching]
	if !ok {
		mark = allocation.Mark{Time: genesisAt, Hash: allocation.Hash{byte(b.engine.Sale().ID), 1}} // the opening record
	}
	h := holeAt(b.engine, matching, mark)
	if err := b.ledger.OpenGeneration(t.Context(), b.engine.Sale().ID, 1, h); err != nil {
		t.Fatalf("hole: %v", err)
	}
	b.engine.Reopen(h)
	for sequence := matching + 1; sequence <= last; sequence++ {
		delete(b.applied, sequence)
	}
}

func (b *broken) check(t *rapid.T) {
	id := b.engine.Sale().ID
	if pos, err := b.ledger.Cursor(t.Context(), id); err != nil || pos.Cursor != b.engine.Cursor() {
		t.Fatalf("cursor %+v, %v\nwant %+v", pos.Cursor, err, b.engine.Cursor())
	}
	for sequence := range b.highest + 2 {
		mark, want := b.applied[sequence]
		if got, err := b.ledger.Applied(t.Context(), id, sequence, mark); err != nil || got != want {
			t.Fatalf("message %d applied: %v, %v, want %v", sequence, got, err, want)
		}
		mark.Time++
		if got, err := b.ledger.Applied(t.Context(), id, sequence, mark); err != nil || got {
			t.Fatalf("another message %d applied: %v, %v", sequence, got, err)
		}
	}
}

// However often the stream loses its tail, the ledger knows which message was
// applied last at each sequence, and an engine restored from it goes on.
func TestTheLedgerKnowsWhatWasApplied(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l, _ := w.open(t, "allocator")
	next := sale.ID(0)
	rapid.Check(t, func(rt *rapid.T) {
		next++
		b := &broken{ledger: l, engine: w.openSale(rt, l, next, 4, 3), applied: map[uint64]allocation.Mark{}}
		w.lead(rt, l, next)
		for range rapid.IntRange(1, 5).Draw(rt, "steps") {
			if rapid.IntRange(0, 2).Draw(rt, "hole") == 0 {
				b.lose(rt)
			} else {
				b.commit(rt)
			}
		}
		b.check(rt)
		restored, err := allocation.Restore(b.engine.Sale(), b.engine.Cursor(), l.Decisions(t.Context(), next, 0, math.MaxInt64), 0)
		if err != nil || restored.Cursor() != b.engine.Cursor() {
			rt.Fatalf("restore: %v", err)
		}
	})
}

func TestOpenPositions(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	s.addSale(t, 2, 1, 1)
	s.openSale(t, s.ledger, 3, 1, 1)
	sold := s.openSale(t, s.ledger, 4, 1, 1)
	s.lead(t, s.ledger, 4)
	if err := s.ledger.Commit(t.Context(), 4, 1, packed(sold, ask(sold.Sale(), 1, 0, "ann"))); err != nil {
		t.Fatal(err)
	}
	s.openSale(t, s.ledger, 5, 1, 1)
	s.exec(t, `UPDATE cursors SET engine_time = now() - interval '59 minutes'`)
	s.exec(t, `UPDATE cursors SET engine_time = now() - interval '61 minutes' WHERE sale_id = 5`)
	got, err := s.ledger.OpenPositions(t.Context(), time.Hour)
	if err != nil || len(got) != 2 || got[1] != 1 || got[3] != 0 {
		t.Errorf("%v, %v, want sale 1 at 1, sale 3 at 0", got, err)
	}
}
