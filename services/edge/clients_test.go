//go:build unix

package edge_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
	"notsale/services/edge"
	"notsale/services/servicetest"
	"notsale/services/servicetest/edgetest"
)

// body sends a request with a body; one of unknown length goes out in chunks.
func (f *front) body(t *testing.T, method, target string, body io.Reader) servicetest.Answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, f.Base+target, body)
	if err != nil {
		t.Fatal(err)
	}
	a, err := f.Send(request)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// chunked hides how long a body is.
func chunked(text string) io.Reader { return io.MultiReader(strings.NewReader(text)) }

// Clients that always send a body, a form's fields or an empty object, are
// served; only what is large is refused, and an attempt with it is kept.
func TestABodyBesideAGoodQueryIsIgnored(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil)
	of := f.OpenSale(20, 10)
	f.Checkout(t, "zoe", 2) // from now on the edge knows the sale, to which it counts refused checkouts, too
	f.Allocate()
	const most = 4096
	for name, c := range map[string]struct {
		body   io.Reader
		status int
	}{
		"axios.post(url, {}, {params})":    {strings.NewReader("{}"), 200},
		"a form's fields":                  {strings.NewReader("user_id=bob&id=2"), 200},
		"an empty chunked body":            {chunked(""), 200},
		"a small chunked body":             {chunked("{}"), 200},
		"as large as may be":               {strings.NewReader(strings.Repeat("x", most)), 200},
		"as large as may be, in chunks":    {chunked(strings.Repeat("x", most)), 200},
		"larger":                           {strings.NewReader(strings.Repeat("x", most+1)), 413},
		"larger, in chunks":                {chunked(strings.Repeat("x", most+1)), 413},
		"much larger, and sent to its end": {chunked(strings.Repeat("x", 200_000)), 413},
	} {
		want := expectation{status: c.status, contains: `"code":"`}
		if c.status != 200 {
			want = expectation{status: c.status, slug: "no-body-accepted"}
		}
		t.Run(name, func(t *testing.T) { want.check(t, f.body(t, http.MethodPost, "/checkout?user_id=ann&id=1", c.body)) })
	}
	code := servicetest.PurchasePath(f.Checkout(t, "ann", 1).Code)
	for _, method := range []string{http.MethodPost, http.MethodGet} {
		expectation{status: 200, contains: `"user_id":"ann"`}.check(t, f.body(t, method, code, strings.NewReader("{}")))
		expectation{status: 413, slug: "no-body-accepted"}.check(t, f.body(t, method, code, chunked(strings.Repeat("x", most+1))))
	}
	outcomes := map[wire.Outcome]int{}
	reader, err := f.Stream("looker").ReadAttempts(t.Context(), wire.AttemptStream{Sale: of.ID}, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Stop()
	last := time.After(servicetest.Patience)
	for outcomes[wire.Issued] < 7 || outcomes[wire.InvalidParameter] < 3 {
		var m stream.Message
		select {
		case m = <-reader.Messages(): // closed: the message is empty, and cannot be read
		case <-last:
			t.Fatalf("attempts %v, want 7 issued and 3 with an invalid parameter", outcomes)
		}
		_, attempts, err := wire.DecodeAttempts(m.Data)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range attempts {
			outcomes[a.Outcome]++
		}
	}
}

