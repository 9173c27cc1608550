package ledger_test

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"notsale/pkg/allocation"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
)

// drawPacks draws packs of codes whose claims follow from their number, as a
// signed code's claims follow from its id; 0 is a request that nobody can read.
func drawPacks(t *rapid.T, s sale.Sale, from uint64) []allocation.Pack {
	packs := make([]allocation.Pack, rapid.IntRange(1, 6).Draw(t, "packs"))
	for i := range packs {
		packs[i] = allocation.Pack{
			Sequence: from + uint64(i), Time: genesisAt + sale.Instant(rapid.IntRange(-5, 40).Draw(t, "time")),
			Hash: allocation.Hash{byte(i), 7}, Edge: "edge",
		}
		for n := range rapid.IntRange(0, 6).Draw(t, "size") {
			packs[i].Requests = append(packs[i].Requests, drawRequest(t, s, n))
		}
	}
	return packs
}

func drawRequest(t *rapid.T, s sale.Sale, number int) allocation.Request {
	k := rapid.IntRange(0, 40).Draw(t, "code")
	if k == 0 {
		return allocation.Request{Number: uint64(number)}
	}
	r := ask(s, k, k*7%(s.Stock+1), sale.UserID(fmt.Sprintf("u%d", k%4)))
	r.Number, r.Expires = uint64(number), genesisAt+sale.Instant(10+k*3%40)
	return r
}

// apply decides the packs in batches that end wherever chance has it, and
// hands each batch to done.
func apply(t *rapid.T, e *allocation.Engine, packs []allocation.Pack, done func(*allocation.Batch)) {
	b := e.Begin()
	for i, p := range packs {
		e.Apply(p, b)
		if i == len(packs)-1 || rapid.Bool().Draw(t, "ends here") {
			done(b)
			b = e.Begin()
		}
	}
}

// What was committed is what is read: the cursor, the decisions, the owners;
// and an engine restored from them goes on like the one that never stopped.
func TestTheLedgerKeepsEveryHistory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l, _ := w.open(t, "allocator")
	next := sale.ID(0)
	rapid.Check(t, func(rt *rapid.T) {
		next++
		stock, limit := rapid.IntRange(1, 8).Draw(rt, "stock"), rapid.IntRange(1, 3).Draw(rt, "limit")
		engine := w.openSale(rt, l, next, stock, limit)
		w.lead(rt, l, next)
		genesis := engine.Cursor()
		packs := drawPacks(rt, engine.Sale(), 2)
		var decisions []allocation.Decision
		apply(rt, engine, packs, func(b *allocation.Batch) {
			decisions = append(decisions, b.Decisions...)
			if err := l.Commit(t.Context(), next, 1, b); err != nil {
				rt.Fatalf("commit: %v", err)
			}
		})
		checkRead(t, rt, l, engine, decisions)
		replayed := replay(engine.Sale(), genesis, packs)
		if replayed.Cursor() != engine.Cursor() {
			rt.Fatalf("replayed in one batch: %+v\nwant %+v", replayed.Cursor(), engine.Cursor())
		}
		checkRestored(t, rt, l, engine)
	})
}

// replay decides the packs again, in one batch.
func replay(s sale.Sale, genesis allocation.Cursor, packs []allocation.Pack) *allocation.Engine {
	e := allocation.New(s, genesis.PackHash, genesis.PackTime)
	b := e.Begin()
	for _, p := range packs {
		e.Apply(p, b)
	}
	return e
}

// checkRead: each way to read the history gives the same one.
func checkRead(t *testing.T, rt *rapid.T, l *ledger.Ledger, engine *allocation.Engine, decisions []allocation.Decision) {
	s := engine.Sale()
	pos, err := l.Cursor(t.Context(), s.ID)
	if err != nil || pos.Cursor != engine.Cursor() || pos.Epoch != 1 || !pos.StreamCreated.Equal(genesisAt.Time()) {
		rt.Fatalf("cursor %+v, %v\nwant %+v", pos, err, engine.Cursor())
	}
	if got := collect(rt, l.Decisions(t.Context(), s.ID, 0, math.MaxInt64)); !slices.Equal(got, decisions) {
		rt.Fatalf("decisions %+v\nwant %+v", got, decisions)
	}
	after := rapid.Int64Range(0, pos.Cursor.Position).Draw(rt, "after")
	for _, d := range collect(rt, l.Decisions(t.Context(), s.ID, after, math.MaxInt64)) {
		if d.Position <= after {
			rt.Fatalf("position %d is not above %d", d.Position, after)
		}
	}
	owned := []sale.ItemID{}
	for _, d := range decisions {
		if d.Reason == allocation.Granted {
			owned = append(owned, d.Item)
		}
		if d.Code.IsZero() {
			continue
		}
		if id, got, err := l.DecisionOf(t.Context(), d.Code); err != nil || id != s.ID || got != d {
			rt.Fatalf("decision of %v: sale %d, %+v, %v\nwant %+v", d.Code, id, got, err, d)
		}
	}
	slices.Sort(owned)
	if got, err := l.SoldItems(t.Context(), s.FirstItem, s.LastItem()); err != nil || !slices.Equal(got, owned) {
		rt.Fatalf("sold items %v, %v, want %v", got, err, owned)
	}
}

// checkRestored: a restored engine decides what follows as the first one does.
func checkRestored(t *testing.T, rt *rapid.T, l *ledger.Ledger, engine *allocation.Engine) {
	s := engine.Sale()
	pos, err := l.Cursor(t.Context(), s.ID)
	if err != nil {
		rt.Fatalf("%v", err)
	}
	restored, err := allocation.Restore(s, pos.Cursor, l.Decisions(t.Context(), s.ID, 0, math.MaxInt64), 0)
	if err != nil {
		rt.Fatalf("restore: %v", err)
	}
	if restored.Cursor() != engine.Cursor() {
		rt.Fatalf("restored %+v\nwant %+v", restored.Cursor(), engine.Cursor())
	}
	first, second := engine.Begin(), restored.Begin()
	for _, p := range drawPacks(rt, s, engine.Cursor().Sequence+1) {
		engine.Apply(p, first)
		restored.Apply(p, second)
	}
	if first.After != second.After || !reflect.DeepEqual(first.Replies, second.Replies) {
		rt.Fatalf("restored goes on with %+v\nwant %+v", second, first)
	}
}

// A reader of decisions may stop before the end, and the session is free again.
func TestDecisionsMayBeLeftEarly(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	if err := s.ledger.Commit(t.Context(), 1, 1, packed(s.engine, ask(s.sale, 2, 1, "bob"), ask(s.sale, 3, 0, "bob"))); err != nil {
		t.Fatal(err)
	}
	for range 10 { // more than the pool has sessions
		for d, err := range s.ledger.Decisions(t.Context(), 1, 0, math.MaxInt64) {
			if err != nil || d.Position != 1 {
				t.Fatalf("%+v, %v", d, err)
			}
			break
		}
	}
}
