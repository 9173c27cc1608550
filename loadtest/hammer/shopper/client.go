package shopper

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"
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

// tally is what one client saw of one endpoint.
type tally struct {
	statuses  map[int]int // 0: no answer came
	latencies []time.Duration
	lastError error
}

func (t *tally) record(status int, took time.Duration, err error) {
	t.statuses[status]++
	t.latencies = append(t.latencies, took)
	if err != nil {
		t.lastError = err
	}
}

// client is one shopper at a time: it holds one connection and what was seen
// over it. It is for one goroutine.
type client struct {
	conn     *Conn
	rng      *rand.Rand
	target   []byte
	checkout tally
	purchase tally
	journeys []time.Duration // from checkout to the final answer
	outcomes []Outcome
}

func newClient(cfg *Config, n int) (*client, error) {
	conn, err := NewConn(cfg.Target, cfg.Timeout)
	if err != nil {
		return nil, err
	}
	return &client{
		conn:     conn,
		rng:      rand.New(rand.NewPCG(cfg.Seed, uint64(n))), //nolint:gosec // spreads retries, guards nothing
		checkout: tally{statuses: map[int]int{}},
		purchase: tally{statuses: map[int]int{}},
	}, nil
}

// shop takes one user through checkout and purchase of one item.
func (c *client) shop(ctx context.Context, user string, item int64) Outcome {
	start := time.Now()
	o := Outcome{Item: item, User: user}
	resp := c.doCheckout(ctx, user, item)
	if o.Status = resp.Status; o.Status == http.StatusOK {
		if o.Code = parseCode(resp.Body); o.Code == "" {
			o.Status = 0 // says nothing a shopper can use
		} else {
			resp = c.doPurchase(ctx, o.Code)
			o.Status = resp.Status
		}
	}
	if o.Status == 0 || o.Granted() || !purchaseAllows[o.Status] {
		o.Body = bytes.Clone(resp.Body)
	}
	c.journeys = append(c.journeys, time.Since(start))
	c.outcomes = append(c.outcomes, o)
	return o
}

func (c *client) doCheckout(ctx context.Context, user string, item int64) Response {
	c.target = append(c.target[:0], "/checkout?user_id="...)
	c.target = append(c.target, url.QueryEscape(user)...)
	c.target = append(c.target, "&id="...)
	c.target = strconv.AppendInt(c.target, item, 10)
	return c.final(ctx, &c.checkout)
}

func (c *client) doPurchase(ctx context.Context, code string) Response {
	c.target = append(c.target[:0], "/purchase?code="...)
	c.target = append(c.target, url.QueryEscape(code)...)
	return c.final(ctx, &c.purchase)
}

// final posts c.target until the answer is final, and returns the zero
// Response if none came in maxTries or before ctx ended.
func (c *client) final(ctx context.Context, t *tally) Response {
	target := string(c.target)
	for try := range maxTries {
		start := time.Now()
		resp, err := c.conn.Do(ctx, http.MethodPost, target)
		if err != nil {
			resp = Response{}
		}
		if ctx.Err() != nil && err != nil {
			return Response{} // cut off by the end of the run, no failure of the server
		}
		t.record(resp.Status, time.Since(start), err)
		if err == nil && !retryable(&resp) {
			return resp
		}
		if !pause(ctx, c.backoff(try, resp.RetryAfter)) {
			break
		}
	}
	return Response{}
}

// retryable tells answers that say "later" from final ones. A refusal by the
// limit is a 429 without Retry-After, one by rate has it.
func retryable(r *Response) bool {
	switch r.Status {
	case http.StatusAccepted, http.StatusServiceUnavailable:
		return true
	case http.StatusTooManyRequests:
		return r.RetryAfter > 0
	default:
		return false
	}
}

// backoff honours Retry-After; else it doubles, with jitter.
func (c *client) backoff(try int, retryAfter time.Duration) time.Duration {
	if retryAfter > 0 {
		return min(retryAfter, maxRetryAfter)
	}
	d := min(minBackoff<<min(try, 10), maxBackoff)
	return d/2 + time.Duration(c.rng.Int64N(int64(d/2)))
}

func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// parseCode takes the code out of a checkout's answer without decoding it
// all: codes are URL-safe, so nothing in them is escaped.
func parseCode(body []byte) string {
	_, rest, ok := bytes.Cut(body, []byte(`"code":"`))
	code, _, end := bytes.Cut(rest, []byte{'"'})
	if !ok || !end {
		return ""
	}
	return string(code)
}