// HEAD works wherever GET does, and answers the same without a body; every
// answer says how it may be cached, and what tells of stock asks to be checked.
func TestHeadCachingAndConditions(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil)
	of := f.OpenSale(20, 10)
	f.Allocate()
	granted, unused := f.Checkout(t, "ann", 1), f.Checkout(t, "bob", 2)
	expired := servicetest.PurchasePath(f.code(f.Keys, of, 3, "bob", -time.Minute))
	f.Purchase(t, granted.Code)
	f.Post(t, expired)
	const long, check, never = "public, max-age=3600", "no-cache", "no-store"
	for target, want := range map[string]struct {
		status int
		cache  string
	}{
		"/": {200, long}, "/app.js": {200, long}, "/style.css": {200, long}, "/items/1/image": {200, long},
		"/sales": {200, check}, "/sales/1": {200, check}, "/sales/1/items": {200, check}, "/items/1": {200, check},
		servicetest.PurchasePath(granted.Code): {200, never}, expired: {410, never},
		servicetest.PurchasePath(unused.Code): {404, never}, "/purchase?code=x": {400, never}, "/purchase": {400, never},
		"/health": {200, never}, "/livez": {200, never}, "/readyz": {200, never},
		"/sales?limit=x": {400, never}, "/sales/9": {404, never}, "/sales/9/items": {404, never}, "/items/999": {404, never},
		"/items/999/image": {404, never}, "/nowhere": {404, never}, "/checkout": {405, never},
	} {
		get, head := f.Get(t, target), must(t, f.Shop, http.MethodHead, target)
		if get.Status != want.status || get.Header.Get("Cache-Control") != want.cache {
			t.Errorf("GET %.60s: %d, %q, want %v", target, get.Status, get.Header.Get("Cache-Control"), want)
		}
		if got := get.Header.Get("Content-Length"); got != fmt.Sprint(len(get.Body)) {
			t.Errorf("GET %.60s: %d bytes, announced %q", target, len(get.Body), got)
		}
		tag := get.Header.Get("ETag")
		for _, a := range []*servicetest.Answer{&get, &head} {
			a.Header.Del("X-Request-ID")
			a.Header.Del("Date")
		}
		if head.Status != get.Status || fmt.Sprint(head.Header) != fmt.Sprint(get.Header) || len(head.Body) != 0 {
			t.Errorf("HEAD %.60s: %d %v %q\nGET: %d %v", target, head.Status, head.Header, head.Body, get.Status, get.Header)
		}
		if (tag != "") != (want.cache != never) {
			t.Errorf("GET %.60s: %s with ETag %q", target, want.cache, tag)
		}
		if tag != "" {
			checkConditions(t, f, target, tag, want.cache)
		}
	}
	before := f.Get(t, "/sales/1/items").Header.Get("ETag")
	f.Purchase(t, unused.Code)
	if a := must(t, f.Shop, http.MethodGet, "/sales/1/items", "If-None-Match", before); a.Status != 200 || a.Header.Get("ETag") == before {
		t.Errorf("an item was sold since: %d, ETag %q, before %q", a.Status, a.Header.Get("ETag"), before)
	}
}

func checkConditions(t *testing.T, f *front, target, tag, cache string) {
	t.Helper()
	for match, status := range map[string]int{
		tag: 304, "W/" + tag: 304, `"0", ` + tag: 304, "*": 304, `"0"`: 200, "W/" + strings.Trim(tag, `"`): 200, "": 200,
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			a := must(t, f.Shop, method, target, "If-None-Match", match)
			if a.Status != status || a.Header.Get("ETag") != tag || a.Header.Get("Cache-Control") != cache || status == 304 && len(a.Body) > 0 {
				t.Errorf("%s %.60s with If-None-Match: %s: %d %v", method, target, match, a.Status, a.Header)
			}
		}
	}
}

// A refusal by the limit names the limit that there is.
func TestTheLimitInARefusalIsTheSales(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil)
	f.Allocate()
	for _, limit := range []int{1, 2, 11} {
		of := f.OpenSale(20, limit)
		for i := range limit {
			if a := f.Purchase(t, f.Checkout(t, "ann", int64(of.FirstItem)+int64(i)).Code); a.Status != http.StatusOK {
				t.Fatalf("%d %s", a.Status, a.Body)
			}
		}
		target := servicetest.PurchasePath(f.Checkout(t, "ann", int64(of.LastItem())).Code)
		words := fmt.Sprintf("User has reached the maximum of %d items per sale", limit)
		want := expectation{status: 429, slug: "limit-reached", contains: words}
		for range 2 {
			want.check(t, f.Post(t, target))
			if a := f.Get(t, target); !strings.Contains(string(a.Body), words) { // recorded, if the engine refused it
				t.Errorf("looked up: %d %s", a.Status, a.Body)
			}
		}
	}
}

