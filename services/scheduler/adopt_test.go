//go:build unix

package scheduler_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/services/scheduler"
	"notsale/services/servicetest"
)

// forgetSales puts the ledger back to before the sales above a number opened.
func (c *clockroom) forgetSales(above sale.ID) {
	c.t.Helper()
	for _, table := range []string{"cursors", "sales"} {
		if _, err := c.DB.Exec(c.t.Context(), `DELETE FROM `+table+` WHERE sale_id > $1`, int64(above)); err != nil {
			c.t.Fatal(err)
		}
	}
}

// A ledger that was restored to before a sale opened has it back, as its opening
// record says, whatever schedulers have made of it meanwhile.
func TestASaleThatARestoredLedgerLacksIsOpenedAgain(t *testing.T) {
	t.Parallel()
	for name, restored := range map[string]func(c *clockroom, was *scheduler.Process) (next *scheduler.Process){
		"no row": func(c *clockroom, _ *scheduler.Process) *scheduler.Process {
			c.forgetSales(0)
			return c.scheduler("two", always)
		},
		"another row, which never opened": func(c *clockroom, _ *scheduler.Process) *scheduler.Process {
			c.forgetSales(0)
			c.prepare()
			return c.scheduler("two", always)
		},
		"under a running scheduler": func(c *clockroom, was *scheduler.Process) *scheduler.Process {
			c.forgetSales(0)
			return was
		},
		"a row of another sale under a running scheduler": func(c *clockroom, was *scheduler.Process) *scheduler.Process {
			c.forgetSales(0)
			c.prepare()
			return was
		},
		"its streams are sealed": func(c *clockroom, _ *scheduler.Process) *scheduler.Process {
			c.forgetSales(0)
			if err := c.stream.Seal(c.t.Context(), 1); err != nil {
				c.t.Fatal(err)
			}
			return c.scheduler("two", always)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClockroom(t)
			one := c.scheduler("one", always)
			if err := one.Turn(t.Context()); err != nil {
				t.Fatal(err)
			}
			of := c.rows()[0].Sale
			c.Run(restored(c, one).Run)
			servicetest.Eventually(t, "the sale is open again", func() bool {
				rows := c.rows()
				return len(rows) > 0 && rows[0].State == sale.Open
			})
			if rows := c.rows(); len(rows) != 1 || rows[0].Sale != of {
				t.Errorf("sales %+v, want only %+v", rows, of)
			}
			if name != "its streams are sealed" { // checkouts are tried there
				c.check(always, 1)
			}
		})
	}
}

// Many sales were opened since the backup, and one was archived: the others come
// back, and neither number nor items nor the slot are given away again.
func TestManySalesThatARestoredLedgerLacks(t *testing.T) {
	t.Parallel()
	c := newClockroom(t)
	for range 5 {
		c.OpenSale(stock, 2)
	}
	before := c.rows()
	if err := errors.Join(c.stream.Seal(t.Context(), 3), c.stream.Remove(t.Context(), 3)); err != nil {
		t.Fatal(err)
	}
	c.forgetSales(1)
	c.prepareAt(before[0].Sale.OpensAt) // by a scheduler that knew no better, in the newest one's slot
	if err := c.scheduler("one", always).Turn(t.Context()); err != nil {
		t.Fatal(err)
	}
	after := c.rows()
	if want := slices.Delete(slices.Clone(before), 2, 3); !slices.Equal(after, want) {
		t.Errorf("sales %+v\nwant %+v", after, want)
	}
	if next := c.OpenSale(stock, 2); next.ID != 6 || next.FirstItem != before[0].Sale.LastItem()+1 {
		t.Errorf("then opens %+v", next)
	}
}

// prepareAt makes a row that is dated, and nothing else.
func (c *clockroom) prepareAt(at time.Time) {
	c.t.Helper()
	made, err := c.ledger.OpenSlot(c.t.Context(), ledger.Template{Every: time.Millisecond, Stock: stock, UserLimit: 2, Seed: 1})
	if err == nil {
		_, err = c.DB.Exec(c.t.Context(), `UPDATE sales SET opens_at = $1 WHERE state = 'preparing'`, at)
	}
	if err != nil || !made {
		c.t.Fatalf("made %v, %v", made, err)
	}
}
