//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"notsale/pkg/backends/backendstest"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
	"notsale/services/archiver"
	"notsale/services/auditor"
	"notsale/services/edge"
	"notsale/services/servicetest"
	"notsale/services/servicetest/edgetest"
)

// archiving is the archiving of one sale, step by step.
type archiving struct {
	*front

	t       *testing.T
	of      sale.Sale
	ledger  *ledger.Ledger
	stream  *stream.Client
	command *archiver.Archival // whose steps are taken
}

func (f *front) archiving(t *testing.T, of sale.Sale) *archiving {
	t.Helper()
	l, s := f.Ledger("archive"), f.Stream("archive")
	return &archiving{front: f, t: t, of: of, ledger: l, stream: s, command: &archiver.Archival{Task: archiver.Task{Sale: of.ID, Stores: archiver.Stores{Ledger: l, Streams: s}}}}
}

// steps are what archives a sale, in order; each may be repeated. What makes
// the archive itself stands between "settle" and "finish".
func (a *archiving) steps() []func(context.Context) error {
	c := a.command
	first := []func(context.Context) error{c.Start, c.List, c.Seal, a.settle, c.Finish}
	remove := []func(context.Context) error{c.List, c.Remove}
	row, err := a.ledger.Sale(a.t.Context(), a.of.ID)
	if err != nil {
		a.t.Fatal(err)
	}
	if row.State == sale.Archived {
		return remove
	}
	return append(first, remove...)
}

// run takes so many steps, and says whether they were all.
func (a *archiving) run(most int) bool {
	a.t.Helper()
	steps := a.steps()
	for i, step := range steps[:min(most, len(steps))] {
		if err := step(a.t.Context()); err != nil {
			a.t.Fatalf("step %d: %v", i+1, err)
		}
	}
	return most >= len(steps)
}

// settle waits until all that is in the sealed streams is in the ledger, and
// names the archive that is not made.
func (a *archiving) settle(ctx context.Context) error {
	err := a.command.Settle(ctx)
	a.command.Ends.Manifest = [32]byte{byte(a.of.ID)}
	return err
}

// undecided is a code that nobody has asked with.
func (f *front) undecided(of sale.Sale) string {
	return f.Sign(of, of.LastItem(), "dora", time.Hour).Text
}

