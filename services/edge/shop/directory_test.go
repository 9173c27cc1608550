package shop

import (
	"testing"
	"time"

	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/wire"
)

func saleNumber(id sale.ID, first sale.ItemID, stock int) sale.Sale {
	return sale.Sale{
		Installation: sale.UUID{1}, UUID: sale.UUID{2, byte(id)}, ID: id, OpensAt: time.Unix(int64(id), 0).UTC(),
		Stock: stock, UserLimit: 10, FirstItem: first, Rules: 1,
	}
}

func TestDirectoryFindsSales(t *testing.T) {
	d := newDirectory()
	for _, s := range []sale.Sale{saleNumber(3, 21, 5), saleNumber(1, 1, 10), saleNumber(2, 11, 10)} { // in no order
		d.put(wire.Entry{Sale: s, State: sale.Open})
	}
	if d.size() != 0 || d.ofItem(1) != nil {
		t.Error("entries show before they are published")
	}
	d.put(wire.Entry{Sale: saleNumber(4, 26, 5), State: sale.Preparing})
	d.publish()
	if d.size() != 3 {
		t.Errorf("%d sales, want 3", d.size())
	}
	for item, want := range map[sale.ItemID]sale.ID{0: 0, 1: 1, 10: 1, 11: 2, 20: 2, 21: 3, 25: 3, 26: 0, 1 << 40: 0} {
		var got sale.ID
		if s := d.ofItem(item); s != nil {
			got = s.ID
		}
		if got != want {
			t.Errorf("item %d is of sale %d, want %d", item, got, want)
		}
	}
	for id, want := range map[sale.ID]bool{0: false, 1: true, 3: true, 4: false} {
		s := d.sale(id)
		if (s != nil) != want || s != nil && s.ID != id {
			t.Errorf("sale %d: %+v", id, s)
		}
		u := d.uuid(sale.UUID{2, byte(id)})
		if (u != nil) != want || u != nil && u.ID != id {
			t.Errorf("UUID of sale %d: %+v", id, u)
		}
	}
}

func TestDirectoryWithAGap(t *testing.T) {
	d := newDirectory() // sale 2, items 11 to 20, is not known yet
	d.put(wire.Entry{Sale: saleNumber(1, 1, 10), State: sale.SoldOut})
	d.put(wire.Entry{Sale: saleNumber(3, 21, 5), State: sale.Open})
	d.publish()
	for _, item := range []sale.ItemID{11, 15, 20} {
		if s := d.ofItem(item); s != nil {
			t.Errorf("item %d is of sale %d", item, s.ID)
		}
	}
	d.learn([]ledger.SaleRow{
		{Sale: saleNumber(4, 26, 5), State: sale.Preparing},
		{Sale: saleNumber(2, 11, 10), State: sale.Open},
		{Sale: saleNumber(1, 1, 10), State: sale.Open},
	})
	if s := d.ofItem(15); s == nil || s.ID != 2 {
		t.Errorf("item 15 after a look into the ledger: %+v", s)
	}
	if d.sale(4) != nil || d.entries[1].State != sale.SoldOut {
		t.Errorf("the ledger shows a sale that is being prepared, or reopens one: %+v", d.entries)
	}
}

// Whoever is slow, a watch or a look into the ledger, a state only moves forward.
func TestDirectoryMovesForward(t *testing.T) {
	d := newDirectory()
	one := saleNumber(1, 1, 10)
	for _, step := range []struct {
		state  sale.State
		news   bool
		closed bool
	}{
		{sale.Open, true, false},
		{sale.SoldOut, true, false},
		{sale.Open, false, false},
		{sale.Archiving, true, true},
		{sale.SoldOut, false, true},
		{sale.Archived, true, true},
		{sale.Archived, false, true},
		{sale.Archiving, false, true},
	} {
		if news := d.put(wire.Entry{Sale: one, State: step.state}); news != step.news {
			t.Errorf("%s is news: %v, want %v", step.state, news, step.news)
		}
		d.publish()
		d.learn([]ledger.SaleRow{{Sale: one, State: sale.Open}})
		if d.closed(1) != step.closed || d.closed(0) || d.sale(1) == nil {
			t.Errorf("after %s: closed %v, want %v", step.state, d.closed(1), step.closed)
		}
	}
	anew := saleNumber(1, 1, 10)
	anew.UUID = sale.UUID{9}
	if d.put(wire.Entry{Sale: anew, State: sale.Open}); d.entries[1].Sale.UUID != anew.UUID {
		t.Error("another sale of the number is not taken")
	}
}

// A look into the ledger brings what the watch has not yet told.
func TestDirectoryLearnsThatASaleIsClosed(t *testing.T) {
	d := newDirectory()
	d.put(wire.Entry{Sale: saleNumber(1, 1, 10), State: sale.SoldOut})
	d.publish()
	d.learn([]ledger.SaleRow{{Sale: saleNumber(1, 1, 10), State: sale.Archiving}})
	if !d.closed(1) {
		t.Error("the sale is not known to be closed")
	}
}
