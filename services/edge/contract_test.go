//go:build unix

package edge_test

import (
	"bytes"
	"encoding/base64"
	"io"
	"math"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"notsale/pkg/backends/backendstest"
	"notsale/pkg/code"
	"notsale/pkg/sale"
	"notsale/pkg/wire"
	"notsale/services/edge"
	"notsale/services/servicetest"
	"notsale/services/servicetest/edgetest"
)

// code makes a code as an edge would, with any claims.
func (f *front) code(keys *code.Keyring, of sale.Sale, item sale.ItemID, user string, life time.Duration) string {
	text, _ := keys.Sign(code.Claims{
		Sale: of.UUID, Item: item, User: sale.UserID(user), Expires: sale.InstantOf(time.Now().Add(life)),
	}, code.Nonce{byte(item), byte(life)})
	return text
}

// expectation is a row of the table of answers.
type expectation struct {
	name, method, target string
	status               int
	slug                 string // of the problem; empty: no problem
	contains             string
}

func (e expectation) check(t *testing.T, a servicetest.Answer) {
	t.Helper()
	edgetest.Check(t, a, e.status, e.slug, e.contains)
}

// The table of answers, in the order in which a sale goes.
func TestContract(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil)
	small := f.OpenSale(2, 10)  // items 1 and 2
	large := f.OpenSale(20, 10) // items 3 to 22
	f.Allocate()
	own, rival := f.Checkout(t, "ann", 1), f.Checkout(t, "bob", 1)
	spare := f.Checkout(t, "cid", 2)
	run := func(list ...expectation) {
		t.Helper()
		for _, e := range list {
			t.Run(e.name, func(t *testing.T) { e.check(t, must(t, f.Shop, e.method, e.target)) })
		}
	}
	const post, get = http.MethodPost, http.MethodGet
	expired := servicetest.PurchasePath(f.code(f.Keys, small, 2, "dan", -time.Minute))
	run(
		expectation{"checkout", post, "/checkout?user_id=eve&id=2", 200, "", `"code":"`},
		expectation{"checkout by item_id", post, "/checkout?user_id=eve&item_id=2", 200, "", `"item":2,`},
		expectation{"checkout without parameters", post, "/checkout", 400, "invalid-parameter", "user_id is missing"},
		expectation{"checkout without user", post, "/checkout?id=1", 400, "invalid-parameter", "user_id is missing"},
		expectation{"checkout without item", post, "/checkout?user_id=eve", 400, "invalid-parameter", "id (or item_id) is missing"},
		expectation{"checkout by two items", post, "/checkout?user_id=eve&id=1&item_id=1", 400, "invalid-parameter", "exactly once"},
		expectation{"checkout by two users", post, "/checkout?user_id=eve&user_id=eve&id=1", 400, "invalid-parameter", "exactly once"},
		expectation{"checkout of no item", post, "/checkout?user_id=eve&id=one", 400, "invalid-parameter", "item id must be"},
		expectation{"checkout by no user", post, "/checkout?user_id=a%20b&id=1", 400, "invalid-parameter", "user id must be"},
		expectation{"checkout of an unknown item", post, "/checkout?user_id=eve&id=999", 404, "unknown-item", ""},
		expectation{"purchase without code", post, "/purchase", 400, "invalid-parameter", "code is missing"},
		expectation{"purchase with an empty code", post, "/purchase?code=", 400, "invalid-parameter", "code is missing"},
		expectation{"purchase with two codes", post, "/purchase?code=a&code=b", 400, "invalid-parameter", "exactly once"},
		expectation{"purchase with a broken query", post, "/purchase?code=%zz", 400, "invalid-parameter", ""},
		expectation{"purchase with no code of ours", post, "/purchase?code=abc", 400, "invalid-code", ""},
		expectation{"decision of no code of ours", get, "/purchase?code=abc", 400, "invalid-code", ""},
		expectation{"decision that is not made", get, servicetest.PurchasePath(own.Code), 404, "no-decision-yet", "no decision yet, POST again"},
		expectation{"purchase", post, servicetest.PurchasePath(own.Code), 200, "", `"message":"Purchase successful","status":"success"`},
		expectation{"purchase again", post, servicetest.PurchasePath(own.Code), 200, "", `"message":"Purchase successful","status":"success"`},
		expectation{"decision", get, servicetest.PurchasePath(own.Code), 200, "", `"message":"Purchase successful","status":"success"`},
		expectation{"item taken", post, servicetest.PurchasePath(rival.Code), 409, "item-taken", ""},
		expectation{"code expired", post, expired, 410, "code-expired", ""},
		expectation{"decision of an expired code", get, expired, 410, "code-expired", `"position":`},
	)
	servicetest.Eventually(t, "the cache knows the owner", func() bool { return f.Post(t, "/checkout?user_id=eve&id=1").Status == 409 })
	run(expectation{"checkout of a taken item", post, "/checkout?user_id=eve&id=1", 409, "item-taken", ""})
	late := f.Checkout(t, "fay", 2)
	if a := f.Purchase(t, spare.Code); a.Status != http.StatusOK {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	servicetest.Eventually(t, "the cache knows that all is sold", func() bool { return f.Post(t, "/checkout?user_id=eve&id=1").Status == 410 })
	run(
		expectation{"checkout of a sold out sale", post, "/checkout?user_id=eve&id=2", 410, "sold-out", ""},
		expectation{"purchase in a sold out sale", post, servicetest.PurchasePath(late.Code), 410, "sold-out", ""},
		expectation{"granted in a sold out sale", post, servicetest.PurchasePath(own.Code), 200, "", `"message":"Purchase successful"`},
		expectation{"no route", get, "/nowhere", 404, "not-found", ""},
		expectation{"no trailing slash", get, "/sales/", 404, "not-found", ""},
		expectation{"no method", get, "/checkout", 405, "method-not-allowed", ""},
		expectation{"no method, again", http.MethodDelete, "/purchase", 405, "method-not-allowed", ""},
		expectation{"unknown sale", get, "/sales/3", 404, "unknown-sale", ""},
		expectation{"no sale id", get, "/sales/x", 404, "unknown-sale", ""},
		expectation{"items of an unknown sale", get, "/sales/0/items", 404, "unknown-sale", ""},
		expectation{"unknown item", get, "/items/999", 404, "unknown-item", ""},
		expectation{"picture of an unknown item", get, "/items/0/image", 404, "unknown-item", ""},
		expectation{"page too long", get, "/sales/2/items?limit=501", 400, "invalid-parameter", "limit must be"},
		expectation{"page before the first", get, "/sales/2/items?offset=-1", 400, "invalid-parameter", "offset must be"},
		expectation{"list too long", get, "/sales?limit=1001", 400, "invalid-parameter", "limit must be"},
		expectation{"list before nothing", get, "/sales?before=x", 400, "invalid-parameter", "before must be"},
		expectation{"sold item", get, "/items/1", 200, "", `"sold":true`},
		expectation{"unsold item", get, "/items/3", 200, "", `"sold":false`},
		expectation{"sold out sale", get, "/sales/1", 200, "", `"stock":2,"sold":2,"state":"sold_out","first_item":1,"last_item":2`},
		expectation{"open sale", get, "/sales/2", 200, "", `"stock":20,"sold":0,"state":"open","first_item":3,"last_item":22`},
		expectation{"alive", get, "/livez", 200, "", `{"status":"ok"}`},
		expectation{"ready", get, "/readyz", 200, "", `{"status":"ok"}`},
		expectation{"healthy", get, "/health", 200, "", `"database":"ok"`},
		expectation{"page", get, "/", 200, "", "<!doctype html>"},
		expectation{"script", get, "/app.js", 200, "", "fetch("},
		expectation{"style", get, "/style.css", 200, "", "{"},
	)
	t.Run("limit", func(t *testing.T) { checkLimitContract(t, f, large) })
	t.Run("body", func(t *testing.T) { checkBodies(t, f) })
	t.Run("allow", func(t *testing.T) {
		if got := must(t, f.Shop, get, "/checkout").Header.Get("Allow"); got != "POST" {
			t.Errorf("Allow: %q", got)
		}
	})
	t.Run("granted body", func(t *testing.T) { checkGrantedBody(t, f, own) })
	t.Run("codes that are none", func(t *testing.T) { checkForgeries(t, f, small, large) })
	t.Run("pages", func(t *testing.T) { checkPages(t, f) })
	t.Run("pictures", func(t *testing.T) { checkPictures(t, f) })
}

