//go:build unix

package edge_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"notsale/pkg/allocation"
	"notsale/pkg/backends/backendstest"
	"notsale/pkg/code"
	"notsale/pkg/rejection"
	"notsale/pkg/sale"
	"notsale/services/edge"
	"notsale/services/servicetest"
	"notsale/services/servicetest/edgetest"
)

// last is the number of messages in the sale's stream.
func (f *front) last(t *testing.T, of sale.Sale) uint64 {
	t.Helper()
	info, err := f.Stream("looker").Info(t.Context(), of.ID)
	if err != nil {
		t.Fatal(err)
	}
	return info.Last
}

// count adds up the edge's metrics of a name whose labels hold all of these.
func (f *front) count(t *testing.T, name string, labels ...string) (sum float64) {
	t.Helper()
	families, err := f.Metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			text := m.String()
			fits := family.GetName() == name
			for _, label := range labels {
				fits = fits && strings.Contains(text, label)
			}
			if fits {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// raw posts by hand, closes the sending half if asked to, and leaves
// without reading if asked to.
func raw(t *testing.T, address, target string, read bool) servicetest.Answer {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "POST "+target+" HTTP/1.1\r\nHost: shop\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if !read {
		return servicetest.Answer{}
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("POST %.60s: %v", target, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return servicetest.Answer{Status: response.StatusCode, Header: response.Header, Body: body}
}

// A client that has closed its sending half still reads: it gets the true
// answer, and never a 200 that no decision gave. One that has left is counted
// as such.
func TestAClientThatLeavesIsNotTold200(t *testing.T) {
	t.Parallel()
	f := newFront(t, func(c *edge.Config) { c.PurchaseWait = 300 * time.Millisecond })
	of := f.OpenSale(5, 10)
	address := strings.TrimPrefix(f.Base, "http://")
	undecided := f.code(f.Keys, of, 1, "ann", time.Hour)
	posts := 3.0
	answer := pending(t, func() servicetest.Answer { posts++; return raw(t, address, servicetest.PurchasePath(undecided), true) })
	edgetest.Check(t, answer, 202, "", `"status":"pending"`)
	edgetest.Check(t, raw(t, address, servicetest.CheckoutPath("ann", 99), true), 404, "unknown-item", "")
	edgetest.Check(t, raw(t, address, servicetest.CheckoutPath("ann", 2), true), 200, "", `"code":"`)

	raw(t, address, servicetest.PurchasePath(f.code(f.Keys, of, 2, "bob", time.Hour)), false)
	servicetest.Eventually(t, "all have left, by the edge's count", func() bool {
		return f.count(t, "notsale_edge_requests_total", `"499"`) == posts
	})
	if n := f.count(t, "notsale_edge_requests_total", `"200"`, "purchase"); n != 0 {
		t.Errorf("%v purchases are counted as 200, none was decided", n)
	}
	f.Allocate()
	servicetest.Eventually(t, "a decision is told", func() bool {
		return raw(t, address, servicetest.PurchasePath(undecided), true).Status == http.StatusOK
	})
}

// Repeats of a decided code are answered without the stream, at the edge that
// sold it and at others, with the cache and without; those of an expired code,
// too. A ledger that does not know the decision any more, as after a restore, is
// believed, not what the edge remembers.
func TestRepeatsOfADecidedCodeDoNotGrowTheStream(t *testing.T) {
	t.Parallel()
	f := newFront(t, func(c *edge.Config) { c.PurchaseWait = 300 * time.Millisecond })
	of := f.OpenSale(5, 10)
	stop := f.Allocate()
	text := f.code(f.Keys, of, 1, "ann", time.Hour)
	sold := decided(t, f.Shop, text)
	edgetest.Check(t, sold, http.StatusOK, "", "")
	old := f.code(f.Keys, of, 2, "bob", -time.Hour)
	expired := decided(t, f.Shop, old)
	edgetest.Check(t, expired, 410, "code-expired", `"position":`)
	other := f.AnotherEdge(t)
	repeats := slices.Repeat([]string{servicetest.PurchasePath(text)}, 40)
	f.cached(t, of, 1)
	withoutTheStream(t, f, of, func() {
		for _, a := range append(f.AtOnce(t, repeats), other.AtOnce(t, repeats)...) {
			if edgetest.Decided(a) {
				edgetest.Same(t, "a repeat", a, sold)
			}
		}
	})
	f.EmptyCache(t)
	withoutTheStream(t, f, of, func() {
		for range 3 {
			edgetest.Same(t, "a repeat without the cache", decided(t, f.Shop, text), sold)
			edgetest.Same(t, "a repeat of an expired code", decided(t, f.Shop, old), expired)
			edgetest.Same(t, "a repeat of an expired code elsewhere", decided(t, other, old), expired)
		}
	})

	stop()
	f.Spoilt = true
	for _, statement := range []string{`DELETE FROM decisions`, `DELETE FROM items`, `UPDATE cursors SET sold = 0`} {
		if _, err := f.DB.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	pending(t, func() servicetest.Answer { return f.Purchase(t, text) })
	pending(t, func() servicetest.Answer { return f.Purchase(t, old) })
}

// While the ledger does not answer, a code that the edge has seen decided waits
// for it, is told to come again, and stays out of the stream; a first purchase is
// queued as ever. Once the ledger answers, so does the edge.
func TestRepeatsStayOutOfTheStreamWhenTheLedgerIsSlow(t *testing.T) {
	t.Parallel()
	f := newFront(t, func(c *edge.Config) { c.PurchaseWait = 300 * time.Millisecond })
	of := f.OpenSale(5, 10)
	stop := f.Allocate()
	text := f.code(f.Keys, of, 1, "ann", time.Hour)
	sold := decided(t, f.Shop, text)
	edgetest.Check(t, sold, http.StatusOK, "", "")
	stop()
	f.EmptyCache(t)
	slow, err := f.DB.Begin(t.Context())
	if err == nil {
		_, err = slow.Exec(t.Context(), `LOCK TABLE decisions IN ACCESS EXCLUSIVE MODE`)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = slow.Rollback(context.WithoutCancel(t.Context())) }()
	before := f.last(t, of)
	for _, a := range f.AtOnce(t, slices.Repeat([]string{servicetest.PurchasePath(text)}, 5)) {
		edgetest.Check(t, a, 503, "ledger-unavailable", "")
		if a.Header.Get("Retry-After") == "" {
			t.Error("it does not say when to come again")
		}
	}
	if last := f.last(t, of); last != before {
		t.Errorf("repeats took the stream from %d to %d", before, last)
	}
	pending(t, func() servicetest.Answer { return f.Purchase(t, f.code(f.Keys, of, 2, "bob", time.Hour)) })
	if err := slow.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	edgetest.Same(t, "the repeat", decided(t, f.Shop, text), sold)
}

// decided posts a code until its decision is told, which a short wait is over
// before on a busy machine.
func decided(t *testing.T, shop *servicetest.Shop, text string) (a servicetest.Answer) {
	t.Helper()
	servicetest.Eventually(t, "it is decided", func() bool {
		a = shop.Purchase(t, text)
		return edgetest.Decided(a)
	})
	return a
}

// cached waits until the cache knows that an item is taken.
func (f *front) cached(t *testing.T, of sale.Sale, item sale.ItemID) {
	t.Helper()
	cache := f.Cache("asker")
	servicetest.Eventually(t, "the cache has the fact", func() bool {
		known, err := cache.Ask(t.Context(), []rejection.Question{{Sale: of.UUID, Item: item, User: "eve", Code: code.ID{1}}})
		return err == nil && known[0].Reason == allocation.ItemTaken
	})
}

// Commits, and so whatever confirms a grant, wait for a synchronous standby that
// takes longer than an edge asks of anything else: a code that it has seen decided is
// answered as soon as the standby has it. Each look had been ended after three
// seconds, and begun anew, so that a standby that slow was waited for in vain.
func TestADecidedCodeIsToldHoweverSlowTheStandbyIs(t *testing.T) {
	t.Parallel()
	f := newFront(t, func(c *edge.Config) { c.PurchaseWait = servicetest.Patience }, backendstest.WithOwnPostgres)
	of := f.OpenSale(5, 10)
	f.Allocate()
	text := f.code(f.Keys, of, 1, "ann", time.Hour)
	sold := decided(t, f.Shop, text)
	f.cached(t, of, 1) // for an edge that has not seen the decision
	other := f.AnotherEdge(t)
	found := f.LoseStandby()
	answers := make(chan servicetest.Answer, 3)
	ask := func(shop *servicetest.Shop, method string) {
		a, _ := shop.Do(method, servicetest.PurchasePath(text))
		answers <- a
	}
	go ask(f.Shop, http.MethodPost)
	go ask(f.Shop, http.MethodGet)
	go ask(other, http.MethodGet)
	servicetest.Eventually(t, "both edges' looks wait longer than three seconds", func() bool {
		return f.Count(`SELECT count(DISTINCT application_name) FROM pg_stat_activity WHERE wait_event = 'SyncRep'
			AND application_name IN ('edge', 'another-edge') AND clock_timestamp() - query_start > '3.5 s'`) == 2
	})
	found()
	for range cap(answers) {
		edgetest.Same(t, "a sold code", <-answers, sold)
	}
}

// withoutTheStream repeats what leaves the sale's stream as it is, unless cache
// or ledger have no time for an edge.
func withoutTheStream(t *testing.T, f *front, of sale.Sale, act func()) {
	t.Helper()
	servicetest.Eventually(t, "the stream stays as it is", func() bool {
		before := f.last(t, of)
		act()
		return f.last(t, of) == before
	})
}

// pending posts a code that nobody decides until it is known to be queued, which
// a short wait is over before on a busy machine.
func pending(t *testing.T, post func() servicetest.Answer) (a servicetest.Answer) {
	t.Helper()
	servicetest.Eventually(t, "it is queued", func() bool { a = post(); return a.Status != http.StatusServiceUnavailable })
	edgetest.Check(t, a, http.StatusAccepted, "", "")
	return a
}

// Posts of one code at once become one request, and each gets its answer.
func TestPostsOfOneCodeAtOnceAreOneRequest(t *testing.T) {
	t.Parallel()
	f := newFront(t, func(c *edge.Config) { c.PurchaseWait = servicetest.Patience })
	of := f.OpenSale(5, 10)
	posts := slices.Repeat([]string{servicetest.PurchasePath(f.code(f.Keys, of, 1, "ann", time.Hour))}, 50)
	answered := make(chan []servicetest.Answer, 1)
	go func() { answered <- f.AtOnce(t, posts) }()
	servicetest.Eventually(t, "a request is queued", func() bool { return f.last(t, of) > 1 })
	f.Allocate()
	for _, a := range <-answered {
		edgetest.Check(t, a, 200, "", "")
	}
	// A position is taken by each request. Whoever came after the first answers
	// on a busy machine has begun another.
	if n := f.Count(`SELECT max(position) FROM cursors`); n > 5 {
		t.Errorf("%d posts at once took %d positions", len(posts), n)
	}
}

// A flood of fresh codes meets 429 where rates are limited: by address, which a
// client cannot choose unless its proxy is trusted, and by user.
func TestAFloodOfFreshCodesMeets429(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change  func(*edge.Config)
		limited func(n int) (user string, headers []string)
		free    func(n int) (user string, headers []string)
	}{
		"by address": {
			func(c *edge.Config) { c.RatePerAddress = 0.5 },
			func(n int) (string, []string) {
				return "u" + strconv.Itoa(n), []string{"X-Forwarded-For", "10.0.0." + strconv.Itoa(n), "X-Real-Ip", "10.0.0." + strconv.Itoa(n)}
			},
			nil,
		},
		"by address behind a trusted proxy": {
			func(c *edge.Config) { c.RatePerAddress, c.TrustedProxies = 0.5, []string{"127.0.0.0/8"} },
			func(n int) (string, []string) {
				return "u" + strconv.Itoa(n), []string{"X-Forwarded-For", "1.2.3.4, 2001:db8::" + strconv.Itoa(n)}
			},
			func(n int) (string, []string) {
				return "v" + strconv.Itoa(n), []string{"X-Forwarded-For", "10.0.0." + strconv.Itoa(n)}
			},
		},
		"by address behind a trusted proxy that adds ports": {
			func(c *edge.Config) {
				c.RatePerAddress, c.TrustedProxies = 0.5, []string{"127.0.0.1", "2001:db8:ff::/48"}
			},
			func(n int) (string, []string) {
				return "u" + strconv.Itoa(n), []string{"X-Forwarded-For", "10.0.0." + strconv.Itoa(n) + ", [2001:db8::" + strconv.Itoa(n) + "]:471" + strconv.Itoa(n) + ", \"[2001:db8:ff::1]:80\""}
			},
			func(n int) (string, []string) {
				return "v" + strconv.Itoa(n), []string{"X-Forwarded-For", "10.0.0." + strconv.Itoa(n) + ":4711"}
			},
		},
		"by address behind a trusted proxy that names none": {
			func(c *edge.Config) { c.RatePerAddress, c.TrustedProxies = 0.5, []string{"127.0.0.0/8"} },
			func(n int) (string, []string) {
				return "u" + strconv.Itoa(n), []string{"X-Forwarded-For", "unknown", "X-Real-Ip", "10.0.0." + strconv.Itoa(n)}
			},
			nil,
		},
		"by user": {
			func(c *edge.Config) { c.RatePerUser = 0.5 },
			func(int) (string, []string) { return "ann", nil },
			func(n int) (string, []string) { return "v" + strconv.Itoa(n), nil },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFront(t, c.change)
			f.OpenSale(50, 10)
			post := func(target string, headers []string) servicetest.Answer {
				t.Helper()
				a, err := f.Do(http.MethodPost, target, headers...)
				if err != nil {
					t.Fatal(err)
				}
				return a
			}
			refused := 0
			for n := range 10 {
				user, headers := c.limited(n + 1)
				a := post(servicetest.CheckoutPath(user, int64(n+1)), headers)
				if a.Status == http.StatusTooManyRequests {
					refused++
					p := edgetest.ProblemOf(t, a)
					if p.Type != "urn:notsale:problem:rate-limited" || p.Retryable == nil || !*p.Retryable || a.Header.Get("Retry-After") != "2" {
						t.Errorf("%s, Retry-After %q", a.Body, a.Header.Get("Retry-After"))
					}
				}
			}
			if refused == 0 {
				t.Error("ten checkouts at once, and none met 429 at one in two seconds")
			}
			for n := range 5 {
				if c.free == nil {
					break
				}
				user, headers := c.free(n + 1)
				edgetest.Check(t, post(servicetest.CheckoutPath(user, int64(n+30)), headers), 200, "", "")
			}
		})
	}
}

// fill fills the sale's stream with messages that nobody can read, and lets
// them be decided.
func (f *front) fill(t *testing.T, of sale.Sale) {
	t.Helper()
	s := f.Stream("filler")
	for n := 0; ; n++ {
		if err := s.PublishPack(t.Context(), of.ID, []byte(strings.Repeat("x", 200))); err != nil {
			if !strings.Contains(err.Error(), "maximum") {
				t.Fatal(err)
			}
			break
		}
		if n == 10_000 {
			t.Fatal("the stream takes any number of messages")
		}
	}
	servicetest.Eventually(t, "all of it is decided", func() bool {
		return f.Count(`SELECT sequence FROM cursors WHERE sale_id = $1`, int64(of.ID)) == int64(f.last(t, of))
	})
}

// Sold out, stream full, cache emptied: losers and checkouts are told what the
// ledger knows, by the edge that sold and by a new one.
func TestAFullStreamAndAnEmptiedCacheTellLosersTheTruth(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil)
	f.SaleBytes = 32 << 10
	open, over := f.OpenSale(3, 1), f.OpenSale(1, 1)
	f.Allocate()
	for _, c := range []struct {
		of   sale.Sale
		item sale.ItemID
		user string
	}{{open, open.FirstItem, "ann"}, {over, over.FirstItem, "ann"}} {
		edgetest.Check(t, f.Purchase(t, f.code(f.Keys, c.of, c.item, c.user, time.Hour)), 200, "", "")
	}
	f.fill(t, open)
	f.fill(t, over)
	for name, shop := range map[string]*servicetest.Shop{"the edge that sold": f.Shop, "a new edge": f.AnotherEdge(t)} {
		t.Run(name, func(t *testing.T) {
			f.EmptyCache(t)
			edgetest.Check(t, shop.Post(t, servicetest.CheckoutPath("bob", int64(open.FirstItem))), 409, "item-taken", "")
			edgetest.Check(t, shop.Post(t, servicetest.CheckoutPath("bob", int64(over.FirstItem))), 410, "sold-out", "")
			edgetest.Check(t, shop.Post(t, servicetest.CheckoutPath("bob", int64(open.LastItem()))), 200, "", "")
			for _, c := range []struct {
				of     sale.Sale
				item   sale.ItemID
				user   string
				status int
				slug   string
			}{
				{over, over.FirstItem, "bob", 410, "sold-out"},
				{open, open.FirstItem, "bob", 409, "item-taken"},
				{open, open.LastItem(), "ann", 429, "limit-reached"},
				{open, open.LastItem(), "bob", 503, "stream-full"},
			} {
				a := shop.Purchase(t, f.code(f.Keys, c.of, c.item, c.user, 2*time.Hour))
				edgetest.Check(t, a, c.status, c.slug, "")
			}
			edgetest.Check(t, shop.Post(t, servicetest.CheckoutPath("bob", int64(over.FirstItem))), 410, "sold-out", "")
		})
	}
}

// laterSales makes rows of so many sales after those that there are.
func (f *front) laterSales(t *testing.T, n int) {
	t.Helper()
	_, err := f.DB.Exec(t.Context(), `
		INSERT INTO sales (sale_id, sale_uuid, installation, opens_at, stock, user_limit, first_item, seed, rules, state)
		SELECT last.sale_id + n, gen_random_uuid(), last.installation, last.opens_at + n * interval '1 microsecond', 1, 1, last.last_item + n, 7, last.rules, 'open'
		FROM generate_series(1, $1) AS n, (SELECT sale_id, installation, opens_at, last_item, rules FROM sales ORDER BY sale_id DESC LIMIT 1) AS last`, n)
	if err != nil {
		t.Fatal(err)
	}
	f.Spoilt = true // they have no streams
}

// An edge that starts before the directory is listed again answers a winner of a
// sale beyond the newest 50 as it ever was, also one that it has not read at its
// start; it says that it is ready only when it has read them all.
func TestAWinnersRetryBeforeTheDirectoryIsListed(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil)
	of := f.OpenSale(1, 1)
	stop := f.Allocate()
	text := f.code(f.Keys, of, of.FirstItem, "ann", time.Hour)
	sold := f.Purchase(t, text)
	edgetest.Check(t, sold, 200, "", "")
	stop()
	f.laterSales(t, 60)
	tx, err := f.DB.Begin(t.Context())
	if err == nil {
		_, err = tx.Exec(t.Context(), `LOCK TABLE sales IN ACCESS EXCLUSIVE MODE`)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }() // also where the test fails
	shop, e := f.UnreadyEdge(t)
	servicetest.Eventually(t, "it lacks nothing but the ledger", func() bool {
		err := e.Ready(t.Context())
		return err != nil && strings.Contains(err.Error(), "from the ledger")
	})
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	servicetest.Eventually(t, "the edge is ready", func() bool { return e.Ready(t.Context()) == nil })
	edgetest.Same(t, "the winner", shop.Purchase(t, text), sold)

	// Sales that came since, which nobody has listed: found one by one.
	late := f.OpenSale(1, 1)
	f.laterSales(t, 60)
	edgetest.Check(t, shop.Post(t, servicetest.CheckoutPath("bob", int64(late.FirstItem))), 200, "", "")
	edgetest.Check(t, shop.Post(t, servicetest.CheckoutPath("bob", 1<<40)), 404, "unknown-item", "")
	foreign := of
	foreign.UUID = sale.UUID{7}
	edgetest.Check(t, shop.Purchase(t, f.code(f.Keys, foreign, 1, "ann", time.Hour)), 400, "invalid-code", "")
}

