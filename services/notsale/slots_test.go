//go:build unix

package main

import (
	"net/http"
	"testing"
	"time"

	"notsale/services/notsale/notsaletest"
)

// Sales open slot after slot, and the ones before sell on.
func TestSaleAfterSale(t *testing.T) {
	const stock, every = 4, 2 * time.Second
	p := runUp(t, "--sale-stock", itoa(stock), "--sale-every", every.String())
	first := p.FirstSale(t)
	early := p.Checkout(t, "early", first.FirstItem) // in the first sale, before the second opens
	var list []notsaletest.Sale
	notsaletest.Eventually(t, "four sales are open", func() bool {
		list = p.Sales(t)
		return len(list) >= 4
	})
	for i, s := range list { // newest first
		back := int64(len(list) - 1 - i)
		if s.ID != first.ID+back || s.FirstItem != first.FirstItem+back*stock || s.LastItem != s.FirstItem+stock-1 || s.Stock != stock {
			t.Errorf("sale %d of the list is %+v", i, s)
		}
		if s.OpensAt.UnixNano()%every.Nanoseconds() != 0 {
			t.Errorf("sale %d opens at %v, not at a slot of %v", s.ID, s.OpensAt, every)
		}
		if i > 0 && list[i-1].OpensAt.Sub(s.OpensAt) != every {
			t.Errorf("sale %d opened at %v, the next one at %v: want %v between", s.ID, s.OpensAt, list[i-1].OpensAt, every)
		}
	}
	if first.ID != 1 || first.FirstItem != 1 {
		t.Errorf("a new installation begins with %+v", first)
	}
	db := p.database()
	if n := notsaletest.Count(t, db, `SELECT count(*) - count(DISTINCT opens_at) FROM sales`); n != 0 {
		t.Errorf("%d slots were opened twice", n)
	}
	if a := p.Purchase(t, early.Code); a.Status != http.StatusOK {
		t.Errorf("a code of a sale after which others opened: %d %s", a.Status, a.Body)
	}
	for item := first.FirstItem + 1; item <= first.LastItem; item++ {
		c := p.Checkout(t, "late", item)
		if a := p.Purchase(t, c.Code); c.Sale != first.ID || a.Status != http.StatusOK {
			t.Errorf("item %d of an earlier sale: %d %s", item, a.Status, a.Body)
		}
	}
	checkLedger(t, db, first, stock)
	newest := p.Sales(t)[0]
	for _, s := range []notsaletest.Sale{list[1], newest} { // the limit is per sale, and each sells
		if a := p.Purchase(t, p.Checkout(t, "late", s.FirstItem).Code); a.Status != http.StatusOK {
			t.Errorf("item %d of sale %d: %d %s", s.FirstItem, s.ID, a.Status, a.Body)
		}
	}
	states := map[int64]string{}
	for _, s := range p.Sales(t) {
		states[s.ID] = s.State
	}
	if states[first.ID] != "sold_out" || states[newest.ID] != "open" {
		t.Errorf("states %v", states)
	}
}