// Who checks an item out twice, or clicks in two tabs, is never told that
// somebody else has it; what is refused for good is not to be retried, by POST
// or by GET, whether the engine or the cache refused it.
func TestAnOwnerIsNotToldOfAnotherUser(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil)
	f.OpenSale(20, 10)
	f.Allocate()
	first, second, unsent := f.Checkout(t, "ann", 1), f.Checkout(t, "ann", 1), f.Checkout(t, "ann", 1)
	if a := f.Purchase(t, first.Code); a.Status != http.StatusOK {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	third := servicetest.CheckoutPath("ann", 1)
	servicetest.Eventually(t, "the cache knows the owner", func() bool { return f.Post(t, third).Status == http.StatusConflict })
	answers := map[string]servicetest.Answer{
		"a third checkout":                 f.Post(t, third),
		"the second code":                  f.Purchase(t, second.Code),
		"the second code again":            f.Purchase(t, second.Code),
		"the second code, looked up":       f.Get(t, servicetest.PurchasePath(second.Code)),
		"a code never sent, looked up":     f.Get(t, servicetest.PurchasePath(unsent.Code)),
		"and refused, as the look-up said": f.Purchase(t, unsent.Code),
	}
	for name, a := range answers {
		p := edgetest.ProblemOf(t, a)
		if p.Retryable == nil || *p.Retryable {
			t.Errorf("%s: %d %s, want it not to be retried", name, a.Status, a.Body)
		}
		if text := strings.ToLower(string(a.Body)); strings.Contains(text, "another") || strings.Contains(text, "else") || !strings.Contains(text, "the item has been sold") {
			t.Errorf("%s: %d %s", name, a.Status, a.Body)
		}
	}
}

// Who comes half a second early for an item of the sale that opens next is told
// to come again.
func TestAnItemOfTheNextSaleMayBeRetried(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil)
	early := func(item int64, retryable bool) {
		t.Helper()
		for _, a := range []servicetest.Answer{f.Post(t, servicetest.CheckoutPath("ann", item)), f.Get(t, fmt.Sprint("/items/", item))} {
			p := edgetest.ProblemOf(t, a)
			if a.Status != http.StatusNotFound || p.Retryable == nil || *p.Retryable != retryable || p.Type != "urn:notsale:problem:unknown-item" {
				t.Errorf("item %d: %d %s, want retryable: %t", item, a.Status, a.Body, retryable)
			}
		}
	}
	early(1, true)
	f.OpenSale(20, 10)
	f.Checkout(t, "ann", 20)
	early(21, true)
	early(40, true)
	early(41, false)
	early(999_999_999_999_999, false)
	f.OpenSale(20, 10)
	f.Checkout(t, "ann", 21)
}

// User ids as real systems have them buy in a sale under the rules of today; one
// that was opened under version 1 goes on under that, beside it.
func TestUserIDsOfRealSystems(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil)
	old := f.OpenUnder(1, 100, 10)
	of := f.OpenSale(100, 10)
	f.Allocate()
	ids := []string{
		"ann+x@example.com", "auth0|5f7c", "0d1e2f3a-4b5c-6d7e-8f90-a1b2c3d4e5f6", "%C3%A9", "100%", "a/b?c#d&e=f;g", "<b>ann</b>",
		strings.Repeat("x", 65), strings.Repeat("~", sale.MaxUserIDLength),
	}
	for i, id := range ids {
		var body struct {
			UserID string `json:"user_id"`
		}
		a := f.Purchase(t, f.Checkout(t, id, int64(of.FirstItem)+int64(i)).Code)
		if a.Decode(t, &body); a.Status != http.StatusOK || body.UserID != id {
			t.Errorf("%s: %d %s", id, a.Status, a.Body)
		}
		if got := f.Count(`SELECT count(*) FROM items WHERE user_id = $1`, id); got != 1 {
			t.Errorf("%s has %d items in the ledger", id, got)
		}
		want := expectation{status: 400, slug: "invalid-parameter", contains: "user id must, in this sale, be 1 to 64"}
		if id == ids[2] {
			want = expectation{status: 200, contains: `"code":"`}
		}
		want.check(t, f.Post(t, servicetest.CheckoutPath(id, int64(old.FirstItem)+int64(i))))
	}
	for _, none := range []string{"a b", `a"b`, `a\b`, "é", "a\x7f", "", strings.Repeat("x", sale.MaxUserIDLength+1)} {
		want := expectation{status: 400, slug: "invalid-parameter", contains: "user id must be 1 to 128 visible ASCII"}
		want.check(t, f.Post(t, servicetest.CheckoutPath(none, int64(of.FirstItem))))
	}
	if a := f.Purchase(t, f.Checkout(t, "ann@example.com", int64(old.LastItem())).Code); a.Status != http.StatusOK {
		t.Errorf("in the old sale: %d %s", a.Status, a.Body)
	}
}

