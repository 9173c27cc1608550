package check_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"notsale/loadtest/faults/check"
	"notsale/pkg/effort"
)

func big() setting {
	return setting{
		seed: 1, operations: 100_000, clients: 256, users: 1000, stock: 6000, limit: 10,
		lost: 0.01, failed: 0.02, forgets: 0.0005, lookups: 0.15,
	}
}

func text(r *check.Report) string { return strings.Join(r.Texts(), "\n") }

// The size of a run that the reliability goals ask for.
func TestALargeSaleIsClean(t *testing.T) {
	h := simulate(big())
	began := time.Now()
	o := check.DefaultOptions()
	o.SoldOut = true
	r := check.Check(h, o)
	effort.Figure(t, fmt.Sprintf("a history of %d operations is checked in", len(h.Operations)), time.Since(began), time.Minute)
	if !r.OK() {
		t.Fatal("a correct sale was found to be wrong:\n" + text(r))
	}
	clients, answers := map[int]bool{}, map[string]int{}
	for _, o := range h.Operations {
		clients[o.Client] = true
		answers[fmt.Sprint(o.Kind, " ", o.Status)]++
	}
	if n := len(h.Operations); n < 100_000 || len(clients) != 256 {
		t.Errorf("%d operations of %d clients", n, len(clients))
	}
	for _, kind := range []string{
		"checkout 200", "checkout 400", "checkout 404", "checkout 409", "checkout 410", "checkout 503", "checkout 0",
		"purchase 200", "purchase 202", "purchase 409", "purchase 410", "purchase 429", "purchase 503", "purchase 0",
		"lookup 200", "lookup 404", "lookup 409", "lookup 429", "lookup 0",
	} {
		if answers[kind] == 0 {
			t.Errorf("the history has no %s", kind)
		}
	}
}

func drawSetting(t *rapid.T) setting {
	return setting{
		seed: rapid.Uint64().Draw(t, "seed"), operations: rapid.IntRange(1, 600).Draw(t, "operations"),
		clients: rapid.IntRange(1, 40).Draw(t, "clients"), users: rapid.IntRange(1, 12).Draw(t, "users"),
		stock: rapid.IntRange(1, 40).Draw(t, "stock"), limit: rapid.IntRange(1, 4).Draw(t, "limit"),
		lost: share(t, "lost"), failed: share(t, "failed"), forgets: share(t, "forgets"), lookups: share(t, "lookups"),
	}
}

func share(t *rapid.T, name string) float64 {
	return float64(rapid.IntRange(0, 40).Draw(t, name)) / 100
}

func TestCorrectSalesAreClean(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := simulate(drawSetting(t))
		if r := check.Check(h, check.DefaultOptions()); !r.OK() {
			t.Fatal(text(r))
		}
	})
}

func TestOrderOfRecordsDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSetting(t)
		h := simulate(s)
		r := rand.New(rand.NewPCG(s.seed, 1))
		l := &h.Ledgers[0]
		r.Shuffle(len(h.Operations), func(i, j int) { h.Operations[i], h.Operations[j] = h.Operations[j], h.Operations[i] })
		r.Shuffle(len(l.Decisions), func(i, j int) { l.Decisions[i], l.Decisions[j] = l.Decisions[j], l.Decisions[i] })
		r.Shuffle(len(l.Sold), func(i, j int) { l.Sold[i], l.Sold[j] = l.Sold[j], l.Sold[i] })
		if r := check.Check(h, check.DefaultOptions()); !r.OK() {
			t.Fatal(text(r))
		}
	})
}
