//go:build unix

package edge_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"notsale/pkg/backends/backendstest"
	"notsale/pkg/backends/backendstest/testlog"
	"notsale/pkg/sale"
	"notsale/pkg/telemetry"
	"notsale/pkg/wire"
	"notsale/services/edge"
	"notsale/services/servicetest"
	"notsale/services/servicetest/edgetest"
)

// serve makes it the stage's NATS, as the edge may use it, with a directory of
// sales, which a scheduler makes.
func serve(t *testing.T, g *backendstest.Guarded, stage *servicetest.Stage) {
	t.Helper()
	stage.NATSURL = g.URL("others")
	if _, err := stage.Stream("scheduler").MakeDirectory(t.Context()); err != nil {
		t.Fatal(err)
	}
	stage.NATSURL = g.URL("edge")
}

// An edge whose account may have no more consumers of the directory is not ready,
// and says why, in the log once.
func TestAnEdgeWithoutAConsumer(t *testing.T) {
	t.Parallel()
	settings := func(limits string) string {
		return "accounts { A { users: [ { user: edge, password: secret } ], jetstream: { " + limits + " } } }"
	}
	nats := backendstest.Configure(t, settings("max_consumers: 1"))
	stage := servicetest.New(t)
	stage.NATSURL = nats.URL("edge:secret@")
	said := &testlog.Log{}
	stage.Log = slog.New(slog.NewTextHandler(said, nil))
	other, err := stage.Stream("other").MakeDirectory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	watched := make(chan bool)
	stop := stage.Run(func(ctx context.Context) error {
		_ = other.Watch(ctx, func(wire.Entry) {}, func() { close(watched) }) // it ends with ctx
		return nil
	})
	<-watched
	cfg := edge.DefaultConfig()
	cfg.Listen = "127.0.0.1:0"
	e, err := edge.New(cfg, edgetest.NewKeyring(t, 1), stage.Ledger("edge"), stage.Stream("edge"), stage.Cache("edge"), &telemetry.Health{}, stage.Log, prometheus.NewRegistry())
	if err == nil {
		err = e.Listen(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	stage.Run(e.Run)
	shop := servicetest.NewShop(t, e.Address())
	servicetest.Eventually(t, "readyz names the limit", func() bool {
		a := shop.Get(t, "/readyz")
		return a.Status == http.StatusServiceUnavailable && strings.Contains(string(a.Body), "max_consumers")
	})
	stop()
	servicetest.Eventually(t, "it is ready when there is one for it", func() bool { return shop.Get(t, "/readyz").Status == http.StatusOK })
	if n := strings.Count(said.String(), "level=WARN"); n != 1 || !strings.Contains(said.String(), "max_consumers") {
		t.Errorf("%d warnings:\n%s", n, said)
	}
}

// NATS takes the edge's subscription to replies away and gives it back: the edge
// says that it is not ready; a sold code is told so throughout, and what is
// decided meanwhile is learned from the ledger before 202 is said; afterwards
// replies come again.
func TestARefusedSubscriptionToReplies(t *testing.T) {
	t.Parallel()
	g := backendstest.NewGuarded(t, "")
	stage := servicetest.New(t)
	serve(t, g, stage)
	f := frontOn(t, stage, func(c *edge.Config) { c.PurchaseWait = time.Second })
	stage.NATSURL = g.URL("others")
	of := f.OpenSale(1000, 1000)
	f.Allocate()
	text := f.code(f.Keys, of, 1, "ann", time.Hour)
	sold := decided(t, f.Shop, text)
	expectation{status: 200}.check(t, sold)
	ready := func(status int) {
		t.Helper()
		servicetest.Eventually(t, fmt.Sprintf("readyz answers %d", status), func() bool { return f.Get(t, "/readyz").Status == status })
	}
	g.Reload(`subscribe: { deny: ["replies.>"] }`)
	ready(http.StatusServiceUnavailable)
	edgetest.Same(t, "a sold code", decided(t, f.Shop, text), sold)
	fresh := sale.ItemID(10)
	servicetest.Eventually(t, "what is decided meanwhile is told at its first post", func() bool {
		fresh++
		return f.Purchase(t, f.code(f.Keys, of, fresh, "ann", time.Hour)).Status == http.StatusOK
	})
	edgetest.Same(t, "a sold code", decided(t, f.Shop, text), sold)
	g.Reload("")
	ready(http.StatusOK)
	expectation{status: 200}.check(t, decided(t, f.Shop, f.code(f.Keys, of, 3, "ann", time.Hour)))

	g.Reload(`publish: { deny: ["purchases.>"] }`)
	servicetest.Eventually(t, "a denied publish is told at once", func() bool {
		a := f.Purchase(t, f.code(f.Keys, of, 4, "ann", time.Hour))
		return a.Status == http.StatusServiceUnavailable
	})
	ready(http.StatusServiceUnavailable)
	g.Reload("")
	ready(http.StatusOK)
	servicetest.Eventually(t, "it is allowed again", func() bool {
		return f.Purchase(t, f.code(f.Keys, of, 4, "ann", time.Hour)).Status == http.StatusOK
	})
}