// What others put into a query does no harm; numbers are spelt in one way, and a
// path in another is not guessed at.
func TestQueriesAndPathsAsTheyCome(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil)
	f.OpenSale(20, 10)
	f.Allocate()
	code := url.QueryEscape(f.Checkout(t, "ann", 1).Code)
	const post, get = http.MethodPost, http.MethodGet
	for _, e := range []expectation{
		{"a per cent sign", post, "/checkout?user_id=ann&id=1&ref=100%", 200, "", `"code":"`},
		{"a semicolon", post, "/checkout?utm_campaign=a;b&user_id=ann&id=1", 200, "", `"code":"`},
		{"a broken name", post, "/checkout?%zz=1&user_id=ann&id=1&&=&%", 200, "", `"code":"`},
		{"beside a code", post, "/purchase?code=" + code + "&ref=100%&a;b", 200, "", `"status":"success"`},
		{"beside a code, looked up", get, "/purchase?fbclid=%&code=" + code, 200, "", `"status":"success"`},
		{"beside a page's", get, "/sales?limit=5&ref=100%&a;b", 200, "", `"id":1`},
		{"a broken one of ours", post, "/checkout?user_id=ann%&id=1", 400, "invalid-parameter", "not validly encoded"},
		{"sale +1", get, "/sales/+1", 404, "unknown-sale", ""},
		{"sale %2B1", get, "/sales/%2B1", 404, "unknown-sale", ""},
		{"sale 0001", get, "/sales/0001", 404, "unknown-sale", ""},
		{"items of sale 01", get, "/sales/01/items", 404, "unknown-sale", ""},
		{"item 01", get, "/items/01", 404, "unknown-item", ""},
		{"item +1", get, "/items/+1/image", 404, "unknown-item", ""},
		{"limit +5", get, "/sales?limit=%2B5", 400, "invalid-parameter", "limit must be"},
		{"limit 05", get, "/sales/1/items?limit=05", 400, "invalid-parameter", "limit must be"},
		{"two limits", get, "/sales/1/items?limit=5&limit=6", 400, "invalid-parameter", "limit must be"},
		{"no limit", get, "/sales?limit=", 400, "invalid-parameter", "limit must be"},
		{"offset -0", get, "/sales/1/items?offset=-0", 400, "invalid-parameter", "offset must be"},
		{"before a thousand digits", get, "/sales?before=" + strings.Repeat("9", 1000), 400, "invalid-parameter", "before must be"},
		{"offset 0", get, "/sales/1/items?offset=0&limit=1", 200, "", `"offset":0`},
		{"checkout with a slash", post, "/checkout/?user_id=ann&id=1", 404, "not-found", "The path is /checkout, without a slash at its end."},
		{"purchase with a slash", post, "/purchase/?code=" + code, 404, "not-found", "The path is /purchase, without"},
		{"a sale with a slash", get, "/sales/1/", 404, "not-found", "No path has a slash at its end."},
		{"a long URL of a page", get, "/sales?utm=" + strings.Repeat("x", 2048), 400, "invalid-parameter", "longer than 2048 bytes"},
		{"a long path", get, "/items/" + strings.Repeat("1", 2048), 400, "invalid-parameter", "longer than 2048 bytes"},
		{"a long URL of a purchase", post, "/purchase?code=" + code + "&utm=" + strings.Repeat("x", 2048), 400, "invalid-parameter", "longer than 2048 bytes"},
		{"a long URL of a checkout", post, "/checkout?user_id=ann&id=1&utm=" + strings.Repeat("x", 2048), 400, "invalid-parameter", "longer than 2048 bytes"},
		{"a long URL of nothing", get, "/" + strings.Repeat("x", 2048) + "/", 400, "invalid-parameter", "longer than 2048 bytes"},
		{"hostile", get, "/%3Cscript%3E/", 404, "not-found", "No path has a slash at its end."},
	} {
		t.Run(e.name, func(t *testing.T) { e.check(t, must(t, f.Shop, e.method, e.target)) })
	}
}

