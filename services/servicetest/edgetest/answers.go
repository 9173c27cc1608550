//go:build unix

package edgetest

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"notsale/pkg/sale"
	"notsale/services/servicetest"
)

// Check compares an answer with what every answer of its kind must have. slug is
// that of a problem; empty: it is none.
func Check(t *testing.T, a servicetest.Answer, status int, slug, contains string) {
	t.Helper()
	if a.Status != status || !strings.Contains(string(a.Body), contains) {
		t.Errorf("%d %s, want %d with %q", a.Status, a.Body, status, contains)
	}
	checkHeaders(t, a)
	CheckCompact(t, a)
	if slug == "" {
		return
	}
	p := ProblemOf(t, a)
	if p.Type != "urn:notsale:problem:"+slug || p.Title == "" || p.Detail == "" || p.Status != status {
		t.Errorf("problem %s, want one of type %s", a.Body, slug)
	}
	retryable := status >= 500 || slug == "no-decision-yet" && !bytes.Contains(a.Body, []byte(`"lost_to"`))
	if p.Retryable == nil || *p.Retryable != retryable {
		t.Errorf("%s: retryable, want %v", a.Body, retryable)
	}
}

func checkHeaders(t *testing.T, a servicetest.Answer) {
	t.Helper()
	for name, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
		"Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
	} {
		if got := a.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if id := a.Header.Get("X-Request-ID"); len(id) != 16 {
		t.Errorf("X-Request-Id: %q", id)
	}
	_, wait := a.Header["Retry-After"]
	if want := a.Status == http.StatusAccepted || a.Status == http.StatusServiceUnavailable; wait != want {
		t.Errorf("%d with Retry-After: %v, want %v", a.Status, wait, want)
	}
}

// CheckCompact fails on spaces after colons and commas, which clients that cut
// strings out of answers do not expect.
func CheckCompact(t *testing.T, a servicetest.Answer) {
	t.Helper()
	if !strings.Contains(a.Header.Get("Content-Type"), "json") {
		return
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, a.Body); err != nil || !bytes.Equal(compact.Bytes(), a.Body) {
		t.Errorf("%s is not compact JSON (%v)", a.Body, err)
	}
}

// ProblemOf reads a refusal.
func ProblemOf(t *testing.T, a servicetest.Answer) servicetest.Problem {
	t.Helper()
	if got := a.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("%d %s has type %q", a.Status, a.Body, got)
	}
	var p servicetest.Problem
	a.Decode(t, &p)
	return p
}

// Same fails the test unless an answer is what was answered before.
func Same(t *testing.T, what string, got, want servicetest.Answer) {
	t.Helper()
	if got.Status != want.Status || !bytes.Equal(got.Body, want.Body) {
		t.Errorf("%s: %d %s\nwas answered %d %s", what, got.Status, got.Body, want.Status, want.Body)
	}
}

// Answered sends a code again until the answer is not 503.
func Answered(t *testing.T, shop *servicetest.Shop, code string) (a servicetest.Answer) {
	t.Helper()
	servicetest.Eventually(t, "an answer that is not 503", func() bool {
		a = shop.Purchase(t, code)
		return a.Status != http.StatusServiceUnavailable
	})
	return a
}

// Decided reports whether an answer tells a decision.
func Decided(a servicetest.Answer) bool {
	return a.Status != http.StatusAccepted && a.Status != http.StatusServiceUnavailable
}

// EmptyCache empties the rejection cache.
func (f *Front) EmptyCache(t *testing.T) {
	t.Helper()
	options, err := redis.ParseURL(f.RedisURL)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	defer func() { _ = client.Close() }()
	if err := client.FlushDB(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
}

// Customer is a code of a sale and what it was answered first.
type Customer struct {
	What  string
	Code  string
	First servicetest.Answer
}

// SellOut sells both items of a sale with a limit of 1, with every decision
// that a readable code can get.
func (f *Front) SellOut(t *testing.T, of sale.Sale) []Customer {
	t.Helper()
	one, two := of.FirstItem, of.LastItem()
	var all []Customer
	for _, c := range []struct {
		what   string
		user   string
		item   sale.ItemID
		life   time.Duration
		status int
	}{
		{"granted", "ann", one, time.Hour, http.StatusOK},
		{"expired", "bob", one, -time.Hour, http.StatusGone},
		{"limit reached", "ann", two, 2 * time.Hour, http.StatusTooManyRequests},
		{"taken", "bob", one, time.Hour, http.StatusConflict},
		{"the last granted", "bob", two, time.Hour, http.StatusOK},
		{"sold out", "carl", one, time.Hour, http.StatusGone},
	} {
		k := f.Sign(of, c.item, c.user, c.life)
		if c.what == "sold out" { // of which an edge may know already
			f.Enqueue(t, of, k)
			looker := f.Ledger("looker")
			servicetest.Eventually(t, "it is decided", func() bool {
				_, _, err := looker.DecisionOf(t.Context(), k.ID)
				return err == nil
			})
		}
		var a servicetest.Answer
		servicetest.Eventually(t, "the engine decides, not what the cache has been told meanwhile", func() bool {
			f.EmptyCache(t)
			a = f.Purchase(t, k.Text)
			return Decided(a) && bytes.Contains(a.Body, []byte(`"position":`))
		})
		Check(t, a, c.status, "", `"position":`)
		all = append(all, Customer{c.what, k.Text, a})
	}
	return all
}