func must(t *testing.T, shop *servicetest.Shop, method, target string, headers ...string) servicetest.Answer {
	t.Helper()
	a, err := shop.Do(method, target, headers...)
	if err != nil {
		t.Fatalf("%s %.100s: %v", method, target, err)
	}
	return a
}

func checkLimitContract(t *testing.T, f *front, of sale.Sale) {
	for i := range of.UserLimit {
		c := f.Checkout(t, "gus", int64(of.FirstItem)+int64(i))
		if a := f.Purchase(t, c.Code); a.Status != http.StatusOK {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
	}
	c := f.Checkout(t, "gus", int64(of.LastItem())) // the eleventh checkout succeeds
	e := expectation{status: 429, slug: "limit-reached", contains: "User has reached the maximum of 10 items per sale"}
	for range 2 {
		e.check(t, f.Purchase(t, c.Code))
	}
	if a := f.Purchase(t, f.Checkout(t, "hal", int64(of.LastItem())).Code); a.Status != http.StatusOK {
		t.Errorf("the item that the limit refused, to another: %d %s", a.Status, a.Body)
	}
}

func checkBodies(t *testing.T, f *front) {
	for _, c := range []struct {
		name, target string
		body         io.Reader
	}{
		{"with a length", "/checkout?user_id=ivy&id=3", strings.NewReader(strings.Repeat("x", 4097))},
		{"chunked", "/purchase?code=x", io.MultiReader(strings.NewReader(strings.Repeat("x", 4097)))}, // of unknown length
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.Base+c.target, c.body)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		a, err := f.Send(request)
		if err != nil {
			t.Fatal(err)
		}
		expectation{name: c.name, status: 413, slug: "no-body-accepted"}.check(t, a)
	}
}

