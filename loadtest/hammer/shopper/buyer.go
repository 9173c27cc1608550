package shopper

import (
	"context"
	"net/http"
	"time"

	"notsale/pkg/client"
)

// Outcome is where one attempt to buy one item ended.
type Outcome struct {
	Item   int64
	User   string
	Code   string // empty: the checkout was refused
	Status int    // the last answer's, from purchase if there is a code; 0: none became final
	Body   []byte // kept of a sale, and of an answer that should not be
}

// Granted says whether the item was sold to the user.
func (o *Outcome) Granted() bool { return o.Code != "" && o.Status == http.StatusOK }

// tally is what one buyer saw of one endpoint.
type tally struct {
	statuses  map[int]int // 0: no answer came
	latencies []time.Duration
	lastError error
}

// buyer is one shopper at a time: it holds one connection and what was seen
// over it. It is for one goroutine.
type buyer struct {
	shop     *client.Client
	checkout tally
	purchase tally
	journeys []time.Duration // from checkout to the final answer
	outcomes []Outcome
}

func newBuyer(cfg *Config) (*buyer, error) {
	shop, err := client.New(client.Config{Base: cfg.Target, Timeout: cfg.Timeout, MaxPause: maxPause, Transport: &Transport{}})
	return &buyer{shop: shop, checkout: tally{statuses: map[int]int{}}, purchase: tally{statuses: map[int]int{}}}, err
}

// buy takes one user through checkout and purchase of one item.
func (b *buyer) buy(ctx context.Context, user string, item int64) Outcome {
	start := time.Now()
	o := Outcome{Item: item, User: user}
	a := b.doCheckout(ctx, user, item)
	if o.Status = a.Status; o.Status == http.StatusOK {
		if o.Code = a.Code(); o.Code == "" {
			o.Status = 0 // says nothing a shopper can use
		} else {
			a = b.doPurchase(ctx, o.Code)
			o.Status = a.Status
		}
	}
	if o.Status == 0 || o.Granted() || !purchaseAllows[o.Status] {
		o.Body = a.Body
	}
	b.journeys = append(b.journeys, time.Since(start))
	b.outcomes = append(b.outcomes, o)
	return o
}

func (b *buyer) doCheckout(ctx context.Context, user string, item int64) client.Answer {
	return b.final(ctx, &b.checkout, client.CheckoutTarget(user, item))
}

func (b *buyer) doPurchase(ctx context.Context, code string) client.Answer {
	return b.final(ctx, &b.purchase, client.PurchaseTarget(code))
}

// final posts until the answer is final, and returns the zero Answer if none came
// before ctx ended. A request that the end of ctx cut off does not count.
func (b *buyer) final(ctx context.Context, t *tally, target string) client.Answer {
	for a, err := range b.shop.Tries(ctx, http.MethodPost, target) {
		if err != nil && ctx.Err() != nil {
			break
		}
		t.statuses[a.Status]++
		t.latencies = append(t.latencies, a.Took)
		if err != nil {
			t.lastError = err
		}
		if a.Final() {
			return a
		}
	}
	return client.Answer{}
}
