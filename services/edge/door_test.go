//go:build unix

package edge_test

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"notsale/pkg/effort"
	"notsale/pkg/sale"
	"notsale/services/edge"
	"notsale/services/servicetest"
	"notsale/services/servicetest/edgetest"
)

// Where rates are limited, checkouts and purchases say what is left; nothing else
// does, and nothing where they are not.
func TestRateLimitHeaders(t *testing.T) {
	t.Parallel()
	const policy, state = "Ratelimit-Policy", "Ratelimit"
	f := newFront(t, func(c *edge.Config) { c.RatePerUser, c.RatePerAddress = 0.001, 99.5 })
	f.OpenSale(20, 10)
	f.Allocate()
	check := func(a servicetest.Answer, status int) {
		t.Helper()
		if a.Status != status || !slices.Equal(a.Header[policy], []string{`"address";q=100;w=2`, `"user";q=1;w=1000`}) {
			t.Errorf("%d %s: %q, want %d", a.Status, a.Body, a.Header[policy], status)
		}
		left := a.Header[state]
		if len(left) != 2 || !strings.HasPrefix(left[0], `"address";r=`) || left[1] != `"user";r=0;t=1000` {
			t.Errorf("%q", left)
		}
	}
	first := f.Post(t, servicetest.CheckoutPath("ann", 1))
	check(first, http.StatusOK)
	if !strings.HasPrefix(first.Header[state][0], `"address";r=99;t=1`) {
		t.Errorf("after one of a hundred: %q", first.Header[state])
	}
	var c servicetest.Checkout
	first.Decode(t, &c)
	check(f.Post(t, servicetest.CheckoutPath("ann", 2)), http.StatusTooManyRequests)
	check(f.Purchase(t, c.Code), http.StatusOK)
	if a := f.Get(t, "/sales"); a.Header[policy] != nil || a.Header[state] != nil {
		t.Errorf("a page says %v", a.Header)
	}
	free := newFront(t, nil)
	free.OpenSale(20, 10)
	if a := free.Post(t, servicetest.CheckoutPath("ann", 1)); a.Header[policy] != nil || a.Header[state] != nil {
		t.Errorf("without limits: %v", a.Header)
	}
}

// Where a proxy names the user, nobody checks out or buys as another, and who is
// refused has made no attempt.
func TestTheUserThatAProxyNames(t *testing.T) {
	t.Parallel()
	f := newFront(t, func(c *edge.Config) { c.UserHeader, c.TrustedProxies = "x-auth-user", []string{"127.0.0.1"} })
	f.OpenSale(20, 10)
	f.Allocate()
	as := func(method, target string, users ...string) servicetest.Answer {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), method, f.Base+target, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header["X-Auth-User"] = users
		a, err := f.Send(request)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	const post, get = http.MethodPost, http.MethodGet
	var c servicetest.Checkout
	a := as(post, "/checkout?id=1", "ann@example.com")
	expectation{status: 200, contains: `"user_id":"ann@example.com"`}.check(t, a)
	a.Decode(t, &c)
	expectation{status: 200, contains: `"user_id":"ann@example.com"`}.check(t, as(post, servicetest.CheckoutPath("ann@example.com", 2), "ann@example.com"))
	expectation{status: 400, slug: "invalid-parameter", contains: "id (or item_id) is missing"}.check(t, as(post, "/checkout", "ann@example.com"))
	refused := expectation{status: 403, slug: "not-identified"}
	for _, target := range []string{servicetest.CheckoutPath("ann@example.com", 1), servicetest.PurchasePath(c.Code)} {
		for _, users := range [][]string{nil, {""}, {"a b"}, {"ann@example.com", "ann@example.com"}, {"ann@example.com,bob"}} {
			refused.check(t, as(post, target, users...))
		}
	}
	refused.check(t, as(get, servicetest.PurchasePath(c.Code)))
	for _, target := range []string{servicetest.CheckoutPath("bob", 1), "/checkout?id=1&user_id=", "/checkout?id=1&user_id=ann@example.com&user_id=bob"} {
		refused.check(t, as(post, target, "ann@example.com"))
	}
	for _, method := range []string{post, get} { // as one that there is not
		stolen, none := as(method, servicetest.PurchasePath(c.Code), "bob"), as(method, "/purchase?code=none", "bob")
		expectation{status: 400, slug: "invalid-code"}.check(t, stolen)
		if !bytes.Equal(stolen.Body, none.Body) {
			t.Errorf("%s, and of one that there is not: %s", stolen.Body, none.Body)
		}
	}
	expectation{status: 404, slug: "no-decision-yet"}.check(t, as(get, servicetest.PurchasePath(c.Code), "ann@example.com"))
	sold := as(post, servicetest.PurchasePath(c.Code), "ann@example.com")
	expectation{status: 200, contains: `"status":"success"`}.check(t, sold)
	edgetest.Same(t, "looked up", as(get, servicetest.PurchasePath(c.Code), "ann@example.com"), sold)
	expectation{status: 200}.check(t, as(get, "/sales"))

	stranger := newFront(t, func(c *edge.Config) { c.UserHeader, c.TrustedProxies = "x-auth-user", []string{"10.0.0.1"} })
	stranger.OpenSale(20, 10)
	for _, headers := range [][]string{nil, {"X-Auth-User", "ann"}, {"X-Auth-User", "ann", "X-Forwarded-For", "10.0.0.1"}} {
		refused.check(t, must(t, stranger.Shop, post, servicetest.CheckoutPath("ann", 1), headers...))
	}
	if n := stranger.last(t, sale.Sale{ID: 1}); n != 1 {
		t.Errorf("%d messages beside the opening", n-1)
	}
}

