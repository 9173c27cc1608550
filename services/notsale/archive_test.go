//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"notsale/pkg/backends/backendstest"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/telemetry"
	"notsale/pkg/wire"
	"notsale/services/allocator"
	"notsale/services/archiver"
	"notsale/services/auditor"
	"notsale/services/edge"
	"notsale/services/notsale/notsaletest"
	"notsale/services/recorder"
	"notsale/services/scheduler"
)

// staff is one of each service behind the edges.
type staff struct {
	t       *testing.T
	metrics *prometheus.Registry
	stop    func()
}

// hire runs an allocator, a recorder and a scheduler. The scheduler opens no
// sale if the test has opened one.
func (f *front) hire(t *testing.T, name string) *staff {
	t.Helper()
	s := &staff{t: t, metrics: prometheus.NewRegistry()}
	a, errA := allocator.New(allocator.DefaultConfig(), f.Ledger(name+"-allocator"), f.Stream(name+"-allocator"), f.Cache(name), f.Log, s.metrics)
	r, errR := recorder.New(recorder.DefaultConfig(), f.Ledger(name+"-recorder"), f.Stream(name+"-recorder"), f.Log, s.metrics)
	long := scheduler.Config{Every: 87600 * time.Hour, Stock: 1, UserLimit: 1}
	c, errC := scheduler.New(long, f.Ledger(name+"-scheduler"), f.Stream(name+"-scheduler"), f.Log, s.metrics)
	if err := errors.Join(errA, errR, errC); err != nil {
		t.Fatal(err)
	}
	stops := []func(){f.Run(a.Run), f.Run(r.Run), f.Run(c.Run)}
	s.stop = func() {
		for _, stop := range stops {
			stop()
		}
	}
	return s
}

