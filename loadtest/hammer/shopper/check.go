package shopper

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

const (
	// sampleSize is how many granted, and how many refused, codes are asked again.
	sampleSize = 200
	settlePoll = 20 * time.Millisecond

	limitWords = "User has reached the maximum of %d items per sale"
)

// The answers that a well-formed request may get. 0, a lost connection, is
// none of them, but is retried and not held against the answers.
var (
	checkoutAllows = map[int]bool{200: true, 409: true, 410: true, 429: true, 503: true}
	purchaseAllows = map[int]bool{200: true, 202: true, 409: true, 410: true, 429: true, 503: true}
)

// Verdict is the result of one check.
type Verdict struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

// Check judges a run, and asks the system some more to do so. An error in
// asking makes its check fail.
func Check(ctx context.Context, res *Result) []Verdict {
	b, err := newBuyer(&res.Config)
	if err != nil {
		return []Verdict{{Name: "target", Detail: err.Error()}}
	}
	defer b.shop.Close()
	var verdicts []Verdict
	check := func(name, ok string, err error) {
		v := Verdict{Name: name, OK: err == nil, Detail: ok}
		if err != nil {
			v.Detail = err.Error()
		}
		verdicts = append(verdicts, v)
	}
	granted, err := parseGrants(res)
	check("every 200 is a sale", fmt.Sprintf("%d sales", len(granted)), err)
	check("every answer is one of the allowed", fmt.Sprintf("%d requests", res.Checkout.Requests+res.Purchase.Requests), res.checkStatuses())
	check("every request got a final answer", fmt.Sprintf("%d attempts to buy", len(res.Outcomes)), res.checkFinal())
	check("every 200 names a distinct item and position", fmt.Sprintf("%d items", len(granted)), checkDistinct(granted))
	check("nobody is over the limit", fmt.Sprintf("limit %d, %d users", res.Config.Limit, res.Users), res.checkLimit())
	check("exactly the stock is sold", fmt.Sprintf("%d of %d", res.Sale.Stock, res.Sale.Stock), res.checkStock(ctx, b))
	check("a fresh code is refused with 410", fmt.Sprintf("%d held codes, 1 new checkout", len(res.held)), res.checkSoldOut(ctx, b))
	n, err := res.checkRetries(ctx, b)
	check("a retried code gets the same answer", fmt.Sprintf("%d codes", n), err)
	return verdicts
}

// grant is what the body of a sale says.
type grant struct {
	Message  string `json:"message"`
	Status   string `json:"status"`
	Item     int64  `json:"item"`
	Position int64  `json:"position"`
}

func parseGrants(res *Result) ([]grant, error) {
	var grants []grant
	var errs []error
	for i := range res.Outcomes {
		o := &res.Outcomes[i]
		if !o.Granted() {
			continue
		}
		var g grant
		err := json.Unmarshal(o.Body, &g)
		if err == nil && (g.Message != "Purchase successful" || g.Status != "success" || g.Item != o.Item) {
			err = fmt.Errorf("asked for item %d", o.Item)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%.200s: %w", o.Body, err))
		}
		grants = append(grants, g)
	}
	return grants, first(errs)
}

func (r *Result) checkStatuses() error {
	var errs []error
	for status, n := range r.Checkout.Statuses {
		if status != 0 && !checkoutAllows[status] {
			errs = append(errs, fmt.Errorf("checkout answered %d (%d times)", status, n))
		}
	}
	for status, n := range r.Purchase.Statuses {
		if status != 0 && !purchaseAllows[status] {
			errs = append(errs, fmt.Errorf("purchase answered %d (%d times)", status, n))
		}
	}
	for i := range r.Outcomes {
		if o := &r.Outcomes[i]; len(o.Body) > 0 && !o.Granted() {
			errs = append(errs, fmt.Errorf("for example: %d %.200s", o.Status, o.Body))
			break
		}
	}
	return errors.Join(errs...)
}