// checkAnswers asks an edge for everything that can be asked of an archived
// sale. n tells its checkouts from others.
func (f *front) checkAnswers(t *testing.T, shop *servicetest.Shop, of sale.Sale, customers []edgetest.Customer, n int) {
	t.Helper()
	for _, c := range customers {
		edgetest.Same(t, c.What, shop.Purchase(t, c.Code), c.First)
		if c.First.Status == http.StatusOK {
			edgetest.Same(t, c.What+", by GET", shop.Get(t, servicetest.PurchasePath(c.Code)), c.First)
		}
	}
	edgetest.Check(t, shop.Purchase(t, f.undecided(of)), http.StatusGone, "sold-out", "")
	edgetest.Check(t, shop.Get(t, servicetest.PurchasePath(f.undecided(of))), http.StatusNotFound, "no-decision-yet", "")
	item := int64(of.LastItem())
	user := fmt.Sprintf("late-%d", n)
	edgetest.Check(t, shop.Post(t, servicetest.CheckoutPath(user, item)), http.StatusGone, "sold-out", "")
	edgetest.Check(t, shop.Post(t, servicetest.CheckoutPath(user+" ", item)), http.StatusBadRequest, "invalid-parameter", "")
	rows := func(outcome wire.Outcome, user string) int64 {
		return f.Count(`SELECT count(*) FROM checkout_attempts WHERE sale_id = 0 AND item_param = $1 AND outcome = $2 AND user_param = $3`, fmt.Sprint(item), string(outcome), user)
	}
	servicetest.Eventually(t, "the checkouts are recorded", func() bool {
		return rows(wire.SoldOut, user) > 0 && rows(wire.InvalidParameter, user+" ") > 0
	})
	if n := f.Count(`SELECT count(*) FROM checkout_attempts WHERE sale_id = 0 AND item_param = $1 AND user_param LIKE $2`, fmt.Sprint(item), user+"%"); n != 2 {
		t.Errorf("%d rows of two checkouts by %s", n, user)
	}
	if a := shop.Get(t, fmt.Sprintf("/sales/%d", of.ID)); !strings.Contains(string(a.Body), `"stock":2,"sold":2,"state":"sold_out"`) {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}

// gone fails the test unless the sale's streams are removed and it is in
// nobody's hands.
func (a *archiving) gone() {
	a.t.Helper()
	if _, err := a.stream.Info(a.t.Context(), a.of.ID); !errors.Is(err, stream.ErrLost) {
		a.t.Errorf("the sale's stream: %v, want ErrLost", err)
	}
	if _, err := a.stream.LastAttempt(a.t.Context(), a.of.ID); !errors.Is(err, stream.ErrLost) {
		a.t.Errorf("its stream of attempts: %v, want ErrLost", err)
	}
	row, err := a.ledger.Sale(a.t.Context(), a.of.ID)
	if err != nil || row.State != sale.Archived {
		a.t.Errorf("%+v, %v", row, err)
	}
	kept, err := a.ledger.ArchiveOf(a.t.Context(), a.of.ID)
	if kept.At = (time.Time{}); err != nil || kept != a.command.Ends {
		a.t.Errorf("%+v, %v, want %+v", kept, err, a.command.Ends)
	}
}

// A sale is archived under a running shop: every code gets the answer that it
// ever got, from edges that were there and from new ones, with the cache and
// without, and nobody misses the streams.
func TestArchivedSale(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil)
	of, open := f.OpenSale(2, 1), f.OpenSale(5, 1)
	before := f.Hire(t, "before")
	customers := f.SellOut(t, of)
	f.Post(t, servicetest.CheckoutPath("early", int64(of.LastItem())))
	a := f.archiving(t, of)
	a.run(4)
	if r, err := auditor.Audit(t.Context(), a.ledger, a.stream, of.ID, auditor.Options{}); err != nil || !r.Clean() || r.Sold != 2 || r.Attempts != 1 {
		t.Errorf("a sale that is being archived: %+v, %v", r, err)
	}
	cached := f.Purchase(t, f.undecided(of))
	edgetest.Check(t, cached, http.StatusGone, "sold-out", "")
	if !a.run(99) {
		t.Fatal("steps are left")
	}
	a.gone()
	for _, c := range customers {
		if c.First.Status == http.StatusOK {
			edgetest.Same(t, c.What+", with the cache", edgetest.Answered(t, f.Shop, c.Code), c.First)
		}
	}
	f.EmptyCache(t)
	f.checkAnswers(t, f.Shop, of, customers, 1)
	servicetest.Eventually(t, "only the open sale is led", func() bool { return before.Count("notsale_allocator_sales") == 1 })
	sold := f.Purchase(t, f.Checkout(t, "ann", int64(open.FirstItem)).Code)
	if sold.Status != http.StatusOK {
		t.Errorf("the open sale: %d %s", sold.Status, sold.Body)
	}
	before.Content()
	before.Stop()

	deleteDirectory(t, f.NATSURL)
	after := f.Hire(t, "after")
	fresh := f.AnotherEdge(t)
	f.checkAnswers(t, fresh, of, customers, 2)
	servicetest.Eventually(t, "only the open sale is led", func() bool { return after.Count("notsale_allocator_sales") == 1 })
	servicetest.Eventually(t, "the directory lists both sales again", func() bool {
		listed := f.listed(t)
		return listed[of.ID].State == sale.Archived && listed[open.ID].State == sale.Open
	})
	after.Content()
	a.gone()
}

// deleteDirectory loses the directory of sales.
func deleteDirectory(t *testing.T, url string) {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err == nil {
		err = js.DeleteKeyValue(t.Context(), "SALES")
	}
	if err != nil {
		t.Fatal(err)
	}
}

// listed reads the directory once.
func (f *front) listed(t *testing.T) map[sale.ID]wire.Entry {
	t.Helper()
	d, err := f.Stream("looker").Directory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	entries := map[sale.ID]wire.Entry{}
	ctx, cancel := context.WithTimeout(t.Context(), servicetest.Patience)
	defer cancel()
	if err := d.Watch(ctx, func(e wire.Entry) { entries[e.Sale.ID] = e }, cancel); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	return entries
}

