package ledger_test

import (
	"errors"
	"reflect"
	"sync"
	"testing"
	"time"

	"notsale/pkg/allocation"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
)

func template() ledger.Template {
	return ledger.Template{Every: time.Hour, Stock: 100, UserLimit: 10, Seed: 42}
}

// openSlot opens the current slot's sale and returns whether that made a row,
// and the newest sale.
func openSlot(t *testing.T, l *ledger.Ledger, tmpl ledger.Template) (bool, ledger.SaleRow) {
	t.Helper()
	made, err := l.OpenSlot(t.Context(), tmpl)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := l.Sales(t.Context(), 0, 1)
	if err != nil || len(rows) != 1 {
		t.Fatalf("newest sale: %v, %v", rows, err)
	}
	return made, rows[0]
}

func TestTheFirstSaleOpensAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l, _ := w.open(t, "scheduler")
	before := time.Now()
	made, row := openSlot(t, l, template())
	if !made {
		t.Error("an empty ledger made no sale")
	}
	if err := row.Sale.Validate(); err != nil {
		t.Error(err)
	}
	installation, err := l.Installation(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// The test's and the database's clock are the same machine's.
	if age := before.Sub(row.Sale.OpensAt); age > time.Hour+time.Minute || age < -time.Hour {
		t.Errorf("opens at %v, asked at %v", row.Sale.OpensAt, before)
	}
	want := row
	want.State, want.Sold = sale.Preparing, 0
	want.Sale.ID, want.Sale.Installation, want.Sale.FirstItem = 1, installation, 1
	want.Sale.OpensAt = row.Sale.OpensAt.Truncate(time.Hour)
	want.Sale.Stock, want.Sale.UserLimit, want.Sale.Seed, want.Sale.Rules = 100, 10, 42, sale.RulesVersion
	if row != want {
		t.Errorf("made %+v\nwant %+v", row, want)
	}
	if made, again := openSlot(t, l, template()); made || again != row {
		t.Errorf("the same slot again: made %v, %+v", made, again)
	}
}

func TestASlotIsNeverOpenedTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tmpl := template()
	tmpl.Every = 24 * 365 * time.Hour // no slot ends while the test runs
	const schedulers, runs = 8, 5
	var made [schedulers]int
	var wg sync.WaitGroup
	for i := range schedulers {
		l, _ := w.open(t, "scheduler")
		wg.Go(func() {
			for range runs {
				yes, err := l.OpenSlot(t.Context(), tmpl)
				if err != nil {
					t.Error(err)
				}
				if yes {
					made[i]++
				}
			}
		})
	}
	wg.Wait()
	sum := 0
	for _, n := range made {
		sum += n
	}
	if count := w.one(t, `SELECT count(*)::text FROM sales`); sum != 1 || count != "1" {
		t.Errorf("%d calls say that they made the sale, there are %s", sum, count)
	}
}

// The numbers and the items of a sale continue those of the one before, with
// whatever stock that had.
func TestNumbersAndItemsContinue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l, _ := w.open(t, "scheduler")
	first, stocks := sale.ItemID(1), []int{100, 3, 2000}
	for i, stock := range stocks {
		tmpl := template()
		tmpl.Stock = stock
		made, row := openSlot(t, l, tmpl)
		if !made || row.Sale.ID != sale.ID(i+1) || row.Sale.FirstItem != first || row.Sale.Stock != stock {
			t.Fatalf("sale %d: made %v, %+v, want first item %v", i+1, made, row.Sale, first)
		}
		first += sale.ItemID(stock)
		w.exec(t, `UPDATE sales SET opens_at = opens_at - interval '1 hour'`) // an hour passes
	}
	for item, want := range map[sale.ItemID]sale.ID{1: 1, 100: 1, 101: 2, 103: 2, 104: 3, 2103: 3} {
		row, err := l.SaleOfItem(t.Context(), item)
		if err != nil || row.Sale.ID != want {
			t.Errorf("item %d is of sale %d (%v), want %d", item, row.Sale.ID, err, want)
		}
	}
	if _, err := l.SaleOfItem(t.Context(), 2104); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("item of no sale: %v", err)
	}
}

