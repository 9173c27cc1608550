package allocation_test

import (
	"reflect"
	"regexp"
	"testing"

	"pgregory.net/rapid"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/sale"
)

// model is the naive engine: one list of all decisions, searched from the start
// for every question.
type model struct {
	sale     sale.Sale
	now      sale.Instant
	position int64
	log      []allocation.Decision
}

// stamped moves the time to that of a message.
func (m *model) stamped(at sale.Instant) {
	if m.sale.Rules == 1 {
		at = max(at, m.now)
	}
	m.now = at
}

var firstUsers = regexp.MustCompile(`\A[A-Za-z0-9._@:-]{1,64}\z`)

func (m *model) ask(r allocation.Request) allocation.Decision {
	m.position++
	if m.sale.Rules == 1 && !firstUsers.MatchString(string(r.User)) {
		r = allocation.Request{Number: r.Number}
	}
	for _, d := range m.log {
		if d.Code == r.Code && !r.Code.IsZero() {
			return d
		}
	}
	d := allocation.Decision{Position: m.position, Code: r.Code, Item: r.Item, User: r.User, At: m.now, Reason: m.judge(r)}
	if r.Code.IsZero() {
		d.Item, d.User = 0, ""
	}
	m.log = append(m.log, d)
	return d
}

func (m *model) judge(r allocation.Request) allocation.Reason {
	sold, ofUser, taken := 0, 0, false
	for _, d := range m.log {
		if d.Reason == allocation.Granted {
			sold++
			if d.User == r.User {
				ofUser++
			}
			taken = taken || d.Item == r.Item
		}
	}
	switch {
	case r.Code.IsZero(), r.Item < m.sale.FirstItem, r.Item >= m.sale.FirstItem+sale.ItemID(m.sale.Stock):
		return allocation.Malformed
	case m.now > r.Expires:
		return allocation.CodeExpired
	case sold >= m.sale.Stock:
		return allocation.SoldOut
	case ofUser >= m.sale.UserLimit:
		return allocation.LimitReached
	case taken:
		return allocation.ItemTaken
	}
	return allocation.Granted
}

func drawSale(t *rapid.T) sale.Sale {
	s := testSale(rapid.IntRange(1, 8).Draw(t, "stock"), rapid.IntRange(1, 3).Draw(t, "limit"))
	s.FirstItem = sale.ItemID(rapid.IntRange(1, 3).Draw(t, "first"))
	s.Rules = rapid.IntRange(1, sale.RulesVersion).Draw(t, "rules")
	return s
}

// drawPacks draws packs of codes whose claims follow from their number, as a
// signed code's claims follow from its ID.
func drawPacks(t *rapid.T, s sale.Sale) []allocation.Pack {
	packs := make([]allocation.Pack, rapid.IntRange(1, 12).Draw(t, "packs"))
	for i := range packs {
		packs[i] = allocation.Pack{
			Sequence: uint64(i) + 2, Time: sale.Instant(rapid.IntRange(0, 40).Draw(t, "time")),
			Hash: allocation.Hash{byte(i), 5}, Edge: "edge",
		}
		for n := range rapid.IntRange(0, 6).Draw(t, "size") {
			packs[i].Requests = append(packs[i].Requests, drawRequest(t, s, n))
		}
	}
	return packs
}

func drawRequest(t *rapid.T, s sale.Sale, n int) allocation.Request {
	k := rapid.IntRange(0, 40).Draw(t, "code")
	if k == 0 {
		return allocation.Request{Number: uint64(n)}
	}
	return allocation.Request{
		Number: uint64(n), Code: code.ID{byte(k)}, User: []sale.UserID{"u0", "u1", "u2", "u+3"}[k%4],
		Item: s.FirstItem + sale.ItemID(k*7%(s.Stock+1)), Expires: sale.Instant(10 + k*3%40),
	}
}

func TestEngineIsTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSale(t)
		engine, naive := allocation.New(s, allocation.Hash{}, 0), &model{sale: s}
		for _, p := range drawPacks(t, s) {
			b := engine.Begin()
			engine.Apply(p, b)
			naive.stamped(p.Time)
			for i, r := range p.Requests {
				if want := naive.ask(r); b.Replies[i].Decision != want || b.Replies[i].Number != r.Number {
					t.Fatalf("pack %d request %d: %+v, want %+v", p.Sequence, i, b.Replies[i].Decision, want)
				}
			}
			checkFacts(t, b.Facts, naive)
		}
		if got := engine.Cursor().Position; got != naive.position {
			t.Fatalf("position %d, want %d", got, naive.position)
		}
	})
}

// checkFacts: whatever the cache may learn is true of the log so far.
func checkFacts(t *rapid.T, f allocation.Facts, m *model) {
	sold, owner, grants := 0, map[sale.ItemID]code.ID{}, map[sale.UserID][]code.ID{}
	for _, d := range m.log {
		if d.Reason == allocation.Granted {
			sold++
			owner[d.Item] = d.Code
			grants[d.User] = append(grants[d.User], d.Code)
		}
	}
	for _, o := range f.Owners {
		if owner[o.Item] != o.Code {
			t.Fatalf("fact %+v, owner is %v", o, owner[o.Item])
		}
	}
	for _, u := range f.AtLimit {
		if len(u.Codes) != m.sale.UserLimit || !reflect.DeepEqual(u.Codes, grants[u.User]) {
			t.Fatalf("fact %+v, grants are %v", u, grants[u.User])
		}
	}
	if f.SoldOut && sold != m.sale.Stock {
		t.Fatalf("sold out at %d of %d", sold, m.sale.Stock)
	}
}

// Cutting the stream into batches anywhere, and going on from a restored
// engine anywhere, changes neither decisions nor chain, under any rules.
func TestCutsAndRestoresChangeNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSale(t)
		s.Rules = rapid.SampledFrom([]int{1, sale.RulesVersion, allocation.SecondRules}).Draw(t, "any rules")
		packs := drawPacks(t, s)
		whole := allocation.New(s, allocation.Hash{}, 0)
		all := whole.Begin()
		for _, p := range packs {
			whole.Apply(p, all)
		}
		cut := allocation.New(s, allocation.Hash{}, 0)
		var decisions []allocation.Decision
		b := cut.Begin()
		for _, p := range packs {
			cut.Apply(p, b)
			switch rapid.IntRange(0, 2).Draw(t, "then") {
			case 1:
				decisions = append(decisions, b.Decisions...)
				b = cut.Begin()
			case 2:
				decisions = append(decisions, b.Decisions...)
				cut = restored(t, s, cut.Cursor(), decisions)
				b = cut.Begin()
			}
		}
		decisions = append(decisions, b.Decisions...)
		if !reflect.DeepEqual(decisions, all.Decisions) {
			t.Fatalf("decisions %+v, want %+v", decisions, all.Decisions)
		}
		if cut.Cursor() != whole.Cursor() {
			t.Fatalf("cursor %+v, want %+v", cut.Cursor(), whole.Cursor())
		}
	})
}

func restored(t *rapid.T, s sale.Sale, c allocation.Cursor, decisions []allocation.Decision) *allocation.Engine {
	shuffled := rapid.Permutation(decisions).Draw(t, "order")
	e, err := allocation.Restore(s, c, each(shuffled), 0)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func each(ds []allocation.Decision) func(func(allocation.Decision, error) bool) {
	return func(yield func(allocation.Decision, error) bool) {
		for _, d := range ds {
			if !yield(d, nil) {
				return
			}
		}
	}
}
