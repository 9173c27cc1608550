package ledger_test

import (
	"cmp"
	"slices"
	"testing"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
)

// Many codes in one statement: the recorded decision first, else what is lost
// for good by whoever has none.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l, _ := w.open(t, "allocator")
	open := w.openSale(t, l, 1, 3, 1)
	w.lead(t, l, 1)
	b := packed(open, ask(open.Sale(), 1, 0, "ann"), ask(open.Sale(), 2, 0, "bob"))
	if err := l.Commit(t.Context(), 1, 1, b); err != nil {
		t.Fatal(err)
	}
	full := w.openSale(t, l, 2, 1, 1)
	w.lead(t, l, 2)
	if err := l.Commit(t.Context(), 2, 1, packed(full, ask(full.Sale(), 1, 0, "ann"))); err != nil {
		t.Fatal(err)
	}
	question := func(s sale.Sale, n, item int, user sale.UserID) ledger.Question {
		q := ledger.Question{Sale: s.UUID, Item: s.FirstItem + sale.ItemID(item), User: user}
		if n > 0 {
			q.Code = codeOf(s.ID, n)
		}
		return q
	}
	one, two := open.Sale(), full.Sale()
	cases := []struct {
		what     string
		question ledger.Question
		recorded bool
		reason   allocation.Reason
	}{
		{"the winner", question(one, 1, 0, "ann"), true, allocation.Granted},
		{"the refused", question(one, 2, 0, "bob"), true, allocation.ItemTaken},
		{"a free item", question(one, 3, 1, "carl"), false, allocation.Granted},
		{"an item of another", question(one, 3, 0, "carl"), false, allocation.ItemTaken},
		{"a user at the limit", question(one, 4, 1, "ann"), false, allocation.LimitReached},
		{"a namesake in another sale", question(two, 3, 0, "bob"), false, allocation.SoldOut},
		{"sold out", question(two, 3, 0, "ann"), false, allocation.SoldOut},
		{"the winner of the sold-out sale", question(two, 1, 0, "ann"), true, allocation.Granted},
		{"checkout of a free item", question(one, 0, 2, "ann"), false, allocation.LimitReached},
		{"checkout of a sold item", question(one, 0, 0, "carl"), false, allocation.ItemTaken},
		{"checkout of a sold-out sale", question(two, 0, 0, "carl"), false, allocation.SoldOut},
		{"a sale of that number before a restore", ledger.Question{Sale: sale.UUID{9}, Item: one.FirstItem, User: "ann", Code: code.ID{9}}, false, allocation.Granted},
	}
	questions := make([]ledger.Question, len(cases))
	for i := range cases {
		questions[i] = cases[i].question
	}
	for _, limits := range []bool{true, false} {
		got, err := l.Verdicts(t.Context(), questions, limits)
		if err != nil || len(got) != len(cases) {
			t.Fatalf("%d verdicts, %v", len(got), err)
		}
		for i, c := range cases {
			want := c.reason
			if want == allocation.LimitReached && !limits {
				want = allocation.Granted
			}
			d := got[i].Decision
			switch {
			case (d != nil) != c.recorded, d == nil && got[i].Reason != want:
				t.Errorf("%s, limits %v: %+v, want %v", c.what, limits, got[i], want)
			case d != nil:
				if _, same, err := l.DecisionOf(t.Context(), c.question.Code); err != nil || *d != same || d.Reason != want {
					t.Errorf("%s: %+v, want %+v, %v", c.what, *d, same, err)
				}
			}
		}
	}
	if got, err := l.Verdicts(t.Context(), nil, true); err != nil || len(got) != 0 {
		t.Errorf("no question: %v, %v", got, err)
	}
	for _, c := range []struct {
		generation int64
		sequence   uint64
		chain      allocation.Hash
		want       bool
	}{
		{1, b.After.Sequence, b.After.Chain, true},
		{1, b.After.Sequence, allocation.Hash{}, false},
		{1, b.After.Sequence + 1, b.After.Chain, false},
		{2, b.After.Sequence, b.After.Chain, false},
	} {
		if got, err := l.Committed(t.Context(), 1, c.generation, c.sequence, c.chain); err != nil || got != c.want {
			t.Errorf("%+v: %v, %v", c, got, err)
		}
	}
}

// Sales are found by UUIDs and items, many at once.
func TestSalesOf(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l, _ := w.open(t, "edge")
	for id := range sale.ID(4) {
		w.openSale(t, l, id+1, 10, 1) // items from 1000 times the number on
	}
	third, err := l.Sale(t.Context(), 3)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		uuids []sale.UUID
		items []sale.ItemID
		want  []sale.ID
	}{
		{nil, nil, nil},
		{[]sale.UUID{third.Sale.UUID, {1}}, nil, []sale.ID{3}},
		{nil, []sale.ItemID{0, 999, 1000, 1009, 1010, 4009, 4010, sale.MaxItemID}, []sale.ID{1, 4}},
		{[]sale.UUID{third.Sale.UUID}, []sale.ItemID{2005, 3001, 2005}, []sale.ID{2, 3}},
	} {
		rows, err := l.SalesOf(t.Context(), c.uuids, c.items)
		slices.SortFunc(rows, func(a, b ledger.SaleRow) int { return cmp.Compare(a.Sale.ID, b.Sale.ID) })
		var got []sale.ID
		for _, row := range rows {
			got = append(got, row.Sale.ID)
			if row.Sale.ID == 3 && row != third {
				t.Errorf("%+v, want %+v", row, third)
			}
		}
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%v, %v: sales %v, %v, want %v", c.uuids, c.items, got, err, c.want)
		}
	}
}