// checkGrantedBody reads what the body of a purchase says.
func checkGrantedBody(t *testing.T, f *front, c servicetest.Checkout) {
	a, b := f.Purchase(t, c.Code), f.Purchase(t, c.Code)
	if !bytes.Equal(a.Body, b.Body) || a.Header.Get("X-Request-ID") == b.Header.Get("X-Request-ID") {
		t.Error("two answers to one code differ in their bodies or have one request id")
	}
	var body struct {
		Item, Sale, Position int64
		UserID               string `json:"user_id"`
		Time                 time.Time
		Name                 string
	}
	a.Decode(t, &body)
	var stored int64
	var at time.Time
	err := f.DB.QueryRow(t.Context(), `SELECT position, sold_at FROM items WHERE item_id = $1 AND user_id = $2`, c.Item, c.UserID).Scan(&stored, &at)
	if err != nil || body.Item != c.Item || body.Sale != c.Sale || body.UserID != c.UserID || body.Position != stored || !body.Time.Equal(at) || body.Name == "" {
		t.Errorf("%s; the ledger says position %d at %v (%v)", a.Body, stored, at, err)
	}
}

// checkForgeries looks that nobody learns why a code is none: bodies and
// headers are the same.
func checkForgeries(t *testing.T, f *front, of, other sale.Sale) {
	good := f.Checkout(t, "jan", int64(other.LastItem())-1).Code
	raw, err := base64.RawURLEncoding.DecodeString(good)
	if err != nil {
		t.Fatal(err)
	}
	flipped := func(at int) string {
		b := bytes.Clone(raw)
		b[(at+len(b))%len(b)] ^= 1
		return base64.RawURLEncoding.EncodeToString(b)
	}
	unknown := of
	unknown.UUID[0] ^= 1
	forgeries := map[string]string{
		"text":             "hello",
		"flipped tag":      flipped(-1),
		"flipped version":  flipped(0),
		"flipped key id":   flipped(4),
		"flipped item":     flipped(28),
		"flipped user":     flipped(50),
		"cut":              good[:len(good)-1],
		"longer":           good + "A",
		"padded":           good + "=",
		"very long":        strings.Repeat("A", 1500),
		"hostile":          "\x00\xff ' \" ; --",
		"of another key":   f.code(edgetest.NewKeyring(t, 2), of, 1, "kim", time.Hour),
		"of no sale":       f.code(f.Keys, unknown, 1, "kim", time.Hour),
		"item of no sale":  f.code(f.Keys, of, 999, "kim", time.Hour),
		"item of another":  f.code(f.Keys, of, other.FirstItem, "kim", time.Hour),
		"forged, expired":  f.code(edgetest.NewKeyring(t, 2), of, 1, "kim", -time.Hour),
		"other sale's one": f.code(edgetest.NewKeyring(t, 2), other, 1, "kim", time.Hour),
	}
	for _, method := range []string{http.MethodPost, http.MethodGet} {
		var want servicetest.Answer
		for name, text := range forgeries {
			a := must(t, f.Shop, method, "/purchase?code="+url.QueryEscape(text))
			expectation{status: 400, slug: "invalid-code"}.check(t, a)
			a.Header.Del("X-Request-ID")
			a.Header.Del("Date")
			if want.Status == 0 {
				want = a
			}
			if !bytes.Equal(a.Body, want.Body) || !reflect.DeepEqual(a.Header, want.Header) {
				t.Errorf("%s %s: %s %v\nothers: %s %v", method, name, a.Body, a.Header, want.Body, want.Header)
			}
		}
	}
	if a := f.Purchase(t, good); a.Status != http.StatusOK {
		t.Errorf("the code that was forged: %d %s", a.Status, a.Body)
	}
}