// What a proxy before the edge may take for the end of one request and the
// beginning of another: the edge sees one request, answers once, and hangs up.
func TestNoRequestIsSmuggled(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil)
	f.OpenSale(20, 10)
	const line, next = "POST /checkout?user_id=ann&id=1 HTTP/1.1\r\nHost: shop\r\n", "POST /checkout?user_id=eve&id=2 HTTP/1.1\r\nHost: shop\r\n\r\n"
	var all sync.WaitGroup
	for name, c := range map[string]struct {
		request string
		status  int
	}{
		"two lengths":                     {line + "Content-Length: 0\r\nContent-Length: " + strconv.Itoa(len(next)) + "\r\n\r\n" + next, 400},
		"a list of lengths":               {line + "Content-Length: 0, " + strconv.Itoa(len(next)) + "\r\n\r\n" + next, 400},
		"a length with a sign":            {line + "Content-Length: +0\r\n\r\n" + next, 400},
		"a negative length":               {line + "Content-Length: -1\r\n\r\n" + next, 400},
		"a length in hexadecimal":         {line + "Content-Length: 0x0\r\n\r\n" + next, 400},
		"chunks and a length":             {line + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + next, 200},
		"a length and chunks":             {line + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + next, 200},
		"two encodings":                   {line + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + next, 501},
		"an unknown encoding":             {line + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + next, 501},
		"an encoding in a list":           {line + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + next, 501},
		"a space before the colon":        {line + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + next, 400},
		"a bare LF behind a chunk's size": {line + "Transfer-Encoding: chunked\r\n\r\n0\n\r\n" + next, 400},
		"a bare LF behind a chunk":        {line + "Transfer-Encoding: chunked\r\n\r\n1\r\nx\n0\r\n\r\n" + next, 400},
		"a bare CR in a header":           {line + "X: y\rContent-Length: 5\r\n\r\n" + next, 400},
		"a zero byte in a header":         {line + "X: y\x00\r\n\r\n" + next, 400},
		"no host":                         {"POST /checkout?user_id=ann&id=1 HTTP/1.1\r\n\r\n" + next, 400},
		"two hosts":                       {line + "Host: other\r\n\r\n" + next, 400},
		"a trailer that frames":           {line + "Transfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\n0\r\nContent-Length: 5\r\n\r\n" + next, 400},
	} {
		all.Go(func() {
			conn := bufio.NewReader(f.dial(c.request))
			answer, err := http.ReadResponse(conn, nil)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				return
			}
			var body bytes.Buffer
			_, err = body.ReadFrom(answer.Body)
			if err != nil || answer.StatusCode != c.status || !answer.Close {
				t.Errorf("%s: %s %s, closing: %t, %v, want %d and the end of the connection", name, answer.Status, &body, answer.Close, err, c.status)
			}
			if another, err := http.ReadResponse(conn, nil); err == nil {
				_ = another.Body.Close()
				t.Errorf("%s: a second request is answered, too: %s", name, another.Status)
			}
		})
	}
	all.Wait()
}

