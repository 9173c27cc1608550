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

	o *Options

	mu     sync.Mutex
	grants []grant       // a sample of all; guarded by mu
	seen   int           // guarded by mu
	unsold []client.Sale // guarded by mu
	rng    *rand.Rand    // guarded by mu
}

func (o *Options) traffic(h *house) *traffic {
	return &traffic{house: h, o: o, rng: rand.New(rand.NewPCG(o.Seed, 1))} //nolint:gosec // repeatable, no secret
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
	} else if n := t.rng.IntN(t.seen); n < keptGrants {
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
// none yet, and a random number.
func (t *traffic) pick() (g grant, of client.Sale, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.grants) > 0 {
		g = t.grants[t.rng.IntN(len(t.grants))]
	}
	if len(t.unsold) > 0 {
		of = t.unsold[t.rng.IntN(len(t.unsold))]
	}
	return g, of, t.rng.IntN(1 << 30)
}

// visitor goes to any edge.
type visitor struct {
	*traffic

	shops []*client.Client
}

func (t *traffic) visitor() *visitor {
	v := &visitor{traffic: t}
	for _, address := range t.front {
		v.shops = append(v.shops, t.shop(address))
	}
	return v
}

func (v *visitor) close() {
	for _, s := range v.shops {
		s.Close()
	}
}

// ask posts to any edge; status 0: no answer came.
func (v *visitor) ask(ctx context.Context, kind, target string, n int) client.Answer {
	a, err := v.shops[n%len(v.shops)].Do(ctx, http.MethodPost, target)
	if a.Status >= http.StatusInternalServerError && a.Status != http.StatusServiceUnavailable {
		v.wrongf("%s got %d %s (%v)", kind, a.Status, a.Body, err)
	}
	return a
}

// run does one thing again and again until ctx ends.
func (t *traffic) run(ctx context.Context, pause time.Duration, do func(*visitor)) {
	v := t.visitor()
	defer v.close()
	for ctx.Err() == nil {
		do(v)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// beside starts what comes beside the sell-outs, until ctx ends.
func (t *traffic) beside(ctx context.Context, wait *sync.WaitGroup) {
	wait.Go(func() { t.run(ctx, repeatPause, func(v *visitor) { v.repeat(ctx) }) })
	wait.Go(func() { t.run(ctx, badPause, func(v *visitor) { v.nonsense(ctx) }) })
	wait.Go(func() { t.run(ctx, oldPause, func(v *visitor) { v.old(ctx) }) })
}

// repeat sends a granted code again.
func (v *visitor) repeat(ctx context.Context) {
	g, _, n := v.pick()
	if g.code == "" {
		return
	}
	resp := v.ask(ctx, "repeat", client.PurchaseTarget(g.code), n)
	if resp.Final() && (resp.Status != http.StatusOK || !bytes.Equal(resp.Body, g.body)) {
		v.wrongf("a granted code got %d %s, before: %s", resp.Status, resp.Body, g.body)
	}
}

// nonsense sends what must be refused.
func (v *visitor) nonsense(ctx context.Context) {
	_, _, n := v.pick()
	targets := []struct {
		target string
		status int
	}{
		{"/checkout?user_id=u&id=" + strconv.Itoa(1<<40+n), http.StatusNotFound},
		{"/checkout?user_id=u&id=x" + strconv.Itoa(n), http.StatusBadRequest},
		{"/checkout?user_id=" + url.QueryEscape(fmt.Sprintf("two words %d", n)) + "&id=1", http.StatusBadRequest},
		{"/purchase?code=AQ" + strconv.Itoa(n), http.StatusBadRequest},
	}
	t := targets[n/2%len(targets)]
	if resp := v.ask(ctx, "bad", t.target, n); resp.Final() && resp.Status != t.status {
		v.wrongf("%s got %d %s, want %d", t.target, resp.Status, resp.Body, t.status)
	}
}

// old buys an item of an unsold sale, where one is left to buy.
func (v *visitor) old(ctx context.Context) {
	_, of, n := v.pick()
	if of.ID == 0 {
		return
	}
	v.buy(ctx, of, n)
}

// buy tries to buy any item of a sale.
func (v *visitor) buy(ctx context.Context, of client.Sale, n int) {
	item := of.FirstItem + int64(n)%int64(of.Stock)
	checkout := v.ask(ctx, "old checkout", client.CheckoutTarget(fmt.Sprintf("old-%d", n), item), n)
	code := checkout.Code()
	switch {
	case !checkout.Final(), checkout.Status == http.StatusConflict, checkout.Status == http.StatusGone:
		return
	case checkout.Status != http.StatusOK || code == "":
		v.wrongf("a checkout of item %d got %d %s", item, checkout.Status, checkout.Body)
		return
	}
	switch resp := v.ask(ctx, "old purchase", client.PurchaseTarget(code), n); {
	case resp.Status == http.StatusOK:
		v.keep(code, resp.Body)
	case resp.Final() && resp.Status != http.StatusConflict && resp.Status != http.StatusGone:
		v.wrongf("a purchase of item %d got %d %s", item, resp.Status, resp.Body)
	}
}
