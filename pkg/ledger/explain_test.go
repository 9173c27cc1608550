package ledger_test

import (
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/effort"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/wire"
)

// fated is a sale of four items, two for each user, that sells out: ann gets two
// items and is refused a third, bob gets what is left. Every reason occurs.
type fated struct {
	*story

	decided map[int]allocation.Decision // by the number of the code
}

func newFated(t *testing.T) *fated {
	t.Helper()
	w := newWorld(t)
	l, name := w.open(t, "allocator")
	e := w.openSale(t, l, 1, 4, 2)
	w.lead(t, l, 1)
	f := &fated{story: &story{world: w, ledger: l, name: name, engine: e, sale: e.Sale()}, decided: map[int]allocation.Decision{}}
	expired := ask(f.sale, 5, 3, "cid")
	expired.Expires = 1
	foreign := ask(f.sale, 6, 4, "cid")
	for n, r := range []allocation.Request{
		1: ask(f.sale, 1, 0, "ann"), 2: ask(f.sale, 2, 0, "bob"), 3: ask(f.sale, 3, 1, "ann"), 4: ask(f.sale, 4, 2, "ann"),
		5: expired, 6: foreign, 7: ask(f.sale, 7, 2, "bob"), 8: ask(f.sale, 8, 3, "bob"), 9: ask(f.sale, 9, 0, "cid"),
	} {
		if n > 0 {
			f.decide(t, n, r)
		}
	}
	return f
}

func (f *fated) decide(t *testing.T, n int, r allocation.Request) {
	t.Helper()
	b := packed(f.engine, r)
	if err := f.ledger.Commit(t.Context(), f.sale.ID, 1, b); err != nil {
		t.Fatal(err)
	}
	f.decided[n] = b.Decisions[0]
}