// Slots that nobody opened stay unopened: only the current one opens.
func TestMissedSlotsAreNotMadeUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l, _ := w.open(t, "scheduler")
	_, first := openSlot(t, l, template())
	w.exec(t, `UPDATE sales SET opens_at = opens_at - interval '5 hours'`)
	made, second := openSlot(t, l, template())
	if !made || second.Sale.ID != 2 || second.Sale.OpensAt.Before(first.Sale.OpensAt) {
		t.Errorf("after five hours: made %v, %+v", made, second.Sale)
	}
	if made, _ := openSlot(t, l, template()); made {
		t.Error("a missed slot was made up")
	}
}

// With slots of a second, sales open as the database's clock runs.
func TestSlotsFollowTheClock(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l, _ := w.open(t, "scheduler")
	tmpl := template()
	tmpl.Every = time.Second
	_, first := openSlot(t, l, tmpl)
	wait, err := l.NextSlot(t.Context(), tmpl.Every)
	if err != nil || wait <= 0 || wait > tmpl.Every {
		t.Fatalf("next slot in %v, %v", wait, err)
	}
	eventually(t, "the next slot", func() error {
		if made, _ := openSlot(t, l, tmpl); !made {
			return errors.New("not made yet")
		}
		return nil
	})
	_, second := openSlot(t, l, tmpl)
	step := second.Sale.OpensAt.Sub(first.Sale.OpensAt)
	if step <= 0 || step%time.Second != 0 {
		t.Errorf("slots are %v apart", step)
	}
}

// A longer or shorter interval holds from the next slot on; no slot opens
// before one that is open already.
func TestIntervalsMayChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l, _ := w.open(t, "scheduler")
	tmpl := template()
	_, first := openSlot(t, l, tmpl)

	tmpl.Every = 24 * 365 * time.Hour // whose slot began before the sale of this hour
	if made, _ := openSlot(t, l, tmpl); made {
		t.Error("a slot that began before the newest sale was opened")
	}
	tmpl.Every = time.Second
	eventually(t, "the first slot of a second", func() error {
		if made, _ := openSlot(t, l, tmpl); !made {
			return errors.New("not made yet")
		}
		return nil
	})
	_, second := openSlot(t, l, tmpl)
	if second.Sale.ID < 2 || !second.Sale.OpensAt.After(first.Sale.OpensAt) {
		t.Errorf("%+v after %+v", second.Sale, first.Sale)
	}
}

func TestTemplatesThatNoSaleMayHave(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l, _ := w.open(t, "scheduler")
	before := w.dump(t)
	for name, change := range map[string]func(*ledger.Template){
		"no stock":     func(tmpl *ledger.Template) { tmpl.Stock = 0 },
		"no limit":     func(tmpl *ledger.Template) { tmpl.UserLimit = 0 },
		"seed of 2^63": func(tmpl *ledger.Template) { tmpl.Seed = 1 << 63 },
		"no interval":  func(tmpl *ledger.Template) { tmpl.Every = 0 },
	} {
		tmpl := template()
		change(&tmpl)
		if made, err := l.OpenSlot(t.Context(), tmpl); err == nil {
			t.Errorf("%s: made %v", name, made)
		}
	}
	w.unchanged(t, before)
}

func TestMarkOpen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l, _ := w.open(t, "scheduler")
	w.addSale(t, 1, 10, 2)
	if _, err := l.Cursor(t.Context(), 1); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("cursor of a sale in preparation: %v", err)
	}
	genesis := allocation.Genesis(allocation.Hash{1}, genesisAt)
	created := genesisAt.Time().Add(-time.Second)
	if err := l.MarkOpen(t.Context(), 1, genesis, created); err != nil {
		t.Fatal(err)
	}
	row, err := l.Sale(t.Context(), 1)
	if err != nil || row.State != sale.Open || row.Sold != 0 {
		t.Fatalf("%+v, %v", row, err)
	}
	pos, err := l.Cursor(t.Context(), 1)
	if err != nil || pos.Cursor != genesis || pos.Epoch != 0 || !pos.StreamCreated.Equal(created) {
		t.Fatalf("cursor %+v, %v", pos, err)
	}
	before := w.dump(t)
	other := allocation.Genesis(allocation.Hash{2}, genesisAt+5)
	if err := l.MarkOpen(t.Context(), 1, other, created.Add(time.Hour)); err != nil {
		t.Error(err)
	}
	w.unchanged(t, before)
}

