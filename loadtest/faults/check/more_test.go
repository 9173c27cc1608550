package check_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"notsale/loadtest/faults/check"
	"notsale/pkg/allocation"
	"notsale/pkg/sale"
)

// Everybody wants the same few items: the histories of these are long.
func TestHotItems(t *testing.T) {
	s := big()
	s.stock, s.users, s.forgets = 5, 3, 0.01
	h := simulate(s)
	r := check.Check(h, check.DefaultOptions())
	if !r.OK() || r.Reduced == 0 {
		t.Fatal(text(r))
	}
	// The worst case for porcupine: no order, and thousands of concurrent steps.
	i := slices.IndexFunc(h.Operations, func(o check.Operation) bool { return o.Kind == check.Purchase && o.Status == 410 && o.Start > 2e8 })
	o := &h.Operations[i]
	o.Status, o.Body = 200, []byte(success(o.Item, sale.UserID(o.User), 1, 1))
	began := time.Now()
	r = check.Check(h, check.DefaultOptions())
	if r.Violated[check.Linearizable] == 0 || r.Violated[check.Unknown] > 0 || r.Violated[check.I1] == 0 {
		t.Fatal(text(r))
	}
	t.Logf("spoilt, in %v: %v", time.Since(began), r.Violated)
}

// Two sales at once are judged each by its own ledger.
func TestTwoSales(t *testing.T) {
	one := simulate(small())
	s := small()
	s.sale, s.seed, s.stock = 4, 6, 100
	other := simulate(s)
	h := &check.History{
		Ledgers:    slices.Concat(one.Ledgers, other.Ledgers),
		Attempts:   slices.Concat(one.Attempts, other.Attempts),
		Operations: slices.Concat(one.Operations, other.Operations),
	}
	r := check.Check(h, check.DefaultOptions())
	if !r.OK() {
		t.Fatal(text(r))
	}
	h.Ledgers[0], h.Ledgers[1] = h.Ledgers[1], h.Ledgers[0]
	h.Ledgers[0].UserLimit--
	if r := check.Check(h, check.DefaultOptions()); r.Violated[check.I2] == 0 {
		t.Fatal(text(r))
	}
}

// What a lost tail takes with it may be decided later, or never.
func TestHolesExcusePromises(t *testing.T) {
	h, o := clone(simulate(small())), check.DefaultOptions()
	p := &plant{T: t, History: h, ledger: &h.Ledgers[0], o: &o}
	corruptions[slices.IndexFunc(corruptions, func(c corruption) bool { return c.want == check.Ack })].do(p)
	p.ledger.Holes = 1
	if r := check.Check(h, o); !r.OK() {
		t.Error(text(r))
	}
}

// No time left is a failure, not a pass.
func TestNoTimeIsUnknown(t *testing.T) {
	o := check.DefaultOptions()
	o.Timeout = 0
	r := check.Check(simulate(small()), o)
	if r.OK() || r.Violated[check.Unknown] != r.Partitions {
		t.Error(text(r))
	}
}

func TestAnEmptyHistory(t *testing.T) {
	if r := check.Check(&check.History{}, check.DefaultOptions()); !r.OK() {
		t.Error(text(r))
	}
}

// Whatever the records say, there is a report.
func TestNonsenseIsReported(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSetting(t)
		s.operations = min(s.operations, 150)
		h := simulate(s)
		r := rand.New(rand.NewPCG(s.seed, 2))
		for range rapid.IntRange(1, 8).Draw(t, "changes") {
			muddle(h, r)
		}
		o := check.DefaultOptions()
		o.Timeout = time.Second
		_ = text(check.Check(h, o))
	})
}

// muddle spoils one thing without sense.
func muddle(h *check.History, r *rand.Rand) {
	o, x := &h.Operations[r.IntN(len(h.Operations))], &h.Operations[r.IntN(len(h.Operations))]
	l := &h.Ledgers[0]
	switch r.IntN(12) {
	case 0:
		o.Code = x.Code
	case 1:
		o.Item, o.User = x.Item+1, x.User
	case 2:
		o.Status, o.Body = x.Status, x.Body
	case 3:
		o.Start, o.End = x.End, x.Start
	case 4:
		o.Kind = x.Kind
	case 5:
		o.Sale = sale.ID(r.IntN(5))
	case 6:
		o.Body = []byte(`[{"position":-1}]`)
	case 7:
		l.FirstItem += sale.ItemID(r.IntN(3) - 1)
	case 8:
		if n := len(l.Decisions); n > 0 {
			l.Decisions[r.IntN(n)].Reason = allocation.Reason(r.IntN(9))
		}
	case 9:
		if n := len(l.Decisions); n > 0 {
			l.Decisions[r.IntN(n)] = l.Decisions[r.IntN(n)]
		}
	case 10:
		if n := len(l.Sold); n > 0 {
			l.Sold[r.IntN(n)].Code = o.Code
		}
	case 11:
		l.Decisions = nil
	}
}
