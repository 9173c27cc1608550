package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// ErrNoOpenSale means that no sale has items left.
var ErrNoOpenSale = errors.New("no open sale")

// Checkout is a code and what it is for. It reserves nothing.
type Checkout struct {
	Code    string    `json:"code"`
	Item    int64     `json:"item"`
	Name    string    `json:"name"`
	Image   string    `json:"image"` // path of the item's picture
	Sale    int64     `json:"sale"`
	UserID  string    `json:"user_id"`
	Expires time.Time `json:"expires"`
}

// Sold is an item sold.
type Sold struct {
	Item     int64     `json:"item"`
	Name     string    `json:"name"`
	Sale     int64     `json:"sale"`
	UserID   string    `json:"user_id"`
	Position int64     `json:"position"` // in the queue of the sale
	Time     time.Time `json:"time"`     // of the decision
	Body     []byte    `json:"-"`        // as it came, the same whenever the code is asked
}

// Sale is a sale at the moment of the answer.
type Sale struct {
	ID        int64     `json:"id"`
	OpensAt   time.Time `json:"opens_at"`
	Stock     int       `json:"stock"`
	Sold      int       `json:"sold"`
	State     string    `json:"state"` // open, sold_out or archived
	FirstItem int64     `json:"first_item"`
	LastItem  int64     `json:"last_item"`
	UserLimit int       `json:"user_limit"`
}

// CheckoutTarget is the path and query of a checkout.
func CheckoutTarget(user string, item int64) string {
	return "/checkout?user_id=" + url.QueryEscape(user) + "&id=" + strconv.FormatInt(item, 10)
}

// PurchaseTarget is the path and query of a purchase, and of the question for its
// decision.
func PurchaseTarget(code string) string { return "/purchase?code=" + url.QueryEscape(code) }

// Checkout gets a code for one user and one item. Every try is a checkout of its own.
func (c *Client) Checkout(ctx context.Context, user string, item int64) (Checkout, error) {
	var got Checkout
	a, err := c.answered(ctx, CheckoutTarget(user, item))
	if err == nil {
		err = a.decode(&got)
	}
	if err == nil && got.Code == "" {
		err = errors.New("an answer without a code")
	}
	if err != nil {
		return Checkout{}, fmt.Errorf("checkout of item %d: %w", item, err)
	}
	return got, nil
}

// Purchase buys with a code. After an error that wraps ErrUnanswered it may still be
// decided; any other error is final.
func (c *Client) Purchase(ctx context.Context, code string) (Sold, error) {
	a, err := c.answered(ctx, PurchaseTarget(code))
	return sold(&a, err)
}

// Decision asks once what was decided about a code, and buys nothing. ErrUndecided:
// nothing, as far as the ledger knows; only another Purchase gives certainty.
func (c *Client) Decision(ctx context.Context, code string) (Sold, error) {
	a, err := c.Do(ctx, http.MethodGet, PurchaseTarget(code))
	return sold(&a, err)
}

func sold(a *Answer, err error) (Sold, error) {
	s := Sold{Body: a.Body}
	if err == nil {
		err = a.decode(&s)
	}
	if err != nil {
		return Sold{}, fmt.Errorf("purchase: %w", err)
	}
	return s, nil
}

// Sale asks once for a sale.
func (c *Client) Sale(ctx context.Context, id int64) (Sale, error) {
	var s Sale
	err := c.read(ctx, "/sales/"+strconv.FormatInt(id, 10), &s)
	return s, err
}

// Sales asks once for the newest sales, newest first, at most limit (0: as many as
// the shop gives at once).
func (c *Client) Sales(ctx context.Context, limit int) ([]Sale, error) {
	target := "/sales"
	if limit > 0 {
		target += "?limit=" + strconv.Itoa(limit)
	}
	var list []Sale
	err := c.read(ctx, target, &list)
	return list, err
}

// OpenSale asks once for the newest sale with items left, among the newest.
func (c *Client) OpenSale(ctx context.Context) (Sale, error) {
	list, err := c.Sales(ctx, 0)
	if err != nil {
		return Sale{}, err
	}
	for _, s := range list {
		if s.State == "open" && s.Sold < s.Stock {
			return s, nil
		}
	}
	return Sale{}, ErrNoOpenSale
}

func (c *Client) read(ctx context.Context, target string, into any) error {
	a, err := c.Do(ctx, http.MethodGet, target)
	if err == nil {
		err = a.decode(into)
	}
	if err != nil {
		return fmt.Errorf("GET %s: %w", target, err)
	}
	return nil
}