func (f *fated) explain(t *testing.T, id code.ID, item int, user sale.UserID) ledger.Explanation {
	t.Helper()
	v := code.Verified{ID: id, Claims: code.Claims{Sale: f.sale.UUID, Item: f.sale.FirstItem + sale.ItemID(item), User: user}}
	x, err := f.ledger.Explain(t.Context(), &f.sale, &v)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// fact is what the n-th code made true.
func (f *fated) fact(reason allocation.Reason, n, count int) ledger.Fact {
	return ledger.Fact{Reason: reason, Position: f.decided[n].Position, At: f.decided[n].At, Count: count}
}

func TestExplainADecision(t *testing.T) {
	t.Parallel()
	f := newFated(t)
	for n, want := range map[int][]ledger.Fact{
		1: nil,
		2: {f.fact(allocation.ItemTaken, 1, 1)},
		4: {f.fact(allocation.LimitReached, 3, 2)},
		5: nil, // expired
		6: nil, // of another sale
		9: {f.fact(allocation.SoldOut, 8, 4)},
	} {
		d := f.decided[n]
		x := f.explain(t, d.Code, int(d.Item-f.sale.FirstItem), d.User)
		if x.Decision == nil || *x.Decision != d || !reflect.DeepEqual(x.Facts, want) {
			t.Errorf("code %d, %v: decision %+v, facts %+v, want %+v", n, d.Reason, x.Decision, x.Facts, want)
		}
	}
	reasons := map[allocation.Reason]bool{}
	for _, d := range f.decided {
		reasons[d.Reason] = true
	}
	if len(reasons) != 6 {
		t.Errorf("reasons %v, want all", reasons)
	}
}

func TestExplainACodeWithoutDecision(t *testing.T) {
	t.Parallel()
	f := newStory(t) // ann has the first of three items
	fates := &fated{story: f, decided: map[int]allocation.Decision{}}
	unused := codeOf(1, 99)
	taken := f.sale.FirstItem
	facts := func(item int, user sale.UserID) []allocation.Reason {
		t.Helper()
		x := fates.explain(t, unused, item, user)
		if x.Decision != nil {
			t.Errorf("a decision of a code that was never used: %+v", x.Decision)
		}
		var reasons []allocation.Reason
		for _, fact := range x.Facts {
			reasons = append(reasons, fact.Reason)
		}
		return reasons
	}
	expect := func(what string, item int, user sale.UserID, want ...allocation.Reason) {
		t.Helper()
		if got := facts(item, user); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	expect("an item that can be had", 1, "bob")
	expect("an item that is sold", 0, "bob", allocation.ItemTaken)
	expect("a user below the limit", 1, "ann")
	fates.decide(t, 2, ask(f.sale, 2, 1, "ann"))
	expect("a user at the limit", 2, "ann", allocation.LimitReached)
	expect("both", 0, "ann", allocation.LimitReached, allocation.ItemTaken)
	expect("another user", 2, "bob")
	fates.decide(t, 3, ask(f.sale, 3, 2, "bob"))
	expect("all is sold", 0, "ann", allocation.SoldOut, allocation.LimitReached, allocation.ItemTaken)
	if x := fates.explain(t, unused, 0, "cid"); x.Facts[0] != fates.fact(allocation.SoldOut, 3, 3) {
		t.Errorf("%+v", x.Facts)
	}

	// What is granted between the two reads is nothing that the code lost to.
	f.exec(t, `DELETE FROM decisions WHERE item_id = $1`, int64(taken))
	if x := fates.explain(t, codeOf(1, 1), 0, "ann"); x.Decision != nil || x.Facts != nil {
		t.Errorf("a granted code has lost to itself: %+v", x)
	}
}

func TestExplainKeepsToTheSale(t *testing.T) {
	t.Parallel()
	f := newFated(t)
	other := f.openSale(t, f.ledger, 2, 4, 2).Sale()
	v := code.Verified{ID: codeOf(2, 1), Claims: code.Claims{Sale: other.UUID, Item: other.FirstItem, User: "ann"}}
	if x, err := f.ledger.Explain(t.Context(), &other, &v); err != nil || x.Decision != nil || x.Facts != nil {
		t.Errorf("%+v, %v: what another sale has sold says nothing", x, err)
	}
}

func TestAttemptOfACode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l, _ := w.open(t, "recorder")
	eve := attempt(4, wire.Issued)
	eve.User = "eve"
	given := attempt(1, wire.Issued)
	(&tape{t: t, ledger: l}).record(given, attempt(2, wire.SoldOut), attempt(3, wire.Issued), eve)
	if a, err := l.AttemptOf(t.Context(), 1, given.Code); err != nil || a != given {
		t.Errorf("%+v, %v, want %+v", a, err, given)
	}
	for _, c := range []struct {
		id   sale.ID
		code code.ID
	}{{2, given.Code}, {1, codeOf(1, 2)}, {1, code.ID{}}} {
		if a, err := l.AttemptOf(t.Context(), c.id, c.code); !errors.Is(err, ledger.ErrNotFound) {
			t.Errorf("sale %d, code %v: %+v, %v", c.id, c.code, a, err)
		}
	}
	for user, want := range map[sale.UserID]map[wire.Outcome]int{
		"ann": {wire.Issued: 2, wire.SoldOut: 1}, "eve": {wire.Issued: 1}, "bob": {},
	} {
		if got, err := l.Outcomes(t.Context(), 1, user); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, %v, want %v", user, got, err, want)
		}
	}
}

// What an edge reads for a shopper stays cheap in a sale of the usual size.
func TestExplainIsCheap(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l, _ := w.open(t, "edge")
	of := w.openSale(t, l, 1, 10_000, 10).Sale()
	w.exec(t, `INSERT INTO items (item_id, sale_id, user_id, code_id, position, sold_at)
		SELECT 1000 + (n * 7919) % 10000, 1, 'user-' || n % 1500, gen_random_uuid(), n + 1, now() FROM generate_series(0, 9999) AS n`)
	w.exec(t, `UPDATE cursors SET sold = stock`)
	w.exec(t, `ANALYZE items`)
	v := code.Verified{ID: codeOf(1, 1), Claims: code.Claims{Sale: of.UUID, Item: 1007, User: "user-7"}}
	took := make([]time.Duration, 50)
	for i := range took {
		started := time.Now()
		x, err := l.Explain(t.Context(), &of, &v)
		if took[i] = time.Since(started); err != nil || len(x.Facts) != 2 { // 7 of 10 items
			t.Fatalf("%+v, %v", x, err)
		}
	}
	slices.Sort(took)
	effort.Figure(t, "the median of explanations", took[len(took)/2], 50*time.Millisecond)
}