// checkPages walks through a sale's items and through the sales.
func checkPages(t *testing.T, f *front) {
	type page struct {
		Items []struct {
			ID    int64
			Name  string
			Image string
		}
		Next  string
		Total int
	}
	seen := int64(2) // items 3 to 22
	names := map[string]bool{}
	for next := "/sales/2/items?limit=7"; next != ""; {
		var p page
		f.Get(t, next).Decode(t, &p)
		if next = p.Next; p.Total != 20 || len(p.Items) == 0 {
			t.Fatalf("%+v", p)
		}
		for _, item := range p.Items {
			if seen++; item.ID != seen || item.Name == "" || names[item.Name] || item.Image != "/items/"+strconv.Itoa(int(item.ID))+"/image" {
				t.Errorf("%+v, want item %d", item, seen)
			}
			names[item.Name] = true
		}
	}
	if seen != 22 {
		t.Errorf("the pages end at item %d", seen)
	}
	var beyond page
	a := f.Get(t, "/sales/2/items?offset=20")
	if a.Decode(t, &beyond); len(beyond.Items) != 0 || !strings.Contains(string(a.Body), `"items":[]`) {
		t.Errorf("beyond the last item: %s", a.Body)
	}
	for target, want := range map[string][]int64{
		"/sales": {2, 1}, "/sales?limit=1": {2}, "/sales?before=2": {1}, "/sales?before=2&limit=1": {1}, "/sales?before=1": {}, "/sales?limit=0": {},
	} {
		var list []servicetest.Sale
		got := []int64{}
		f.Get(t, target).Decode(t, &list)
		for _, s := range list {
			got = append(got, s.ID)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s lists %v, want %v", target, got, want)
		}
	}
}

func checkPictures(t *testing.T, f *front) {
	const target = "/items/3/image"
	first, other := f.Get(t, target), f.Get(t, "/items/4/image")
	tag := first.Header.Get("ETag")
	if first.Status != 200 || first.Header.Get("Content-Type") != "image/svg+xml" || !bytes.Contains(first.Body, []byte("<svg")) || tag == "" {
		t.Errorf("%d %v %.80s", first.Status, first.Header, first.Body)
	}
	if bytes.Equal(first.Body, other.Body) || tag == other.Header.Get("ETag") {
		t.Error("two items look the same")
	}
	for match, want := range map[string]int{tag: 304, `"0", ` + tag: 304, other.Header.Get("ETag"): 200} {
		a := must(t, f.Shop, http.MethodGet, target, "If-None-Match", match)
		if a.Status != want || a.Header.Get("ETag") != tag || (want == 304) != (len(a.Body) == 0) {
			t.Errorf("If-None-Match: %s answers %d %v with %d bytes, want %d", match, a.Status, a.Header, len(a.Body), want)
		}
	}
}