// Facts in Redis of commits that the ledger does not know, as after a restore of
// ledger and streams, refuse nobody for good.
func TestFactsDoNotOutliveARestore(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil)
	of := f.OpenSale(2, 1)
	lost := rejection.Mark{Generation: 1, Sequence: 9, Chain: allocation.Hash{9}}
	facts := allocation.Facts{
		Owners:  []allocation.Owner{{Item: of.FirstItem, Code: code.ID{8}}},
		AtLimit: []allocation.UserAtLimit{{User: "bob", Codes: []code.ID{{8}}}}, SoldOut: true,
	}
	past := f.Cache("past")
	servicetest.Eventually(t, "the cache is what the restore left", func() bool {
		_, _ = past.Learn(t.Context(), of.UUID, rejection.Mark{}, lost, &facts)
		now, err := past.Mark(t.Context(), of.UUID)
		return err == nil && now == lost
	})
	servicetest.Eventually(t, "the cache refuses a checkout", func() bool { // on a busy machine not the first
		return f.Post(t, servicetest.CheckoutPath("ann", int64(of.FirstItem))).Status == http.StatusGone
	})
	f.Allocate()
	for item, user := range map[sale.ItemID]string{of.FirstItem: "ann", of.LastItem(): "bob"} {
		servicetest.Eventually(t, user+" can buy", func() bool {
			return f.Purchase(t, f.code(f.Keys, of, item, user, time.Hour)).Status == http.StatusOK
		})
	}
}

