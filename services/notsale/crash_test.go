//go:build unix

package main

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"notsale/loadtest/hammer/shopper"
	"notsale/pkg/effort"
	"notsale/services/servicetest"
)

// The program is killed twice while everybody buys, and each time started
// again on the same data; the shoppers only ever retry.
func TestKillInMidSale(t *testing.T) {
	t.Parallel()
	stock := effort.Of(1000, 6000)
	p := runUp(t, "--sale-stock", itoa(stock))
	of := p.FirstSale(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*effort.Patience)
	defer cancel()
	cfg := patient(p, 0)
	cfg.Contention = 1
	killed := []chan struct{}{make(chan struct{}), make(chan struct{})}
	cfg.Pass = func(visit int64) { // not all may be sold before the kills
		switch half := int64(stock); {
		case visit >= half*3/2:
			await(ctx, killed[1])
		case visit >= half*3/4:
			await(ctx, killed[0])
		}
	}
	var result *shopper.Result
	done := make(chan error, 1)
	go func() {
		var err error
		result, err = shopper.Run(ctx, cfg)
		done <- err
	}()
	for i, share := range []int{4, 2} { // after a quarter, after a half
		awaitSold(t, p, of.ID, stock/share)
		children := p.children()
		p.kill()
		select {
		case err := <-done:
			t.Fatalf("all was sold before the kill: %v", err)
		default:
		}
		close(killed[i])
		checkGone(t, children)
		p.again()
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	t.Logf("%d items in %v; checkouts %v, purchases %v", stock, result.Wall, result.Checkout.Statuses, result.Purchase.Statuses)
	if result.Purchase.Statuses[0] == 0 {
		t.Error("no shopper noticed the kills")
	}
	db := p.database()
	checkLedger(t, db, of, stock)
	checkOwners(t, db, result)
	checkAttempts(t, db, result, 0)
	for _, v := range shopper.Check(ctx, result) {
		if !v.OK {
			t.Errorf("%s: %s", v.Name, v.Detail)
		}
	}
}

// await waits until the channel is closed, or the test is over.
func await(ctx context.Context, closed <-chan struct{}) {
	select {
	case <-closed:
	case <-ctx.Done():
	}
}

// awaitSold waits until that many items of the sale are sold.
func awaitSold(t *testing.T, p *process, id int64, items int) {
	t.Helper()
	servicetest.Eventually(t, strconv.Itoa(items)+" items are sold", func() bool {
		var s servicetest.Sale
		a := p.Get(t, "/sales/"+strconv.FormatInt(id, 10))
		a.Decode(t, &s)
		return s.Sold >= items
	})
}

// checkGone waits until the children of a killed program have ended.
func checkGone(t *testing.T, children map[int]string) {
	t.Helper()
	if _, err := os.Stat("/proc/self/comm"); err != nil {
		return // pkg/backends tests this where there is no /proc
	}
	names := map[string]bool{}
	for _, name := range children {
		names[name] = true
	}
	if !names["postgres"] {
		t.Errorf("the program had the children %v, and no postgres among them", children)
	}
	servicetest.Eventually(t, "no child outlives the killed program", func() bool {
		for id, name := range children {
			if runs(id, name) {
				return false
			}
		}
		return true
	})
}

// runs reports whether the process still runs: a zombie does not.
func runs(id int, name string) bool {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(id), "stat"))
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(text), ") ")
	return strings.Contains(string(text), "("+name+")") && !strings.HasPrefix(state, "Z")
}

func itoa(n int) string { return strconv.Itoa(n) }