// What is queued but not decided is answered 202, and with its decision later.
func TestPending(t *testing.T) {
	t.Parallel()
	f := newFront(t, func(c *edge.Config) { c.PurchaseWait, c.Waiting = 200*time.Millisecond, 1 })
	of := f.OpenSale(5, 10)
	c := f.Checkout(t, "ann", 1)
	target := servicetest.PurchasePath(c.Code)
	var location string
	for range 2 {
		a := pending(t, func() servicetest.Answer { return f.Purchase(t, c.Code) })
		expectation{status: 202, contains: `"status":"pending"`}.check(t, a)
		location = a.Header.Get("Location")
		if location != target || a.Header.Get("Retry-After") != "1" {
			t.Errorf("Location %q, Retry-After %q", location, a.Header.Get("Retry-After"))
		}
		expectation{status: 404, slug: "no-decision-yet", contains: "no decision yet, POST again"}.check(t, f.Get(t, target))
	}
	servicetest.Eventually(t, "one waits, and others who come at once may not", func() bool {
		answers := servicetest.Statuses(f.AtOnce(t, slices.Repeat([]string{target}, 8)))
		if answers[503]+answers[202] != 8 {
			t.Fatalf("one may wait, eight came: %v, want 202 and 503", answers)
		}
		return answers[http.StatusServiceUnavailable] > 0 && answers[http.StatusAccepted] > 0
	})
	f.Allocate()
	var a servicetest.Answer
	servicetest.Eventually(t, "the decision comes", func() bool {
		a = f.Purchase(t, c.Code)
		return a.Status == http.StatusOK
	})
	if b := f.Get(t, location); b.Status != http.StatusOK || !bytes.Equal(a.Body, b.Body) {
		t.Errorf("Location answers %d %s, the purchase %s", b.Status, b.Body, a.Body)
	}
	if n := f.Count(`SELECT count(*) FROM items WHERE sale_id = $1`, int64(of.ID)); n != 1 {
		t.Errorf("%d items are sold", n)
	}
}

// A sale whose stream is full refuses requests, but not what it has granted.
func TestFullStream(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil)
	f.SaleBytes = 4 << 10
	f.OpenSale(1000, 10)
	f.Allocate()
	own := f.Checkout(t, "ann", 1)
	granted := f.Purchase(t, own.Code)
	if granted.Status != http.StatusOK {
		t.Fatalf("%d %s", granted.Status, granted.Body)
	}
	item := int64(1)
	for a := granted; a.Status == http.StatusOK && item < 100; {
		item++
		if a = f.Purchase(t, f.Checkout(t, servicetest.User(int(item)), item).Code); a.Status != http.StatusOK {
			expectation{status: 503, slug: "stream-full"}.check(t, a)
		}
	}
	if item == 100 {
		t.Error("the stream takes any number of requests")
	}
	for _, a := range []servicetest.Answer{f.Purchase(t, own.Code), f.Get(t, servicetest.PurchasePath(own.Code))} {
		if a.Status != http.StatusOK || !bytes.Equal(a.Body, granted.Body) {
			t.Errorf("what was granted before: %d %s, want %s", a.Status, a.Body, granted.Body)
		}
	}
}

