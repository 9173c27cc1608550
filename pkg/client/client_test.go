package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"notsale/pkg/client"
	"notsale/pkg/effort"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shopAt is a client of a handler, which hardly waits.
func shopAt(t *testing.T, h http.HandlerFunc, change ...func(*client.Config)) *client.Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	cfg := client.Config{Base: server.URL + "/", Timeout: effort.Patience, MinPause: time.Millisecond, MaxPause: 2 * time.Millisecond}
	for _, c := range change {
		c(&cfg)
	}
	c, err := client.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func problem(w http.ResponseWriter, status int, slug, rest string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"type":"urn:notsale:problem:%s","title":"T","status":%d,"detail":"D","retryable":false%s}`, slug, status, rest)
}

const soldBody = `{"message":"Purchase successful","status":"success","item":17,"name":"N","sale":1,"user_id":"a b","position":5,"time":"2026-01-01T00:00:00.5Z"}`

// Whatever leaves the outcome open is followed by the very same request, one at a
// time: none is sent twice by the transport.
func TestPurchaseAsksUntilItIsAnswered(t *testing.T) {
	var tries atomic.Int64
	open := []http.HandlerFunc{
		func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
		},
		func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusAccepted)
		},
		func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
		},
		func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, // on a connection that was used
		func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusRequestTimeout) },
		func(w http.ResponseWriter, _ *http.Request) { problem(w, 500, "internal", "") },
		func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, // a balancer's
	}
	shop := shopAt(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.RequestURI != "/purchase?code=C%2B1" || r.ContentLength != 0 {
			t.Errorf("got %s %s, %d bytes", r.Method, r.RequestURI, r.ContentLength)
		}
		if n := int(tries.Add(1)); n <= len(open) {
			open[n-1](w, r)
			return
		}
		fmt.Fprint(w, soldBody)
	})
	sold, err := shop.Purchase(t.Context(), "C+1")
	want := time.Date(2026, 1, 1, 0, 0, 0, 500_000_000, time.UTC)
	if err != nil || sold.Item != 17 || sold.Sale != 1 || sold.UserID != "a b" || sold.Position != 5 || !sold.Time.Equal(want) || string(sold.Body) != soldBody {
		t.Errorf("%+v, %v", sold, err)
	}
	if n := int(tries.Load()); n != len(open)+1 {
		t.Errorf("%d requests, want %d", n, len(open)+1)
	}
}

func TestRefusalsAreFinalAndTyped(t *testing.T) {
	for slug, c := range map[string]struct {
		status int
		err    error
	}{
		"invalid-code":    {400, client.ErrInvalidCode},
		"unknown-item":    {404, client.ErrUnknownItem},
		"unknown-sale":    {404, client.ErrUnknownSale},
		"no-decision-yet": {404, client.ErrUndecided},
		"item-taken":      {409, client.ErrItemTaken},
		"sold-out":        {410, client.ErrSoldOut},
		"code-expired":    {410, client.ErrCodeExpired},
		"limit-reached":   {429, client.ErrLimitReached},
	} {
		var tries atomic.Int64
		shop := shopAt(t, func(w http.ResponseWriter, _ *http.Request) {
			tries.Add(1)
			problem(w, c.status, slug, `,"position":7,"time":"2026-01-01T00:00:00Z"`)
		})
		_, err := shop.Purchase(t.Context(), "C")
		p, ok := errors.AsType[*client.Problem](err)
		if !errors.Is(err, c.err) || !ok || p.Status != c.status || p.Detail != "D" || p.Position != 7 || p.Time.Year() != 2026 {
			t.Errorf("%s: %v, %+v", slug, err, p)
		}
		if errors.Is(err, client.ErrUnanswered) || tries.Load() != 1 {
			t.Errorf("%s: %v after %d requests", slug, err, tries.Load())
		}
		if slug != "item-taken" && errors.Is(err, client.ErrItemTaken) {
			t.Errorf("%s is taken for another", slug)
		}
	}
}

// An answer that is none of ours is a Problem all the same.
func TestForeignRefusal(t *testing.T) {
	shop := shopAt(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no such thing", http.StatusNotFound) })
	_, err := shop.Checkout(t.Context(), "u", 1)
	if p, ok := errors.AsType[*client.Problem](err); !ok || p.Status != 404 || !strings.Contains(p.Detail, "no such thing") || errors.Is(err, client.ErrUnknownItem) {
		t.Errorf("%v", err)
	}
}

func TestTheEndOfTheContextIsNoRefusal(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	shop := shopAt(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		cancel()
	})
	_, err := shop.Purchase(ctx, "secret")
	if _, refused := errors.AsType[*client.Problem](err); refused || !errors.Is(err, client.ErrUnanswered) || !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if _, err = shop.Purchase(ctx, "secret"); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("%v shows the code", err)
	}
}

// A request that is not answered in time counts as one without an answer.
func TestTimeoutOfOneRequest(t *testing.T) {
	var tries atomic.Int64
	gone := make(chan struct{}, 1)
	shop := shopAt(t, func(w http.ResponseWriter, r *http.Request) {
		if tries.Add(1) == 1 {
			<-r.Context().Done()
			gone <- struct{}{}
			return
		}
		fmt.Fprint(w, soldBody)
	}, func(c *client.Config) { c.Timeout = 500 * time.Millisecond })
	seen := 0
	for a, err := range shop.Tries(t.Context(), http.MethodPost, "/purchase?code=C") {
		if seen++; seen == 1 && (!errors.Is(err, context.DeadlineExceeded) || a.Status != 0 || a.Took < 500*time.Millisecond) {
			t.Errorf("%+v, %v", a, err)
		}
	}
	<-gone
	if seen < 2 {
		t.Error("it was not asked again")
	}
}

func TestReads(t *testing.T) {
	list := `[{"id":3,"stock":9,"sold":9,"state":"open"},{"id":2,"stock":9,"sold":4,"state":"open","first_item":10,"last_item":18,"user_limit":2,"opens_at":"2026-01-01T00:00:00Z"}]`
	sales := map[string]string{
		"/sales": list, "/sales?limit=5": list, "/sales/2": `{"id":2,"stock":9,"state":"sold_out"}`,
	}
	shop := shopAt(t, func(w http.ResponseWriter, r *http.Request) {
		switch body, found := sales[r.RequestURI]; {
		case found:
			fmt.Fprint(w, body)
		case r.Method == http.MethodGet && r.RequestURI == "/purchase?code=C":
			fmt.Fprint(w, soldBody)
		case r.Method == http.MethodPost && r.RequestURI == "/checkout?user_id=a+b&id=17":
			fmt.Fprint(w, `{"code":"AQ-_","item":17,"sale":1,"user_id":"a b","expires":"2026-01-01T01:00:00Z"}`)
		case r.RequestURI == "/moved":
			http.Redirect(w, r, "/sales", http.StatusSeeOther)
		default:
			problem(w, 404, "unknown-sale", "")
		}
	})
	ctx := t.Context()
	if s, err := shop.OpenSale(ctx); err != nil || s.ID != 2 || s.FirstItem != 10 || s.LastItem != 18 || s.UserLimit != 2 {
		t.Errorf("%+v, %v", s, err)
	}
	if l, err := shop.Sales(ctx, 5); err != nil || len(l) != 2 {
		t.Errorf("%+v, %v", l, err)
	}
	if s, err := shop.Sale(ctx, 2); err != nil || s.State != "sold_out" {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := shop.Sale(ctx, 4); !errors.Is(err, client.ErrUnknownSale) {
		t.Errorf("%v", err)
	}
	if d, err := shop.Decision(ctx, "C"); err != nil || d.Item != 17 {
		t.Errorf("%+v, %v", d, err)
	}
	if c, err := shop.Checkout(ctx, "a b", 17); err != nil || c.Code != "AQ-_" || c.Expires.Hour() != 1 {
		t.Errorf("%+v, %v", c, err)
	}
	if a, err := shop.Do(ctx, http.MethodGet, "/moved"); err != nil || a.Status != http.StatusSeeOther {
		t.Errorf("a redirect was followed: %d, %v", a.Status, err)
	}
	sales["/sales"] = `[]`
	if _, err := shop.OpenSale(ctx); !errors.Is(err, client.ErrNoOpenSale) {
		t.Errorf("%v", err)
	}
}

func TestNewRefusesNonsense(t *testing.T) {
	for _, cfg := range []client.Config{
		{},
		{Base: "localhost:8080"},
		{Base: "ftp://localhost"},
		{Base: "http://"},
		{Base: "http://h?q=1"},
		{Base: "http://h:\x00"},
		{Base: "http://h", Timeout: -1},
		{Base: "http://h", MinPause: time.Minute},
	} {
		if _, err := client.New(cfg); err == nil {
			t.Errorf("%+v was accepted", cfg)
		}
	}
}
