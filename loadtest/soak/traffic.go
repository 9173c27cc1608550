//go:build unix

package soak

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"notsale/loadtest/hammer/shopper"
	"notsale/pkg/client"
)

// Pace of the traffic beside the sell-outs.
const (
	requestTime  = 15 * time.Second
	repeatPause  = 20 * time.Millisecond // between two repeats of granted codes
	badPause     = 20 * time.Millisecond // between two bad requests
	oldPause     = time.Second           // between two purchases in old unsold sales
	keptGrants   = 5000                  // codes that are repeated, of all sales together
	contention   = 1                     // rivals per item
	unsoldBuyers = 20                    // items that are bought of a sale that stays unsold
)

// grant is a code that was sold, and what was said then.
type grant struct {
	code string
	body []byte
}

// traffic is what comes from outside.
type traffic struct {
	*house

	mu     sync.Mutex
	grants []grant       // a sample of all; guarded by mu
	seen   int           // guarded by mu
	unsold []client.Sale // guarded by mu
}

// sellOut sells a sale out and returns what must be checked once all is healed.
func (t *traffic) sellOut(ctx context.Context, of int64) (*shopper.Result, error) {
	cfg := shopper.DefaultConfig()
	cfg.Target = "http://" + t.front[of%int64(len(t.front))]
	cfg.Sale, cfg.Clients, cfg.Contention, cfg.Limit = of, clients, contention, userLimit
	cfg.Timeout, cfg.Seed, cfg.RunID = requestTime, uint64(of), strconv.FormatInt(of, 10)
	res, err := shopper.Run(ctx, cfg)
	if err != nil {
		return nil, err
	}
	for i := range res.Outcomes {
		if o := &res.Outcomes[i]; o.Granted() {
			t.keep(o.Code, o.Body)
		}
	}
	return res, nil
}

// keep takes a grant into the sample, in which each of all has the same chance.
func (t *traffic) keep(code string, body []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seen++
	g := grant{code, bytes.Clone(body)}
	if len(t.grants) < keptGrants {
		t.grants = append(t.grants, g)
	} else if n := random(t.seen); n < keptGrants {
		t.grants[n] = g
	}
}

// leave makes a sale one of the unsold, of which an item is bought now and then.
func (t *traffic) leave(of client.Sale) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unsold = append(t.unsold, of)
}

func (t *traffic) left() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.unsold)
}

// pick returns a random grant and a random unsold sale, empty where there are
// none yet.
func (t *traffic) pick() (g grant, of client.Sale) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.grants) > 0 {
		g = t.grants[random(len(t.grants))]
	}
	if len(t.unsold) > 0 {
		of = t.unsold[random(len(t.unsold))]
	}
	return g, of
}

func random(n int) int { return rand.IntN(n) } //nolint:gosec // no secret

// ask posts to any edge; status 0: no answer came.
func (t *traffic) ask(ctx context.Context, kind, target string) client.Answer {
	a, err := t.shop.Do(ctx, http.MethodPost, target)
	if a.Status >= http.StatusInternalServerError && a.Status != http.StatusServiceUnavailable {
		t.wrongf("%s got %d %s (%v)", kind, a.Status, a.Body, err)
	}
	return a
}

// beside starts what comes beside the sell-outs, until ctx ends.
func (t *traffic) beside(ctx context.Context, wait *sync.WaitGroup) {
	again := func(pause time.Duration, do func(context.Context)) {
		wait.Go(func() {
			for ctx.Err() == nil {
				do(ctx)
				select {
				case <-ctx.Done():
				case <-time.After(pause):
				}
			}
		})
	}
	again(repeatPause, t.repeat)
	again(badPause, t.nonsense)
	again(oldPause, t.old)
}

// repeat sends a granted code again.
func (t *traffic) repeat(ctx context.Context) {
	g, _ := t.pick()
	if g.code == "" {
		return
	}
	resp := t.ask(ctx, "repeat", client.PurchaseTarget(g.code))
	if resp.Final() && (resp.Status != http.StatusOK || !bytes.Equal(resp.Body, g.body)) {
		t.wrongf("a granted code got %d %s, before: %s", resp.Status, resp.Body, g.body)
	}
}

// nonsense sends what must be refused.
func (t *traffic) nonsense(ctx context.Context) {
	n := random(1 << 30)
	targets := []struct {
		target string
		status int
	}{
		{"/checkout?user_id=u&id=" + strconv.Itoa(1<<40+n), http.StatusNotFound},
		{"/checkout?user_id=u&id=x" + strconv.Itoa(n), http.StatusBadRequest},
		{"/checkout?user_id=" + url.QueryEscape(fmt.Sprintf("two words %d", n)) + "&id=1", http.StatusBadRequest},
		{"/purchase?code=AQ" + strconv.Itoa(n), http.StatusBadRequest},
	}
	c := targets[n%len(targets)]
	if resp := t.ask(ctx, "bad", c.target); resp.Final() && resp.Status != c.status {
		t.wrongf("%s got %d %s, want %d", c.target, resp.Status, resp.Body, c.status)
	}
}

// old buys an item of an unsold sale, where one is left to buy.
func (t *traffic) old(ctx context.Context) {
	_, of := t.pick()
	if of.ID == 0 {
		return
	}
	t.buy(ctx, of)
}

// buy tries to buy any item of a sale.
func (t *traffic) buy(ctx context.Context, of client.Sale) {
	n := random(1 << 30)
	item := of.FirstItem + int64(n)%int64(of.Stock)
	checkout := t.ask(ctx, "old checkout", client.CheckoutTarget(fmt.Sprintf("old-%d", n), item))
	code := checkout.Code()
	switch {
	case !checkout.Final(), checkout.Status == http.StatusConflict, checkout.Status == http.StatusGone:
		return
	case checkout.Status != http.StatusOK || code == "":
		t.wrongf("a checkout of item %d got %d %s", item, checkout.Status, checkout.Body)
		return
	}
	switch resp := t.ask(ctx, "old purchase", client.PurchaseTarget(code)); {
	case resp.Status == http.StatusOK:
		t.keep(code, resp.Body)
	case resp.Final() && resp.Status != http.StatusConflict && resp.Status != http.StatusGone:
		t.wrongf("a purchase of item %d got %d %s", item, resp.Status, resp.Body)
	}
}