// What the edge has to say when one of its stores is away.
func TestStoresAway(t *testing.T) {
	t.Parallel()
	f := newFront(t, func(c *edge.Config) { c.PurchaseWait = time.Second }, backendstest.WithOwnPostgres, backendstest.WithOwnRedis)
	f.OpenSale(20, 10)
	f.Allocate()
	next := int64(0)
	sells := func(patient bool) {
		t.Helper()
		next++
		c := f.Checkout(t, "ann"+strconv.Itoa(int(next)), next)
		a := f.Purchase(t, c.Code)
		for deadline := time.Now().Add(servicetest.Patience); (a.Status == 202 || patient && a.Status != 200) && time.Now().Before(deadline); {
			a = f.Purchase(t, c.Code)
		}
		if a.Status != http.StatusOK {
			t.Errorf("item %d: %d %s", next, a.Status, a.Body)
		}
	}
	health := func(status int, dead string) {
		t.Helper()
		var got map[string]string
		servicetest.Eventually(t, "health says "+strconv.Itoa(status), func() bool {
			a := f.Get(t, "/health")
			got = nil
			a.Decode(t, &got)
			return a.Status == status
		})
		want := map[string]string{"status": "ok", "database": "ok", "redis": "ok", "nats": "ok"}
		if dead != "" {
			want["status"], want[dead] = "error", "error"
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("health %v, want %v", got, want)
		}
	}
	ready := func(status int) {
		t.Helper()
		servicetest.Eventually(t, "readyz answers "+strconv.Itoa(status), func() bool { return f.Get(t, "/readyz").Status == status })
	}
	sells(true)
	health(200, "")

	if err := f.Redis.Kill(); err != nil {
		t.Fatal(err)
	}
	health(503, "redis")
	ready(200)
	sells(false) // slower, never wrong
	if err := f.Redis.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	health(200, "")

	open := f.Checkout(t, "held", 20)
	if err := f.Postgres.Kill(); err != nil {
		t.Fatal(err)
	}
	health(503, "database")
	ready(200)
	expectation{status: 200}.check(t, f.Post(t, "/checkout?user_id=ann&id=19"))
	expectation{status: 202}.check(t, f.Purchase(t, open.Code))
	for _, target := range []string{servicetest.PurchasePath(open.Code), "/sales", "/sales/1", "/sales/1/items", "/items/1"} {
		expectation{status: 503, slug: "ledger-unavailable"}.check(t, f.Get(t, target))
	}
	expectation{status: 200}.check(t, f.Get(t, "/items/1/image"))
	// Whether the item exists cannot be said: neither 404 nor a code.
	expectation{status: 503, slug: "not-queued"}.check(t, f.Post(t, "/checkout?user_id=ann&id=21"))
	if err := f.Postgres.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	health(200, "")
	servicetest.Eventually(t, "what was queued is decided", func() bool { return f.Get(t, servicetest.PurchasePath(open.Code)).Status == 200 })
	sells(true)

	fresh := f.Checkout(t, "fresh", 17)
	f.StopNATS()
	ready(503)
	health(503, "nats")
	expectation{status: 200}.check(t, f.Get(t, "/livez"))
	expectation{status: 503, slug: "not-queued"}.check(t, f.Post(t, "/checkout?user_id=ann&id=18"))
	expectation{status: 503, slug: "not-queued"}.check(t, f.Post(t, "/checkout?user_id=ann"))
	expectation{status: 503, slug: "not-queued"}.check(t, f.Purchase(t, fresh.Code))
	// It is decided, and the ledger knows: it is asked again once the pause is
	// over for which it is left alone after an error.
	servicetest.Eventually(t, "a sold code is told so without NATS", func() bool { return f.Purchase(t, open.Code).Status == 200 })
	expectation{status: 200}.check(t, f.Get(t, servicetest.PurchasePath(open.Code)))
	f.StartNATS()
	ready(200)
	sells(true)
	health(200, "")
}

// Attempts that the edge answered stand in their streams, also without a
// recorder; the wire format says what was refused.
func TestAttemptsAreStoredBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil)
	f.OpenSale(5, 10)
	f.Checkout(t, "ann", 1)
	f.Post(t, "/checkout?user_id=ann&id=6")
	c := f.Stream("looker")
	for id, want := range map[sale.ID]wire.Outcome{1: wire.Issued, 0: wire.UnknownItem} {
		messages := servicetest.Collect(t, c.AttemptMessages(t.Context(), id, 1, math.MaxUint64))
		if len(messages) != 1 {
			t.Fatalf("sale %d has %d messages of attempts, want 1", id, len(messages))
		}
		_, attempts, err := wire.DecodeAttempts(messages[0].Data)
		if err != nil || len(attempts) != 1 || attempts[0].Outcome != want {
			t.Errorf("%+v, %v, want one %s", attempts, err, want)
		}
	}
}