func (r *Result) checkFinal() error {
	n := 0
	for i := range r.Outcomes {
		if r.Outcomes[i].Status == 0 {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d got none %s%s", n, len(r.Outcomes), r.Checkout.LastError, r.Purchase.LastError)
}

func checkDistinct(grants []grant) error {
	items, positions := make(map[int64]bool, len(grants)), make(map[int64]bool, len(grants))
	var errs []error
	for _, g := range grants {
		if items[g.Item] {
			errs = append(errs, fmt.Errorf("item %d was sold twice", g.Item))
		}
		if positions[g.Position] {
			errs = append(errs, fmt.Errorf("position %d was granted twice", g.Position))
		}
		items[g.Item], positions[g.Position] = true, true
	}
	return first(errs)
}

func (r *Result) checkLimit() error {
	bought := map[string]int{}
	var errs []error
	for i := range r.Outcomes {
		o := &r.Outcomes[i]
		if !o.Granted() {
			continue
		}
		if bought[o.User]++; bought[o.User] == r.Config.Limit+1 {
			errs = append(errs, fmt.Errorf("user %s bought more than %d", o.User, r.Config.Limit))
		}
	}
	return first(errs)
}

// checkStock compares the sales that were told with those that the system
// counts, which it may do a moment later.
func (r *Result) checkStock(ctx context.Context, b *buyer) error {
	told := r.Sale.Sold + r.Granted()
	if told != r.Sale.Stock {
		return fmt.Errorf("%d sold before the run and %d in it, of %d", r.Sale.Sold, r.Granted(), r.Sale.Stock)
	}
	return retry(ctx, r.settled(), func() error {
		s, err := b.shop.Sale(ctx, r.Sale.ID)
		if err == nil && (s.Sold != s.Stock || s.State != "sold_out") {
			err = fmt.Errorf("/sales/%d says %d sold of %d, %q", s.ID, s.Sold, s.Stock, s.State)
		}
		return err
	})
}

// settled is the time from which all answers must be those of a sold-out sale.
func (r *Result) settled() time.Time { return time.Now().Add(r.Config.Settle) }

// retry tries until there is no error, and for the last time at the deadline.
func retry(ctx context.Context, deadline time.Time, try func() error) error {
	for {
		err := try()
		if err == nil || time.Now().After(deadline) || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(settlePoll):
		}
	}
}

// checkSoldOut buys in the sold-out sale. For a moment, or as long as the cache was
// away, the refusal may name the item's owner instead.
func (r *Result) checkSoldOut(ctx context.Context, b *buyer) error {
	var errs []error
	deadline := r.settled()
	gone := func(what string, try func() (status int, body []byte)) {
		err := retry(ctx, deadline, func() error {
			if status, body := try(); status != http.StatusGone {
				return fmt.Errorf("%s: got %d %.200s", what, status, body)
			}
			return nil
		})
		if err != nil {
			errs = append(errs, err)
		}
	}
	for i := range r.held {
		o := &r.held[i]
		if o.Code == "" {
			errs = append(errs, fmt.Errorf("no code could be had before the run: checkout answered %d", o.Status))
			continue
		}
		gone("a code from before the run", func() (int, []byte) {
			resp := b.doPurchase(ctx, o.Code)
			return resp.Status, resp.Body
		})
	}
	gone("a new code", func() (int, []byte) {
		o := b.buy(ctx, "hammer-"+r.Config.RunID+"-fresh", r.Sale.FirstItem)
		return o.Status, o.Body
	})
	return first(errs)
}

// checkRetries asks a sample of granted codes again, for the same body, and
// a sample of refused ones, which must stay refused. It returns how many.
func (r *Result) checkRetries(ctx context.Context, b *buyer) (int, error) {
	var errs []error
	granted, refused := 0, 0
	for i := range r.Outcomes {
		o := &r.Outcomes[i]
		switch {
		case o.Granted() && granted < sampleSize:
			granted++
			if resp := b.doPurchase(ctx, o.Code); resp.Status != o.Status || !bytes.Equal(resp.Body, o.Body) {
				errs = append(errs, fmt.Errorf("first %d %.200s, then %d %.200s", o.Status, o.Body, resp.Status, resp.Body))
			}
		case o.Code != "" && o.Status >= 400 && refused < sampleSize:
			refused++
			if err := r.checkRefusedAgain(ctx, b, o); err != nil {
				errs = append(errs, err)
			}
		}
	}
	return granted + refused, first(errs)
}

func (r *Result) checkRefusedAgain(ctx context.Context, b *buyer, o *Outcome) error {
	resp := b.doPurchase(ctx, o.Code)
	words := fmt.Appendf(nil, limitWords, r.Config.Limit)
	if resp.Status < 400 || resp.Status >= 500 ||
		(resp.Status == http.StatusTooManyRequests && !bytes.Contains(resp.Body, words)) {
		return fmt.Errorf("first %d, then %d %.200s", o.Status, resp.Status, resp.Body)
	}
	return nil
}

// first returns the first error, and how many more there are.
func first(errs []error) error {
	if len(errs) < 2 {
		return errors.Join(errs...)
	}
	return fmt.Errorf("%w (and %d more)", errs[0], len(errs)-1)
}
