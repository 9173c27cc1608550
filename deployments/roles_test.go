//go:build unix

package deployments

import (
	"bytes"
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"notsale/pkg/backends/backendstest"
	"notsale/pkg/code"
	"notsale/pkg/rejection"
	"notsale/pkg/sale"
	"notsale/pkg/telemetry"
	"notsale/services/allocator"
	"notsale/services/archiver"
	"notsale/services/auditor"
	"notsale/services/edge"
	"notsale/services/recorder"
	"notsale/services/scheduler"
	"notsale/services/servicetest"
)

// A sale is opened, sold out, recorded, audited and archived, each service with its
// own identity, and NATS refuses nobody anything.
func TestEachServiceWorksWithItsIdentity(t *testing.T) {
	const stock = 20
	secrets := makeSecrets(t)
	nats := runNATS(t, natsFolder(t, secrets), "nats.conf")
	addr, d, log := nats.Addr().String(), newDatabase(t, secrets), quiet(t)
	redis := backendstest.New(t).RedisURL
	cacheAs := func(role string) *rejection.Cache {
		c, err := rejection.Open(rejection.Config{URL: redis, Name: role}, log)
		must(t, err)
		t.Cleanup(func() { _ = c.Close() })
		return c
	}

	schedule := scheduler.DefaultConfig()
	schedule.Every, schedule.Stock = 87600*time.Hour, stock
	s, err := scheduler.New(schedule, d.booksAs(t, "scheduler"), streamsAs(t, addr, secrets, "scheduler"), log, prometheus.NewRegistry())
	must(t, err)
	run(t, s.Run)
	r, err := recorder.New(recorder.DefaultConfig(), d.booksAs(t, "recorder"), streamsAs(t, addr, secrets, "recorder"), log, prometheus.NewRegistry())
	must(t, err)
	run(t, r.Run)
	a, err := allocator.New(allocator.DefaultConfig(), d.booksAs(t, "allocator"), streamsAs(t, addr, secrets, "allocator"), cacheAs("allocator"), log, prometheus.NewRegistry())
	must(t, err)
	run(t, a.Run)
	keys, err := code.NewKeyring([]code.Key{{ID: 1, Secret: bytes.Repeat([]byte("x"), 32)}})
	must(t, err)
	front := edge.DefaultConfig()
	front.Listen, front.PurchaseWait, front.CheckoutWait = "127.0.0.1:0", servicetest.Patience, servicetest.Patience
	e, err := edge.New(front, keys, d.booksAs(t, "edge"), streamsAs(t, addr, secrets, "edge"), cacheAs("edge"), &telemetry.Health{}, log, prometheus.NewRegistry())
	must(t, err)
	must(t, e.Listen(t.Context()))
	run(t, e.Run)

	shop := servicetest.NewShop(t, e.Address())
	var sales []servicetest.Sale
	servicetest.Eventually(t, "a sale is open", func() bool {
		if e.Ready(t.Context()) != nil {
			return false
		}
		shop.Get(t, "/sales").Decode(t, &sales)
		return len(sales) == 1
	})
	if got := shop.Post(t, servicetest.CheckoutPath("ann", 1_000_000)); got.Status != http.StatusNotFound {
		t.Errorf("an item that there is not: %d %s", got.Status, got.Body)
	}
	for n := range stock {
		c := shop.Checkout(t, servicetest.User(n), sales[0].FirstItem+int64(n))
		for range 2 {
			if got := shop.Purchase(t, c.Code); got.Status != http.StatusOK {
				t.Fatalf("item %d: %d %s", c.Item, got.Status, got.Body)
			}
		}
	}
	id, books, tape := sale.ID(sales[0].ID), d.booksAs(t, "auditor"), streamsAs(t, addr, secrets, "auditor")
	servicetest.Eventually(t, "all is recorded, and the audit is clean", func() bool {
		report, err := auditor.Audit(t.Context(), books, tape, id, auditor.Options{})
		must(t, err)
		rest, err := auditor.AuditRest(t.Context(), books, tape)
		must(t, err)
		if !report.Clean() || !rest.Clean() {
			t.Fatalf("%+v\n%+v", report, rest)
		}
		return report.Sold == stock && report.Unrecorded == 0 && rest.Attempts == 1
	})

	archive := archiver.Config{To: t.TempDir(), Waits: archiver.WaitsOf(time.Hour)}
	archive.Look, archive.Quiet = time.Millisecond, 10*time.Millisecond
	ar, err := archiver.New(archive, "archiver", d.booksAs(t, "archiver"), streamsAs(t, addr, secrets, "archiver"), log, prometheus.NewRegistry())
	must(t, err)
	servicetest.Eventually(t, "the sale is archived", func() bool {
		worked, err := ar.Turn(t.Context())
		must(t, err)
		return worked
	})
	if left, err := tape.Sales(t.Context()); err != nil || len(left) != 0 {
		t.Errorf("streams of sales %v are left, %v", left, err)
	}
	if n := nats.refused.Load(); n > 0 {
		t.Errorf("NATS has refused something %d times, see the log", n)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// run runs a service until the test ends.
func run(t *testing.T, loop func(context.Context) error) {
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- loop(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
