package allocation_test

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/sale"
)

// The chain is part of every published proof: these values never change.
func TestChainIsPinned(t *testing.T) {
	e := allocation.New(testSale(2, 1), allocation.Hash{7}, 5)
	if got, want := hex.EncodeToString(chainOf(e)), "b72c3eddbb5a80ff7b26ba295e7b1cb249c120af88661898a26d661fc42b8234"; got != want {
		t.Errorf("chain after the opening record = %s, want %s", got, want)
	}
	b := e.Begin()
	e.Apply(allocation.Pack{Sequence: 2, Time: 9, Hash: allocation.Hash{8}, Edge: "e", Requests: []allocation.Request{
		{Number: 1, Code: code.ID{1}, Item: 1, User: "ann", Expires: 10}, {Number: 2},
	}}, b)
	if got, want := hex.EncodeToString(chainOf(e)), "f773eb3261dca650dcc289199b84ebdfbcabd0175dc0f9504c8bf07d3e1824e1"; got != want {
		t.Errorf("chain after the first pack = %s, want %s", got, want)
	}
}

func chainOf(e *allocation.Engine) []byte {
	chain := e.Cursor().Chain
	return chain[:]
}

func TestPacksOutOfOrderPanic(t *testing.T) {
	for _, sequence := range []uint64{0, 1, 3} {
		t.Run("", func(t *testing.T) {
			e := allocation.New(testSale(2, 1), allocation.Hash{}, 0)
			defer func() {
				if recover() == nil {
					t.Errorf("pack %d after 1 was applied", sequence)
				}
			}()
			e.Apply(allocation.Pack{Sequence: sequence}, e.Begin())
		})
	}
}

func TestRestoreRefusesWhatNoHistoryGives(t *testing.T) {
	good := allocation.Decision{Position: 1, Code: code.ID{1}, Item: 1, User: "ann"}
	cursor := allocation.Cursor{Generation: 1, Sequence: 2, Position: 3, Sold: 1}
	for name, c := range map[string]struct {
		decisions []allocation.Decision
		want      string
	}{
		"nothing sold":          {nil, "counts 1 items sold, decisions 0"},
		"position beyond":       {[]allocation.Decision{{Position: 4, Code: code.ID{1}}}, "not in 1..3"},
		"position zero":         {[]allocation.Decision{{Code: code.ID{1}}}, "not in 1..3"},
		"unknown reason":        {[]allocation.Decision{{Position: 1, Reason: 77}}, "unknown reason-77"},
		"a code decided twice":  {[]allocation.Decision{good, good}, "decided before"},
		"an item sold twice":    {[]allocation.Decision{good, {Position: 2, Code: code.ID{2}, Item: 1, User: "bob"}}, "cannot be granted"},
		"an item of no sale":    {[]allocation.Decision{{Position: 2, Code: code.ID{2}, Item: 9, User: "bob"}}, "cannot be granted"},
		"more than a user may":  {[]allocation.Decision{good, {Position: 2, Code: code.ID{2}, Item: 2, User: "ann"}}, "beyond the limit"},
		"and the good one pass": {[]allocation.Decision{good}, ""},
	} {
		_, err := allocation.Restore(testSale(2, 1), cursor, each(c.decisions), 0)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	broken := errors.New("read failed")
	_, err := allocation.Restore(testSale(2, 1), cursor, func(yield func(allocation.Decision, error) bool) {
		yield(allocation.Decision{}, broken)
	}, 0)
	if !errors.Is(err, broken) {
		t.Errorf("err = %v, want the reader's", err)
	}
	if _, err := allocation.Restore(testSale(0, 1), cursor, each(nil), 0); err == nil {
		t.Error("a sale without stock was restored")
	}
}

func TestReasonsAreStable(t *testing.T) {
	want := []string{"granted", "malformed", "code-expired", "sold-out", "limit-reached", "item-taken"}
	for n, name := range want {
		r := allocation.Reason(n)
		if r.String() != name || !r.Final() || !r.Valid() {
			t.Errorf("reason %d is %q", n, r)
		}
		if got, err := allocation.ParseReason(name); err != nil || got != r {
			t.Errorf("ParseReason(%q) = %v, %v", name, got, err)
		}
	}
	if r := allocation.Reason(len(want)); r.Valid() || r.Final() || r.String() != "reason-6" {
		t.Errorf("reason 6 is known: %v", r)
	}
	if _, err := allocation.ParseReason("reason-6"); err == nil {
		t.Error("an unknown name was read")
	}
	if got := allocation.OfOthers(); !slices.Equal(got, []allocation.Reason{allocation.SoldOut, allocation.LimitReached, allocation.ItemTaken}) {
		t.Errorf("reasons that rest on others' grants: %v", got)
	}
	if s := allocation.Reason(200).Scope(); s != allocation.ScopeCode {
		t.Errorf("an unknown reason speaks of %v", s)
	}
}

func BenchmarkApply(b *testing.B) {
	s := testSale(sale.MaxStock, 10)
	requests := make([]allocation.Request, 64)
	var n uint64
	engine := allocation.New(s, allocation.Hash{}, 0)
	b.ReportAllocs()
	for b.Loop() {
		for i := range requests {
			n++
			r := &requests[i]
			*r = allocation.Request{Number: n, Item: sale.ItemID(n%sale.MaxStock + 1), User: "user-1", Expires: 1 << 60}
			binary.BigEndian.PutUint64(r.Code[:], n)
		}
		batch := engine.Begin()
		engine.Apply(allocation.Pack{Sequence: engine.Cursor().Sequence + 1, Edge: "e", Requests: requests}, batch)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/request")
}
