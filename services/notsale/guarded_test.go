//go:build unix

package main

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"notsale/pkg/backends/backendstest"
	"notsale/pkg/sale"
	"notsale/services/edge"
	"notsale/services/notsale/notsaletest"
)

// serve makes it the stage's NATS, as the edge may use it, with a directory of
// sales, which a scheduler makes.
func serve(t *testing.T, g *backendstest.Guarded, stage *notsaletest.Stage) {
	t.Helper()
	stage.NATSURL = g.URL("others")
	if _, err := stage.Stream("scheduler").MakeDirectory(t.Context()); err != nil {
		t.Fatal(err)
	}
	stage.NATSURL = g.URL("edge")
}

// NATS takes the edge's subscription to replies away and gives it back: the edge
// says that it is not ready; a sold code is told so throughout, and what is
// decided meanwhile is learned from the ledger before 202 is said; afterwards
// replies come again.
func TestARefusedSubscriptionToReplies(t *testing.T) {
	t.Parallel()
	g := backendstest.NewGuarded(t, "")
	stage := notsaletest.New(t)
	serve(t, g, stage)
	f := frontOn(t, stage, func(c *edge.Config) { c.PurchaseWait = time.Second })
	stage.NATSURL = g.URL("others")
	of := f.OpenSale(1000, 1000)
	f.allocate()
	text := f.code(f.keys, of, 1, "ann", time.Hour)
	sold := decided(t, f.Shop, text)
	expectation{status: 200}.check(t, sold)
	ready := func(status int) {
		t.Helper()
		notsaletest.Eventually(t, fmt.Sprintf("readyz answers %d", status), func() bool { return f.Get(t, "/readyz").Status == status })
	}
	g.Reload(`subscribe: { deny: ["replies.>"] }`)
	ready(http.StatusServiceUnavailable)
	sameAnswer(t, "a sold code", decided(t, f.Shop, text), sold)
	fresh := sale.ItemID(10)
	notsaletest.Eventually(t, "what is decided meanwhile is told at its first post", func() bool {
		fresh++
		return f.Purchase(t, f.code(f.keys, of, fresh, "ann", time.Hour)).Status == http.StatusOK
	})
	sameAnswer(t, "a sold code", decided(t, f.Shop, text), sold)
	g.Reload("")
	ready(http.StatusOK)
	expectation{status: 200}.check(t, decided(t, f.Shop, f.code(f.keys, of, 3, "ann", time.Hour)))

	g.Reload(`publish: { deny: ["purchases.>"] }`)
	notsaletest.Eventually(t, "a denied publish is told at once", func() bool {
		a := f.Purchase(t, f.code(f.keys, of, 4, "ann", time.Hour))
		return a.Status == http.StatusServiceUnavailable
	})
	g.Reload("")
	notsaletest.Eventually(t, "it is allowed again", func() bool {
		return f.Purchase(t, f.code(f.keys, of, 4, "ann", time.Hour)).Status == http.StatusOK
	})
}