// Whoever archives may die between any two steps and begin again.
func TestArchivingMayBeInterrupted(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil)
	const steps = 7
	f.OpenSale(2, 1) // stays open
	staff := f.Hire(t, "staff")
	for taken := range steps + 1 {
		t.Run(fmt.Sprintf("after %d steps", taken), func(t *testing.T) {
			of := f.OpenSale(2, 1)
			customers := f.SellOut(t, of)
			a := f.archiving(t, of)
			if complete := a.run(taken); complete != (taken == steps) {
				t.Fatalf("complete %v", complete)
			}
			for _, c := range customers { // in between
				if again := edgetest.Answered(t, f.Shop, c.Code); c.First.Status == http.StatusOK || again.Status == http.StatusOK {
					edgetest.Same(t, c.What, again, c.First)
				}
			}
			heir := f.archiving(t, of)
			heir.command.Ends = a.command.Ends // of the archive that was found
			heir.run(steps)
			heir.run(steps)
			heir.gone()
			f.EmptyCache(t)
			f.checkAnswers(t, f.Shop, of, customers, taken)
		})
	}
	servicetest.Eventually(t, "only the open sale is led", func() bool { return staff.Count("notsale_allocator_sales") == 1 })
	staff.Content()
}

// An edge that has not heard of the archiving, whether streams are sealed or
// gone, answers purchases as the ledger does, and checkouts 503, until it hears
// of it.
func TestEdgeThatDoesNotKnowOfTheArchiving(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil)
	of := f.OpenSale(2, 1)
	staff := f.Hire(t, "staff")
	customers := f.SellOut(t, of)
	servicetest.Eventually(t, "the sale is listed as sold out", func() bool { return f.listed(t)[of.ID].State == sale.SoldOut })
	staff.Stop() // else the scheduler tells
	f.EmptyCache(t)
	a := f.archiving(t, of)
	refused := func() {
		t.Helper()
		edgetest.Same(t, "granted", f.Purchase(t, customers[0].Code), customers[0].First)
		edgetest.Check(t, f.Purchase(t, f.undecided(of)), http.StatusGone, "sold-out", "")
		edgetest.Check(t, f.Post(t, servicetest.CheckoutPath("eve", int64(of.FirstItem))), http.StatusServiceUnavailable, "not-queued", "")
	}
	for i, step := range a.steps() {
		if i == 1 || i == 5 {
			continue // nobody lists the sale
		}
		if err := step(t.Context()); err != nil {
			t.Fatalf("step %d: %v", i+1, err)
		}
		if i >= 2 {
			refused()
		}
	}
	if err := a.command.List(t.Context()); err != nil {
		t.Fatal(err)
	}
	edgetest.Same(t, "granted", edgetest.Answered(t, f.Shop, customers[0].Code), customers[0].First)
	edgetest.Check(t, f.Purchase(t, f.undecided(of)), http.StatusGone, "sold-out", "")
	if n := f.Count(`SELECT count(*) FROM decisions WHERE sale_id = $1`, int64(of.ID)); n != int64(len(customers)) {
		t.Errorf("%d decisions, want %d", n, len(customers))
	}
}

// A ledger that does not say that the sale is sold out, as after a restore,
// makes no code of it final.
func TestRestoredLedgerRefusesNothingOfAnArchivedSale(t *testing.T) {
	t.Parallel()
	lostLedger := 5 * time.Second // is asked for so long
	f := newFront(t, func(c *edge.Config) { c.PurchaseWait = lostLedger }, backendstest.WithOwnPostgres)
	f.Spoilt = true // in the end the streams are gone, and Postgres is
	of := f.OpenSale(2, 1)
	staff := f.Hire(t, "staff")
	customers := f.SellOut(t, of)
	a := f.archiving(t, of)
	a.run(4)
	staff.Stop()
	f.EmptyCache(t)
	edgetest.Check(t, f.Purchase(t, f.undecided(of)), http.StatusGone, "sold-out", "")
	for _, back := range []string{
		`UPDATE sales SET state = 'open'`, `UPDATE cursors SET sold = sold - 1`, `DELETE FROM items WHERE item_id = (SELECT max(last_item) FROM sales)`,
	} {
		if _, err := f.DB.Exec(t.Context(), back); err != nil {
			t.Fatal(err)
		}
	}
	edgetest.Check(t, f.Purchase(t, f.undecided(of)), http.StatusServiceUnavailable, "ledger-unavailable", "")
	edgetest.Same(t, "granted", f.Purchase(t, customers[0].Code), customers[0].First)
	if err := f.Postgres.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, code := range []string{customers[0].Code, f.undecided(of)} {
		edgetest.Check(t, f.Purchase(t, code), http.StatusServiceUnavailable, "ledger-unavailable", "")
	}
}