// count adds up all metrics of this name.
func (s *staff) count(name string) (sum float64) {
	s.t.Helper()
	families, err := s.metrics.Gather()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			for _, m := range family.GetMetric() {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// content fails the test if anybody called for help. That a recorder's reader
// ends with its stream, before the recorder hears of the archiving, is no call.
func (s *staff) content() {
	s.t.Helper()
	for _, name := range []string{
		"notsale_allocator_alarms_total", "notsale_allocator_fenced_total", "notsale_recorder_alarms_total",
		"notsale_scheduler_alarms_total", "notsale_scheduler_failures_total",
	} {
		if n := s.count(name); n != 0 {
			s.t.Errorf("%s is %v", name, n)
		}
	}
}

// anotherEdge runs one more edge of the shop, until the test ends.
func (f *front) anotherEdge(t *testing.T) *notsaletest.Shop {
	t.Helper()
	shop, e := f.unreadyEdge(t)
	notsaletest.Eventually(t, "the edge is ready", func() bool { return e.Ready(t.Context()) == nil })
	return shop
}

// unreadyEdge is anotherEdge that nobody has waited for.
func (f *front) unreadyEdge(t *testing.T) (*notsaletest.Shop, *edge.Edge) {
	t.Helper()
	e, err := edge.New(f.cfg, f.keys, f.Ledger("another-edge"), f.Stream("another-edge"), f.Cache("another-edge"), &telemetry.Health{}, f.Log, prometheus.NewRegistry())
	if err == nil {
		err = e.Listen(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	f.Run(e.Run)
	return notsaletest.NewShop(t, e.Address()), e
}

// forget empties the rejection cache.
func (f *front) forget(t *testing.T) {
	t.Helper()
	options, err := redis.ParseURL(f.RedisURL)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	defer client.Close()
	if err := client.FlushDB(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
}

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
	return &archiving{front: f, t: t, of: of, ledger: l, stream: s, command: &archiver.Archival{Task: archiver.Task{Sale: of.ID, Books: l, Tape: s}}}
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

// customer is a code of the sale and what it was answered first.
type customer struct {
	what  string
	code  string
	first notsaletest.Answer
}

// sellOut sells both items of a sale with a limit of 1, with every decision
// that a readable code can get.
func (f *front) sellOut(t *testing.T, of sale.Sale) []customer {
	t.Helper()
	one, two := of.FirstItem, of.LastItem()
	var all []customer
	for _, c := range []struct {
		what   string
		user   string
		item   sale.ItemID
		life   time.Duration
		status int
	}{
		{"granted", "ann", one, time.Hour, http.StatusOK},
		{"expired", "bob", one, -time.Hour, http.StatusGone},
		{"limit reached", "ann", two, 2 * time.Hour, http.StatusTooManyRequests},
		{"taken", "bob", one, time.Hour, http.StatusConflict},
		{"the last granted", "bob", two, time.Hour, http.StatusOK},
		{"sold out", "carl", one, time.Hour, http.StatusGone},
	} {
		k := f.sign(of, c.item, c.user, c.life)
		if c.what == "sold out" { // of which an edge may know already
			f.enqueue(t, of, k)
			looker := f.Ledger("looker")
			notsaletest.Eventually(t, "it is decided", func() bool {
				_, _, err := looker.DecisionOf(t.Context(), k.ID)
				return err == nil
			})
		}
		var a notsaletest.Answer
		notsaletest.Eventually(t, "the engine decides, not what the cache has been told meanwhile", func() bool {
			f.forget(t)
			a = f.Purchase(t, k.text)
			return isDecision(a) && bytes.Contains(a.Body, []byte(`"position":`))
		})
		expectation{status: c.status, contains: `"position":`}.check(t, a)
		all = append(all, customer{c.what, k.text, a})
	}
	return all
}

// undecided is a code that nobody has asked with.
func (f *front) undecided(of sale.Sale) string {
	return f.code(f.keys, of, of.LastItem(), "dora", time.Hour)
}

// answered sends the code again until the answer is not 503.
func answered(t *testing.T, shop *notsaletest.Shop, code string) (a notsaletest.Answer) {
	t.Helper()
	notsaletest.Eventually(t, "an answer that is not 503", func() bool {
		a = shop.Purchase(t, code)
		return a.Status != http.StatusServiceUnavailable
	})
	return a
}

func sameAnswer(t *testing.T, what string, got, want notsaletest.Answer) {
	t.Helper()
	if got.Status != want.Status || !bytes.Equal(got.Body, want.Body) {
		t.Errorf("%s: %d %s\nwas answered %d %s", what, got.Status, got.Body, want.Status, want.Body)
	}
}

// checkAnswers asks an edge for everything that can be asked of an archived
// sale. n tells its checkouts from others.
func (f *front) checkAnswers(t *testing.T, shop *notsaletest.Shop, of sale.Sale, customers []customer, n int) {
	t.Helper()
	for _, c := range customers {
		sameAnswer(t, c.what, shop.Purchase(t, c.code), c.first)
		if c.first.Status == http.StatusOK {
			sameAnswer(t, c.what+", by GET", shop.Get(t, notsaletest.PurchasePath(c.code)), c.first)
		}
	}
	expectation{status: http.StatusGone, slug: "sold-out"}.check(t, shop.Purchase(t, f.undecided(of)))
	expectation{status: http.StatusNotFound, slug: "no-decision-yet"}.check(t, shop.Get(t, notsaletest.PurchasePath(f.undecided(of))))
	item := int64(of.LastItem())
	user := fmt.Sprintf("late-%d", n)
	expectation{status: http.StatusGone, slug: "sold-out"}.check(t, shop.Post(t, notsaletest.CheckoutPath(user, item)))
	expectation{status: http.StatusBadRequest, slug: "invalid-parameter"}.check(t, shop.Post(t, notsaletest.CheckoutPath(user+" ", item)))
	rows := func(outcome wire.Outcome, user string) int64 {
		return f.Count(`SELECT count(*) FROM checkout_attempts WHERE sale_id = 0 AND item_param = $1 AND outcome = $2 AND user_param = $3`, fmt.Sprint(item), string(outcome), user)
	}
	notsaletest.Eventually(t, "the checkouts are recorded", func() bool {
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
	before := f.hire(t, "before")
	customers := f.sellOut(t, of)
	f.Post(t, notsaletest.CheckoutPath("early", int64(of.LastItem())))
	a := f.archiving(t, of)
	a.run(4)
	if r, err := auditor.Audit(t.Context(), a.ledger, a.stream, of.ID, auditor.Options{}); err != nil || !r.Clean() || r.Sold != 2 || r.Attempts != 1 {
		t.Errorf("a sale that is being archived: %+v, %v", r, err)
	}
	cached := f.Purchase(t, f.undecided(of))
	expectation{status: http.StatusGone, slug: "sold-out"}.check(t, cached)
	if !a.run(99) {
		t.Fatal("steps are left")
	}
	a.gone()
	for _, c := range customers {
		if c.first.Status == http.StatusOK {
			sameAnswer(t, c.what+", with the cache", answered(t, f.Shop, c.code), c.first)
		}
	}
	f.forget(t)
	f.checkAnswers(t, f.Shop, of, customers, 1)
	notsaletest.Eventually(t, "only the open sale is led", func() bool { return before.count("notsale_allocator_sales") == 1 })
	sold := f.Purchase(t, f.Checkout(t, "ann", int64(open.FirstItem)).Code)
	if sold.Status != http.StatusOK {
		t.Errorf("the open sale: %d %s", sold.Status, sold.Body)
	}
	before.content()
	before.stop()

	deleteDirectory(t, f.NATSURL)
	after := f.hire(t, "after")
	fresh := f.anotherEdge(t)
	f.checkAnswers(t, fresh, of, customers, 2)
	notsaletest.Eventually(t, "only the open sale is led", func() bool { return after.count("notsale_allocator_sales") == 1 })
	notsaletest.Eventually(t, "the directory lists both sales again", func() bool {
		listed := f.listed(t)
		return listed[of.ID].State == sale.Archived && listed[open.ID].State == sale.Open
	})
	after.content()
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
	ctx, cancel := context.WithTimeout(t.Context(), notsaletest.Patience)
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
	staff := f.hire(t, "staff")
	for taken := range steps + 1 {
		t.Run(fmt.Sprintf("after %d steps", taken), func(t *testing.T) {
			of := f.OpenSale(2, 1)
			customers := f.sellOut(t, of)
			a := f.archiving(t, of)
			if complete := a.run(taken); complete != (taken == steps) {
				t.Fatalf("complete %v", complete)
			}
			for _, c := range customers { // in between
				if again := answered(t, f.Shop, c.code); c.first.Status == http.StatusOK || again.Status == http.StatusOK {
					sameAnswer(t, c.what, again, c.first)
				}
			}
			heir := f.archiving(t, of)
			heir.command.Ends = a.command.Ends // of the archive that was found
			heir.run(steps)
			heir.run(steps)
			heir.gone()
			f.forget(t)
			f.checkAnswers(t, f.Shop, of, customers, taken)
		})
	}
	notsaletest.Eventually(t, "only the open sale is led", func() bool { return staff.count("notsale_allocator_sales") == 1 })
	staff.content()
}

// An edge that has not heard of the archiving, whether streams are sealed or
// gone, answers purchases as the ledger does, and checkouts 503, until it hears
// of it.
func TestEdgeThatDoesNotKnowOfTheArchiving(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil)
	of := f.OpenSale(2, 1)
	staff := f.hire(t, "staff")
	customers := f.sellOut(t, of)
	notsaletest.Eventually(t, "the sale is listed as sold out", func() bool { return f.listed(t)[of.ID].State == sale.SoldOut })
	staff.stop() // else the scheduler tells
	f.forget(t)
	a := f.archiving(t, of)
	refused := func() {
		t.Helper()
		sameAnswer(t, "granted", f.Purchase(t, customers[0].code), customers[0].first)
		expectation{status: http.StatusGone, slug: "sold-out"}.check(t, f.Purchase(t, f.undecided(of)))
		expectation{status: http.StatusServiceUnavailable, slug: "not-queued"}.check(t, f.Post(t, notsaletest.CheckoutPath("eve", int64(of.FirstItem))))
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
	sameAnswer(t, "granted", answered(t, f.Shop, customers[0].code), customers[0].first)
	expectation{status: http.StatusGone, slug: "sold-out"}.check(t, f.Purchase(t, f.undecided(of)))
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
	f.spoilt = true // in the end the streams are gone, and Postgres is
	of := f.OpenSale(2, 1)
	staff := f.hire(t, "staff")
	customers := f.sellOut(t, of)
	a := f.archiving(t, of)
	a.run(4)
	staff.stop()
	f.forget(t)
	expectation{status: http.StatusGone, slug: "sold-out"}.check(t, f.Purchase(t, f.undecided(of)))
	for _, back := range []string{
		`UPDATE sales SET state = 'open'`, `UPDATE cursors SET sold = sold - 1`, `DELETE FROM items WHERE item_id = (SELECT max(last_item) FROM sales)`,
	} {
		if _, err := f.DB.Exec(t.Context(), back); err != nil {
			t.Fatal(err)
		}
	}
	expectation{status: http.StatusServiceUnavailable, slug: "ledger-unavailable"}.check(t, f.Purchase(t, f.undecided(of)))
	sameAnswer(t, "granted", f.Purchase(t, customers[0].code), customers[0].first)
	if err := f.Postgres.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, code := range []string{customers[0].code, f.undecided(of)} {
		expectation{status: http.StatusServiceUnavailable, slug: "ledger-unavailable"}.check(t, f.Purchase(t, code))
	}
}