// A decision for a reason of a later version is told as a refusal.
func TestAReasonUnknownToTheEdgeIsARefusal(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil)
	of := f.OpenSale(2, 1)
	f.Spoilt = true
	stop := f.Allocate()
	text := f.code(f.Keys, of, 1, "ann", -time.Hour)
	edgetest.Check(t, f.Purchase(t, text), 410, "code-expired", "")
	stop()
	if _, err := f.DB.Exec(t.Context(), `UPDATE decisions SET reason = 99`); err != nil {
		t.Fatal(err)
	}
	edgetest.Check(t, f.Purchase(t, text), 409, "refused", "reason-99")
	edgetest.Check(t, f.Get(t, servicetest.PurchasePath(text)), 409, "refused", "reason-99")
}

// A checkout that is not known to be recorded gave no code to send again.
func TestACheckouts503SpeaksOfNoCode(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil)
	f.OpenSale(2, 1)
	edgetest.Check(t, f.Post(t, servicetest.CheckoutPath("ann", 1)), 200, "", "")
	f.StopNATS()
	a := f.Post(t, servicetest.CheckoutPath("ann", 1))
	f.StartNATS()
	edgetest.Check(t, a, 503, "not-queued", "Check out again")
	if bytes.Contains(a.Body, []byte("same code")) {
		t.Errorf("%s", a.Body)
	}
}

// Four hundred clients, and a server whose messages hold 16 kB.
func TestASmallMaxPayloadIsNo503(t *testing.T) {
	t.Parallel()
	const clients = 400
	g := backendstest.NewGuarded(t, "max_payload: 16KB")
	stage := servicetest.New(t)
	serve(t, g, stage)
	f := frontOn(t, stage, func(c *edge.Config) { c.PurchaseWait, c.CheckoutWait = servicetest.Patience, servicetest.Patience })
	of := f.OpenSale(clients, 1)
	f.Allocate()
	var checkouts, purchases []string
	for n := range clients {
		user := "u" + strconv.Itoa(n)
		checkouts = append(checkouts, servicetest.CheckoutPath(user, int64(of.FirstItem)+int64(n)))
		purchases = append(purchases, servicetest.PurchasePath(f.code(f.Keys, of, of.FirstItem+sale.ItemID(n), user, time.Hour)))
	}
	for _, targets := range [][]string{checkouts, purchases} {
		if got := servicetest.Statuses(f.AtOnce(t, targets)); got[http.StatusOK] != clients {
			t.Errorf("%v, want %d times 200", got, clients)
		}
	}
}
