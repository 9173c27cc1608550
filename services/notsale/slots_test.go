//go:build unix

package main

import (
	"net/http"
	"testing"
	"time"

	"notsale/services/servicetest"
)

// Sales open slot after slot, and the ones before sell on.
func TestSaleAfterSale(t *testing.T) {
	t.Parallel()
	const stock, every = 4, time.Second
	p := runUp(t, "--sale-stock", itoa(stock), "--sale-every", every.String())
	p.FirstSale(t)
	first := saleOne(t, p)
	early := p.Checkout(t, "early", first.FirstItem)
	var list []servicetest.Sale
	servicetest.Eventually(t, "four sales are open", func() bool {
		list = p.Sales(t)
		return len(list) >= 4
	})
	for i, s := range list { // newest first
		if s.ID != list[0].ID-int64(i) || s.FirstItem != 1+(s.ID-1)*stock || s.LastItem != s.FirstItem+stock-1 || s.Stock != stock {
			t.Errorf("sale %d of the list is %+v", i, s)
		}
		if s.OpensAt.UnixNano()%every.Nanoseconds() != 0 {
			t.Errorf("sale %d opens at %v, not at a slot of %v", s.ID, s.OpensAt, every)
		}
		if i > 0 && !list[i-1].OpensAt.After(s.OpensAt) { // a machine that stands still misses slots
			t.Errorf("sale %d opened at %v, the next one at %v", s.ID, s.OpensAt, list[i-1].OpensAt)
		}
	}
	if first.ID != 1 || first.FirstItem != 1 {
		t.Errorf("a new installation begins with %+v", first)
	}
	db := p.database()
	if n := servicetest.Count(t, db, `SELECT count(*) - count(DISTINCT opens_at) FROM sales`); n != 0 {
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
	for _, s := range []servicetest.Sale{list[1], newest} { // the limit is per sale, and each sells
		if a := p.Purchase(t, p.Checkout(t, "late", s.FirstItem).Code); a.Status != http.StatusOK {
			t.Errorf("item %d of sale %d: %d %s", s.FirstItem, s.ID, a.Status, a.Body)
		}
	}
	if state := saleOne(t, p).State; state != "sold_out" {
		t.Errorf("the first sale is %s", state)
	}
	for _, s := range p.Sales(t) {
		if s.ID == newest.ID && s.State != "open" {
			t.Errorf("sale %d is %s", s.ID, s.State)
		}
	}
}

// saleOne is the first sale of an installation.
func saleOne(t *testing.T, p *process) (first servicetest.Sale) {
	t.Helper()
	p.Get(t, "/sales/1").Decode(t, &first)
	return first
}
