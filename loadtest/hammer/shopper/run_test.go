package shopper_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"notsale/loadtest/hammer/shopper"
	"notsale/loadtest/hammer/shopper/shoppertest"
	"notsale/pkg/effort"
)

// sellOut runs against a server, and returns the names of the checks that failed.
func sellOut(t *testing.T, s *shoppertest.Server, change func(*shopper.Config)) (*shopper.Result, []string) {
	t.Helper()
	srv := httptest.NewServer(s.Handler())
	t.Cleanup(srv.Close)
	cfg := shopper.DefaultConfig()
	cfg.Target, cfg.Clients, cfg.Limit = srv.URL, 8, s.Limit
	cfg.Settle = 100 * time.Millisecond
	if change != nil {
		change(&cfg)
	}
	ctx, cancel := context.WithTimeout(t.Context(), effort.Patience)
	defer cancel()
	res, err := shopper.Run(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	var failed []string
	for _, v := range shopper.Check(ctx, res) {
		t.Logf("%v %s: %s", v.OK, v.Name, v.Detail)
		if !v.OK {
			failed = append(failed, v.Name)
		}
	}
	return res, failed
}

func TestSellsOutWithAsFewUsersAsPossible(t *testing.T) {
	s := &shoppertest.Server{Stock: 203, Limit: 10, First: 10001}
	res, failed := sellOut(t, s, nil)
	if failed != nil || s.Sold() != 203 || res.Users != 21 {
		t.Errorf("failed %v, sold %d to %d users", failed, s.Sold(), res.Users)
	}
	if res.Checkout.Requests != 203 || res.Purchase.Requests != 203 || res.Attempts != 206 {
		t.Errorf("%d checkouts, %d purchases, %d attempts", res.Checkout.Requests, res.Purchase.Requests, res.Attempts)
	}
	if l := res.Purchase.Latency; l.P50 <= 0 || l.P99 < l.P50 || l.Max < l.P99 || res.RequestsPerSecond() <= 0 {
		t.Errorf("latency %+v, %v requests/s", l, res.RequestsPerSecond())
	}
}

// With rivals and no user to spare, every user must end at the limit, and
// the home shoppers get users whom rivals have brought there.
func TestSellsOutUnderContention(t *testing.T) {
	s := &shoppertest.Server{Stock: 300, Limit: 3, First: 1}
	res, failed := sellOut(t, s, func(c *shopper.Config) { c.Contention = 3 })
	if failed != nil || s.Sold() != 300 {
		t.Errorf("failed %v, sold %d", failed, s.Sold())
	}
	if res.Purchase.Statuses[409] == 0 || res.Purchase.Statuses[429] == 0 {
		t.Errorf("nobody contended: %v", res.Purchase.Statuses)
	}
}

func TestRetriesUntilFinal(t *testing.T) {
	s := &shoppertest.Server{Stock: 100, Limit: 10, First: 1, Later: 5}
	res, failed := sellOut(t, s, func(c *shopper.Config) { c.Contention = 1 })
	if failed != nil {
		t.Errorf("failed %v", failed)
	}
	for _, status := range []int{0, 202, 503} {
		if res.Purchase.Statuses[status] == 0 {
			t.Errorf("no purchase met %d: %v", status, res.Purchase.Statuses)
		}
	}
}

func TestChecksNoticeFaults(t *testing.T) {
	for _, tt := range []struct {
		name       string
		fault      shoppertest.Fault
		contention int
		check      string
	}{
		{"sell twice", shoppertest.SellTwice, 2, "every 200 names a distinct item and position"},
		{"same position", shoppertest.SamePosition, 0, "every 200 names a distinct item and position"},
		{"no limit", shoppertest.NoLimit, 4, "nobody is over the limit"},
		{"undersell", shoppertest.Undersell, 0, "exactly the stock is sold"},
		{"miscount", shoppertest.Miscount, 0, "exactly the stock is sold"},
		{"forget", shoppertest.Forget, 0, "a retried code gets the same answer"},
		{"turncoat", shoppertest.Turncoat, 2, "a retried code gets the same answer"},
		{"other words", shoppertest.OtherWords, 4, "a retried code gets the same answer"},
		{"oversell", shoppertest.Oversell, 0, "a fresh code is refused with 410"},
		{"unknown", shoppertest.Unknown, 0, "every answer is one of the allowed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := &shoppertest.Server{Stock: 60, Limit: 2, First: 1, Fault: tt.fault}
			_, failed := sellOut(t, s, func(c *shopper.Config) { c.Contention = tt.contention })
			if !slices.Contains(failed, tt.check) {
				t.Errorf("failed only %q", failed)
			}
		})
	}
}

// untilPending ends the run with the first purchase that is told to wait.
type untilPending struct {
	http.ResponseWriter

	end func()
}

func (u *untilPending) WriteHeader(status int) {
	if status == http.StatusAccepted {
		u.end()
	}
	u.ResponseWriter.WriteHeader(status)
}

// When the time is up the run ends, and what is missing is not taken for a refusal.
func TestEndsWithTheContext(t *testing.T) {
	s := &shoppertest.Server{Stock: 20, Limit: 10, First: 1, Fault: shoppertest.NeverFinal}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	shop := s.Handler()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		shop.ServeHTTP(&untilPending{w, cancel}, r)
	}))
	defer srv.Close()
	cfg := shopper.DefaultConfig()
	cfg.Target, cfg.Clients, cfg.Settle = srv.URL, 2, 10*time.Millisecond
	res, err := shopper.Run(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	short, stop := context.WithTimeout(t.Context(), 300*time.Millisecond) // what it cannot ask in time has failed, too
	defer stop()
	var failed []string
	for _, v := range shopper.Check(short, res) {
		if !v.OK {
			failed = append(failed, v.Name)
		}
	}
	for _, want := range []string{"every request got a final answer", "exactly the stock is sold"} {
		if !slices.Contains(failed, want) {
			t.Errorf("failed %q, want also %q", failed, want)
		}
	}
}

func TestRunRefusesWhatCannotSucceed(t *testing.T) {
	s := &shoppertest.Server{Stock: 50, Limit: 10, First: 1}
	srv := httptest.NewServer(s.Handler())
	defer srv.Close()
	for name, change := range map[string]func(*shopper.Config){
		"users":  func(c *shopper.Config) { c.Users = 4 },
		"sale":   func(c *shopper.Config) { c.Sale = 2 },
		"memory": func(c *shopper.Config) { c.Users = 1 << 30 },
		"config": func(c *shopper.Config) { c.Clients, c.Limit, c.Timeout = 0, 0, 0 },
		"target": func(c *shopper.Config) { c.Target = "ftp://127.0.0.1" },
	} {
		cfg := shopper.DefaultConfig()
		cfg.Target = srv.URL
		change(&cfg)
		if _, err := shopper.Run(t.Context(), cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, failed := sellOut(t, &shoppertest.Server{Stock: 50, Limit: 10, First: 1, Fault: shoppertest.None}, nil); failed != nil {
		t.Error(failed)
	}
}
