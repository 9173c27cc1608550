//go:build unix

package edge_test

import (
	"bufio"
	"fmt"
	"math"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"notsale/pkg/wire"
	"notsale/services/edge"
	"notsale/services/servicetest"
	"notsale/services/servicetest/edgetest"
)

// slowPages makes each page of items that has a sold one take longer than anybody
// waits, and nothing else.
func (f *front) slowPages(t *testing.T) {
	t.Helper()
	f.Spoilt = true
	for _, statement := range []string{
		`ALTER TABLE items RENAME TO the_items`,
		`CREATE FUNCTION slow() RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$ BEGIN
			IF current_query() LIKE '-- Which of the items%' THEN PERFORM pg_sleep(60); END IF;
			RETURN true;
		END $$`,
		`CREATE VIEW items AS SELECT * FROM the_items WHERE slow()`,
	} {
		if _, err := f.DB.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
}

// Whoever reads pages, however many and however slow, leaves sessions for the
// look-ups that answer repeats: these stay out of the stream, and a winner learns
// of it by GET.
func TestAFloodOfPageReadsDoesNotTurnOffTheLookUps(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil)
	of := f.OpenSale(50, 10)
	f.Allocate()
	text := f.code(f.Keys, of, 1, "ann", time.Hour)
	sold := f.Purchase(t, text)
	expectation{status: 200}.check(t, sold)
	f.slowPages(t)

	var flood sync.WaitGroup
	var over atomic.Bool
	pages := make(chan servicetest.Answer, 1)
	for n := range 40 {
		flood.Go(func() {
			for !over.Load() {
				a := f.Get(t, fmt.Sprintf("/sales/1/items?limit=%d", n+1))
				select {
				case pages <- a:
				default:
				}
			}
		})
	}
	defer flood.Wait()
	defer over.Store(true)
	reading := func() int64 {
		return f.Count(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' AND query LIKE '-- Which of the items%'`)
	}
	servicetest.Eventually(t, "pages are read", func() bool { return reading() >= 2 })
	servicetest.Eventually(t, "most repeats stay out of the stream, and most winners who ask are told", func() bool {
		const tries, most = 10, 3 // that a busy machine answers late
		posts, gets := 0, 0       // that the look-ups did not answer
		for range tries {
			last := f.last(t, of)
			edgetest.Same(t, "a repeat", decided(t, f.Shop, text), sold)
			if f.last(t, of) != last {
				posts++
			}
			if a := f.Get(t, servicetest.PurchasePath(text)); a.Status != http.StatusOK {
				gets++
			}
		}
		return posts <= most && gets <= most
	})
	a := <-pages
	expectation{status: 503}.check(t, a)
}

// A crowd that posts one code holds a small part of the places in which purchases
// wait, and all who wait get the one answer.
func TestOneCodePostedByACrowdLeavesRoomForOthers(t *testing.T) {
	t.Parallel()
	const places, crowd, wait = 100, 200, 65
	f := newFront(t, func(c *edge.Config) { c.Waiting, c.PurchaseWait = places, time.Minute })
	of := f.OpenSale(5, 10)
	text := f.code(f.Keys, of, 1, "ann", time.Hour)
	posted := make(chan servicetest.Answer, crowd)
	for range crowd {
		go func() {
			a, _ := f.Do(http.MethodPost, servicetest.PurchasePath(text))
			posted <- a
		}()
	}
	for range crowd - wait {
		expectation{status: 503, slug: "overload"}.check(t, <-posted)
	}
	servicetest.Eventually(t, "the crowd's request is queued", func() bool { return f.last(t, of) >= 2 }) // in a pack of its own
	other := make(chan servicetest.Answer, 1)
	go func() {
		a, _ := f.Do(http.MethodPost, servicetest.PurchasePath(f.code(f.Keys, of, 2, "bob", time.Hour)))
		other <- a
	}()
	servicetest.Eventually(t, "the other's request is queued", func() bool { return f.last(t, of) >= 3 })
	f.Allocate()
	expectation{status: 200}.check(t, <-other)
	first := <-posted
	expectation{status: 200}.check(t, first)
	for range wait - 1 {
		edgetest.Same(t, "one of the crowd", <-posted, first)
	}
}

// However often somebody has checked out, what he holds a code for can be bought;
// and purchases have a rate of their own.
func TestCheckoutsTakeNoRoomFromPurchases(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*edge.Config){
		"by user":    func(c *edge.Config) { c.RatePerUser = 0.01 },
		"by address": func(c *edge.Config) { c.RatePerAddress = 0.01 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFront(t, change)
			of := f.OpenSale(50, 10)
			f.Allocate()
			text := f.Checkout(t, "ann", 1).Code
			for n := range 5 {
				if a := f.Post(t, servicetest.CheckoutPath("ann", int64(n+2))); a.Status != http.StatusTooManyRequests {
					t.Errorf("one checkout too many: %d %s", a.Status, a.Body)
				}
			}
			expectation{status: 200}.check(t, f.Purchase(t, text))
			for n := range 5 {
				if a := f.Purchase(t, f.code(f.Keys, of, of.FirstItem+10, "ann", time.Duration(n+1)*time.Hour)); a.Status != http.StatusTooManyRequests {
					t.Errorf("one purchase too many: %d %s", a.Status, a.Body)
				}
			}
		})
	}
}

// A checkout whose body cannot be read is answered 400, so it has its row.
func TestACheckoutWithABrokenBodyIsStored(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil)
	f.OpenSale(5, 10)
	conn := f.dial("POST /checkout?user_id=ann&id=1 HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxyz")
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusBadRequest {
		t.Errorf("%s", answer.Status)
	}
	messages := servicetest.Collect(t, f.Stream("looker").AttemptMessages(t.Context(), 0, 1, math.MaxUint64)) // this edge has not seen the sale yet
	if len(messages) != 1 {
		t.Fatalf("%d messages of attempts, want 1", len(messages))
	}
	_, attempts, err := wire.DecodeAttempts(messages[0].Data)
	if err != nil || len(attempts) != 1 || attempts[0].Outcome != wire.InvalidParameter || attempts[0].User != "ann" {
		t.Errorf("%+v, %v", attempts, err)
	}
}
