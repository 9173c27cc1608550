//go:build unix

package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"notsale/services/servicetest"
	"notsale/services/servicetest/edgetest"
)

func codes(t *testing.T, shop *servicetest.Shop, checkouts []string) []string {
	t.Helper()
	targets := make([]string, len(checkouts))
	for i, a := range shop.AtOnce(t, checkouts) {
		if a.Status != http.StatusOK {
			t.Fatalf("POST %s: %d %s", checkouts[i], a.Status, a.Body)
		}
		var c servicetest.Checkout
		a.Decode(t, &c)
		targets[i] = servicetest.PurchasePath(c.Code)
	}
	return targets
}

// One program serves the races; each has items and users of its own.
func TestRaces(t *testing.T) {
	t.Parallel()
	p := runUpToAsk(t, "--sale-stock", "1000")
	of := p.FirstSale(t)
	t.Run("500 shoppers want one item", func(t *testing.T) {
		const shoppers = 500
		item := of.FirstItem
		checkouts := make([]string, shoppers)
		for i := range checkouts {
			checkouts[i] = servicetest.CheckoutPath("rival-"+itoa(i), item)
		}
		answers := p.AtOnce(t, codes(t, p.Shop, checkouts))
		if got := servicetest.Statuses(answers); got[http.StatusOK] != 1 || got[http.StatusConflict] != shoppers-1 {
			t.Errorf("statuses %v, want one 200 and %d times 409", got, shoppers-1)
		}
		servicetest.Eventually(t, "the cache refuses checkouts of the item", func() bool {
			return p.Post(t, servicetest.CheckoutPath("late", item)).Status == http.StatusConflict
		})
		if n := servicetest.Count(t, p.database(), `SELECT count(*) FROM items WHERE item_id = $1`, item); n != 1 {
			t.Errorf("the item has %d owners", n)
		}
	})
	t.Run("one user wants 50 items", func(t *testing.T) {
		const wanted, limit = 50, 10
		checkouts := make([]string, wanted)
		for i := range checkouts {
			checkouts[i] = servicetest.CheckoutPath("greedy", of.FirstItem+1+int64(i))
		}
		purchases := codes(t, p.Shop, checkouts)
		first := p.AtOnce(t, purchases)
		checkLimit(t, first, limit, wanted-limit)
		again := p.AtOnce(t, purchases) // now refused by the cache, or granted as before
		checkLimit(t, again, limit, wanted-limit)
		for i := range first {
			if first[i].Status != again[i].Status || first[i].Status == http.StatusOK && string(first[i].Body) != string(again[i].Body) {
				t.Errorf("first %d %s, then %d %s", first[i].Status, first[i].Body, again[i].Status, again[i].Body)
			}
		}
		if a := p.Post(t, servicetest.CheckoutPath("greedy", of.LastItem)); a.Status != http.StatusOK {
			t.Errorf("the limit refuses a checkout: %d %s", a.Status, a.Body)
		}
		if n := servicetest.Count(t, p.database(), `SELECT count(*) FROM items WHERE user_id = 'greedy'`); n != limit {
			t.Errorf("the user owns %d items", n)
		}
	})
}

func checkLimit(t *testing.T, answers []servicetest.Answer, granted, refused int) {
	t.Helper()
	if got := servicetest.Statuses(answers); got[http.StatusOK] != granted || got[http.StatusTooManyRequests] != refused {
		t.Errorf("statuses %v, want %d times 200 and %d times 429", got, granted, refused)
	}
	for _, a := range answers {
		if a.Status != http.StatusTooManyRequests {
			continue
		}
		if !strings.Contains(string(a.Body), "User has reached the maximum of 10 items per sale") {
			t.Errorf("429 without the words: %s", a.Body)
		}
		if _, there := a.Header["Retry-After"]; there {
			t.Error("429 with Retry-After, as if it could change")
		}
	}
}

// What was granted to a code is its answer for ever.
func TestOneCodeOneAnswer(t *testing.T) {
	t.Parallel()
	const stock, repeats = 12, 50
	p := runUpToAsk(t, "--sale-stock", itoa(stock), "--code-ttl", "5s")
	of := p.FirstSale(t)
	winner, loser := p.Checkout(t, "winner", of.FirstItem), p.Checkout(t, "loser", of.FirstItem)
	targets := make([]string, repeats)
	for i := range targets {
		targets[i] = servicetest.PurchasePath(winner.Code)
	}
	answers := p.AtOnce(t, targets)
	body := string(answers[0].Body)
	same := func(when string) {
		t.Helper()
		for _, a := range []servicetest.Answer{p.Purchase(t, winner.Code), p.Get(t, servicetest.PurchasePath(winner.Code))} {
			if a.Status != http.StatusOK || string(a.Body) != body {
				t.Errorf("%s: %d %s, want 200 %s", when, a.Status, a.Body, body)
			}
		}
	}
	for _, a := range answers {
		if a.Status != http.StatusOK || string(a.Body) != body {
			t.Errorf("%d %s, want 200 %s", a.Status, a.Body, body)
		}
	}
	db := p.database()
	if n := servicetest.Count(t, db, `SELECT count(*) FROM items`); n != 1 {
		t.Errorf("%d items are sold, want 1", n)
	}
	if n := servicetest.Count(t, db, `SELECT count(*) FROM decisions`); n != 1 {
		t.Errorf("%d decisions, want 1", n)
	}

	if a := p.Purchase(t, loser.Code); a.Status != http.StatusConflict {
		t.Errorf("another's code for the item: %d %s, want 409", a.Status, a.Body)
	}
	servicetest.Eventually(t, "the item shows as taken", func() bool {
		return p.Post(t, servicetest.CheckoutPath("other", of.FirstItem)).Status == http.StatusConflict
	})
	same("the item taken")

	unused := p.Checkout(t, "sleeper", of.LastItem)
	servicetest.Eventually(t, "the codes have expired", func() bool { return time.Now().After(unused.Expires) })
	expired := p.Purchase(t, unused.Code)
	if edgetest.ProblemOf(t, expired).Type != "urn:notsale:problem:code-expired" || expired.Status != http.StatusGone {
		t.Errorf("an expired code: %d %s", expired.Status, expired.Body)
	}
	same("the code expired")

	for i := range stock - 1 {
		c := p.Checkout(t, "buyer-"+itoa(i), of.FirstItem+1+int64(i))
		if a := p.Purchase(t, c.Code); a.Status != http.StatusOK {
			t.Errorf("item %d: %d %s", c.Item, a.Status, a.Body)
		}
	}
	servicetest.Eventually(t, "the sale shows as sold out", func() bool {
		return p.Post(t, servicetest.CheckoutPath("other", of.LastItem)).Status == http.StatusGone
	})
	same("sold out")

	p.stop()
	p.again()
	same("started again")
	if a := p.Purchase(t, loser.Code); a.Status != http.StatusConflict && a.Status != http.StatusGone {
		t.Errorf("a refused code after the restart: %d %s", a.Status, a.Body)
	}
	if a := p.Purchase(t, unused.Code); a.Status != http.StatusGone {
		t.Errorf("an expired code after the restart: %d %s", a.Status, a.Body)
	}
	checkLedger(t, p.database(), of, stock)
}