func TestSalesAreFoundByNumberAndUUID(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l, _ := w.open(t, "edge")
	for id := sale.ID(1); id <= 5; id++ {
		w.addSale(t, id, 10, 2)
	}
	third, err := l.Sale(t.Context(), 3)
	if err != nil || third.Sale.ID != 3 {
		t.Fatalf("%+v, %v", third, err)
	}
	if row, err := l.SaleOfUUID(t.Context(), third.Sale.UUID); err != nil || row != third {
		t.Errorf("by UUID: %+v, %v", row, err)
	}
	if _, err := l.Sale(t.Context(), 6); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("unknown number: %v", err)
	}
	if _, err := l.SaleOfUUID(t.Context(), sale.UUID{1}); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("unknown UUID: %v", err)
	}
	for _, c := range []struct {
		before sale.ID
		limit  int
		want   []sale.ID
	}{
		{0, 10, []sale.ID{5, 4, 3, 2, 1}},
		{0, 2, []sale.ID{5, 4}},
		{4, 2, []sale.ID{3, 2}},
		{1, 2, nil},
	} {
		rows, err := l.Sales(t.Context(), c.before, c.limit)
		if err != nil {
			t.Fatal(err)
		}
		var got []sale.ID
		for _, row := range rows {
			got = append(got, row.Sale.ID)
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%d before %d: %v, want %v", c.limit, c.before, got, c.want)
		}
	}
}

// A sale comes back as its opening record says. What was opened never gives way,
// and no item, time or UUID is that of two sales.
func TestAdopt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l, _ := w.open(t, "scheduler")
	_, first := openSlot(t, l, template())
	adopt := func(what string, of sale.Sale, want error) {
		t.Helper()
		before, err := l.Sales(t.Context(), 0, 10)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Adopt(t.Context(), of); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
		after, err := l.Sales(t.Context(), 0, 10)
		if err != nil {
			t.Fatal(err)
		}
		if want != nil && !reflect.DeepEqual(before, after) {
			t.Errorf("%s: the sales are now %+v, before %+v", what, after, before)
		}
		if row, err := l.Sale(t.Context(), of.ID); want == nil && (err != nil || row.Sale != of) {
			t.Errorf("%s: %+v, %v, want %+v", what, row, err, of)
		}
	}
	of := first.Sale
	of.UUID, of.OpensAt, of.Stock, of.Seed = sale.UUID{1}, of.OpensAt.Add(-time.Hour), of.Stock+7, 3
	adopt("in the place of a row that never opened", of, nil)
	genesis := allocation.Genesis(allocation.Hash{1}, 1)
	if err := l.MarkOpen(t.Context(), of.ID, genesis, time.Now()); err != nil {
		t.Fatal(err)
	}
	adopt("what is there", of, nil)
	other := of
	other.UUID = sale.UUID{2}
	adopt("in the place of a sale that was opened", other, ledger.ErrTaken)
	next := of
	next.ID, next.UUID, next.OpensAt, next.FirstItem = 3, sale.UUID{3}, of.OpensAt.Add(time.Hour), of.LastItem()+1
	for what, change := range map[string]func(*sale.Sale){
		"another's UUID": func(s *sale.Sale) { s.UUID = of.UUID },
		"another's time": func(s *sale.Sale) { s.OpensAt = of.OpensAt },
		"another's item": func(s *sale.Sale) { s.FirstItem-- },
	} {
		s := next
		change(&s)
		adopt(what, s, ledger.ErrTaken)
	}
	adopt("behind a gap", next, nil)
	tmpl := template()
	tmpl.Every, tmpl.Newest = time.Millisecond, 4
	if made, err := l.OpenSlot(t.Context(), tmpl); made || !errors.Is(err, ledger.ErrWentBack) {
		t.Errorf("a number that was given away: made %v, %v", made, err)
	}
	tmpl.Newest = 3
	if made, row := openSlot(t, l, tmpl); !made || row.Sale.ID != 4 || row.Sale.FirstItem != next.LastItem()+1 {
		t.Errorf("made %v, %+v", made, row)
	}
}
