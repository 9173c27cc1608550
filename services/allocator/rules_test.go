//go:build unix

package allocator_test

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"notsale/pkg/allocation"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/services/servicetest"
)

// rulesOfTomorrow is a version of the rules that no program has.
const rulesOfTomorrow = 1 << 30

// openSaleUnder opens a sale as a scheduler of another version does.
func (d *desk) openSaleUnder(rules int) sale.Sale {
	d.t.Helper()
	ctx := d.t.Context()
	made, err := d.ledger.OpenSlot(ctx, ledger.Template{Every: time.Millisecond, Stock: 20, UserLimit: 10, Seed: 7})
	if err != nil || !made {
		d.t.Fatalf("slot made: %v, %v", made, err)
	}
	if _, err := d.DB.Exec(ctx, `UPDATE sales SET rules = $1 WHERE state = 'preparing'`, rules); err != nil {
		d.t.Fatal(err)
	}
	rows, err := d.ledger.Sales(ctx, 0, 1)
	if err != nil {
		d.t.Fatal(err)
	}
	of := rows[0].Sale
	if err := servicetest.Open(ctx, d.ledger, d.stream, of); err != nil {
		d.t.Fatal(err)
	}
	return of
}

// raised reports whether an alarm of the kind was raised.
func raised(t *testing.T, reg *prometheus.Registry, kind string) bool {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "notsale_allocator_alarms_total" && m.GetLabel()[0].GetValue() == kind {
				return m.GetCounter().GetValue() > 0
			}
		}
	}
	return false
}

// A sale under rules that this program does not have is never decided; it is
// left to a newer allocator, and the other sales go on.
func TestUnknownRulesAreNotDecided(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	of, other := d.openSaleUnder(rulesOfTomorrow), d.OpenSale(20, 10)
	d.pack(of.ID, d.request(1, of.FirstItem, "ann"))
	_, reg := d.allocate("allocator-1", nil)
	servicetest.Eventually(t, "the alarm is raised", func() bool { return raised(t, reg, "newer-version") })
	servicetest.Eventually(t, "the lease is given back", func() bool {
		return d.Count(`SELECT count(*) FROM leases WHERE sale_id = $1 AND holder = ''`, int64(of.ID)) == 1
	})
	elsewhere := d.request(2, other.FirstItem, "ann")
	d.pack(other.ID, elsewhere)
	expectReasons(t, d.awaitReplies(elsewhere), allocation.Granted)
	if n := d.Count(`SELECT count(*) FROM decisions WHERE sale_id = $1`, int64(of.ID)); n != 0 {
		t.Errorf("%d requests are decided", n)
	}
	if pos, err := d.ledger.Cursor(t.Context(), of.ID); err != nil || pos.Cursor.Sequence != 1 {
		t.Errorf("the cursor stands at %d, %v, want 1", pos.Cursor.Sequence, err)
	}
}

// A sale whose decisions cannot have led to its cursor is not decided, and raises
// the alarm, once it has been read twice.
func TestALedgerThatNoHistoryGivesIsNotDecidedFrom(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	of := d.OpenSale(20, 10)
	d.exec(`UPDATE cursors SET sold = 1`)
	d.pack(of.ID, d.request(1, of.FirstItem, "ann"))
	_, reg := d.allocate("allocator-1", nil)
	servicetest.Eventually(t, "the alarm is raised", func() bool { return raised(t, reg, "inconsistent-ledger") })
	if restarts := counter(t, reg, "notsale_allocator_restarts_total"); restarts != 1 {
		t.Errorf("it was read again %v times before, want once", restarts)
	}
	if n := d.Count(`SELECT count(*) FROM decisions`); n != 0 {
		t.Errorf("%d requests are decided", n)
	}
}

// A batch that does not fit what the ledger holds, here a stray owner of an item, is
// decided once more from what is there; then the alarm is raised and the sale left
// alone, and once the row is gone it goes on.
func TestABatchThatTheLedgerRefusesIsTold(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	of := d.OpenSale(20, 10)
	d.exec(`INSERT INTO items (item_id, sale_id, user_id, code_id, position, sold_at) VALUES ($1, 1, 'stray', gen_random_uuid(), 9, now())`, int64(of.FirstItem))
	r := d.request(1, of.FirstItem, "ann")
	d.pack(of.ID, r)
	_, reg := d.allocate("allocator-1", nil)
	servicetest.Eventually(t, "the alarm is raised", func() bool { return raised(t, reg, "inconsistent-ledger") })
	if restarts := counter(t, reg, "notsale_allocator_restarts_total"); restarts != 1 {
		t.Errorf("it was decided again %v times before, want once", restarts)
	}
	servicetest.Eventually(t, "the lease is given back", func() bool {
		return d.Count(`SELECT count(*) FROM leases WHERE holder = ''`) == 1
	})
	if n := d.Count(`SELECT count(*) FROM decisions`); n != 0 {
		t.Errorf("%d requests are decided", n)
	}
	d.exec(`DELETE FROM items`)
	d.allocate("allocator-2", nil)
	expectReasons(t, d.awaitReplies(r), allocation.Granted)
	d.check(of.ID)
}