// A request's line and headers have a size, whatever is in them.
func TestHeadersHaveASize(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil)
	const most = 8 << 10
	for name, c := range map[string]struct {
		size, status int
	}{"as many as may be": {most - 200, 200}, "more": {most + 200, 431}, "much more": {1 << 20, 431}} {
		conn := f.dial("")
		go func() { // it may be cut off
			_ = write(conn, "GET /livez HTTP/1.1\r\nHost: shop\r\nX: "+strings.Repeat("x", c.size-40)+"\r\n\r\n")
		}()
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		_ = answer.Body.Close()
		if answer.StatusCode != c.status {
			t.Errorf("%s: %s, want %d", name, answer.Status, c.status)
		}
	}
}

// A head that does not come is not waited for.
func TestHalfAHeadHoldsNoConnection(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil)
	for _, head := range []string{"", "GET", "GET /livez HTTP/1.1\r\nHost: shop\r\nX: "} {
		started := time.Now()
		checkClosed(t, head, f.dial(head))
		effort.Figure(t, fmt.Sprintf("a connection on which %q comes is closed after", head), time.Since(started), 2*time.Second)
	}
}

// Many who send a byte now and then do not slow the others down.
func TestSlowConnectionsSlowNobodyDown(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil)
	slow, asks := effort.Of(100, 1000), effort.Of(50, 3000)
	of := f.OpenSale(asks, 10)
	p99 := func() time.Duration {
		times := make([]time.Duration, asks)
		for i := range times {
			started := time.Now()
			f.Checkout(t, servicetest.User(i), int64(of.FirstItem)+int64(i))
			times[i] = time.Since(started)
		}
		slices.Sort(times)
		return times[asks*99/100]
	}
	before := p99()
	over := make(chan struct{})
	var crowd sync.WaitGroup
	var connected atomic.Int32
	for range slow {
		crowd.Go(func() {
			for first := true; ; first = false {
				conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(f.Base, "http://"))
				if err != nil {
					t.Error(err)
					return
				}
				if first {
					connected.Add(1)
				}
				for err == nil {
					select {
					case <-over:
						_ = conn.Close()
						return
					case <-time.After(200 * time.Millisecond):
						err = write(conn, "G") // until the edge has hung up
					}
				}
				_ = conn.Close()
			}
		})
	}
	servicetest.Eventually(t, "the slow ones are there", func() bool { return int(connected.Load()) == slow })
	during := p99()
	close(over)
	crowd.Wait()
	effort.Figure(t, fmt.Sprintf("p99 of checkouts beside %d slow connections (%v), against without (%v)", slow, during, before),
		fmt.Sprintf("%.2f", float64(during)/float64(before)), "1.5 at most")
}

// One code a thousand times at once, at three edges: one sale, and one answer to
// all.
func TestOneCodeAtThreeEdges(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil)
	of := f.OpenSale(20, 10)
	f.Allocate()
	edges := []*servicetest.Shop{f.Shop, f.AnotherEdge(t), f.AnotherEdge(t)}
	target := servicetest.PurchasePath(f.Checkout(t, "ann", int64(of.FirstItem)).Code)
	posts := effort.Of(150, 1000)
	answers := make([]servicetest.Answer, posts)
	start := make(chan struct{})
	var all sync.WaitGroup
	for i := range posts {
		all.Go(func() {
			<-start
			for answers[i].Status != http.StatusOK { // crowded: told to come again
				a, err := edges[i%len(edges)].Do(http.MethodPost, target)
				if err != nil || a.Status != http.StatusOK && a.Status != http.StatusServiceUnavailable {
					t.Errorf("%d %s, %v", a.Status, a.Body, err)
					return
				}
				answers[i] = a
			}
		})
	}
	close(start)
	all.Wait()
	for i := range answers {
		edgetest.Same(t, "a replay", answers[i], answers[0])
	}
	if n := f.Count(`SELECT count(*) FROM items WHERE user_id = 'ann'`); n != 1 {
		t.Errorf("%d items are sold", n)
	}
	if n := f.Count(`SELECT count(*) FROM decisions`); n != 1 {
		t.Errorf("%d decisions", n)
	}
}