// A page of another origin may use the API only where the operator says so.
func TestOtherOrigins(t *testing.T) {
	t.Parallel()
	const friend, stranger = "https://shop.example", "https://evil.example"
	ask := func(f *front, method, target, origin string) servicetest.Answer {
		t.Helper()
		return must(t, f.Shop, method, target, "Origin", origin, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "content-type")
	}
	closed := newFront(t, nil)
	if a := ask(closed, http.MethodOptions, "/checkout", friend); a.Status != http.StatusMethodNotAllowed || allowed(a) != "" {
		t.Errorf("by default a preflight gets %d %v", a.Status, a.Header)
	}
	if a := ask(closed, http.MethodGet, "/sales", friend); a.Status != http.StatusOK || allowed(a) != "" || a.Header.Get("Vary") != "" {
		t.Errorf("by default a page from elsewhere gets %d %v", a.Status, a.Header)
	}
	for origins, open := range map[string]map[string]bool{
		friend + ",http://localhost:3000": {friend: true, "http://localhost:3000": true, stranger: false, "null": false},
		"*":                               {friend: true, stranger: true, "null": true},
	} {
		f := newFront(t, func(c *edge.Config) { c.CORSOrigins = strings.Split(origins, ",") })
		for origin, may := range open {
			want := ""
			if may {
				want = origin
			}
			for _, target := range []string{"/checkout", "/purchase", "/sales/1"} {
				a := ask(f, http.MethodOptions, target, origin)
				if (a.Status == http.StatusNoContent) != may || allowed(a) != want || !strings.Contains(a.Header.Get("Vary"), "Origin") {
					t.Errorf("%s: a preflight of %s for %s gets %d %v", origins, origin, target, a.Status, a.Header)
				}
				if may && (!strings.Contains(a.Header.Get("Access-Control-Allow-Methods"), "POST") || a.Header.Get("Access-Control-Allow-Headers") != "*") {
					t.Errorf("%s: a preflight of %s gets %v", origins, origin, a.Header)
				}
			}
			for _, target := range []string{"/sales", "/nowhere", "/purchase?code=x"} { // what is refused can be read, too
				if a := ask(f, http.MethodGet, target, origin); allowed(a) != want || may && !strings.Contains(a.Header.Get("Access-Control-Expose-Headers"), "Retry-After") {
					t.Errorf("%s: %s gets %v of %s", origins, origin, a.Header, target)
				}
			}
		}
		if a := must(t, f.Shop, http.MethodOptions, "/checkout"); a.Status != http.StatusMethodNotAllowed {
			t.Errorf("OPTIONS that is no preflight: %d", a.Status)
		}
	}
}

func allowed(a servicetest.Answer) string { return a.Header.Get("Access-Control-Allow-Origin") }

// Every retry of a granted code gets the same answer, byte for byte.
func TestAGrantedCodeHasOneAnswer(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil)
	f.OpenSale(20, 10)
	f.Allocate()
	target := servicetest.PurchasePath(f.Checkout(t, "ann+x@example.com", 1).Code)
	first := f.Post(t, target)
	for _, a := range []servicetest.Answer{f.Post(t, target), f.Get(t, target), f.body(t, http.MethodPost, target, strings.NewReader("{}"))} {
		if a.Status != http.StatusOK || !bytes.Equal(a.Body, first.Body) {
			t.Errorf("%d %s, first %s", a.Status, a.Body, first.Body)
		}
	}
}
