//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"notsale/pkg/client"
	"notsale/pkg/effort"
	"notsale/services/servicetest"
)

// The client that users of the project take meets each answer of a real shop.
func TestClientOfUsers(t *testing.T) {
	t.Parallel()
	p := runUpToAsk(t, "--sale-stock", "4", "--user-limit", "2")
	p.FirstSale(t)
	shop, err := client.New(client.Config{Base: p.Base})
	if err != nil {
		t.Fatal(err)
	}
	defer shop.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*effort.Patience)
	defer cancel()

	of, err := shop.OpenSale(ctx)
	if err != nil || of.Stock != 4 || of.UserLimit != 2 || of.LastItem != of.FirstItem+3 {
		t.Fatalf("%+v, %v", of, err)
	}
	checkout := func(user string, item int64) string {
		t.Helper()
		c, err := shop.Checkout(ctx, user, item)
		if err != nil || c.Item != item || c.UserID != user || c.Sale != of.ID || c.Name == "" || c.Expires.Before(of.OpensAt) {
			t.Fatalf("%+v, %v", c, err)
		}
		return c.Code
	}
	codes := map[int]string{} // before the first purchase, after which the cache may refuse checkouts
	for n, who := range []string{"ann+1@example.com", "bob", "ann+1@example.com", "ann+1@example.com", "bob", "bob"} {
		codes[n] = checkout(who, of.FirstItem+[]int64{0, 0, 1, 2, 2, 3}[n])
	}
	if _, err := shop.Decision(ctx, codes[0]); !errors.Is(err, client.ErrUndecided) {
		t.Errorf("before the purchase: %v", err)
	}
	first, err := shop.Purchase(ctx, codes[0])
	if err != nil || first.Item != of.FirstItem || first.Sale != of.ID || first.Position != 1 || first.Time.Before(of.OpensAt) {
		t.Fatalf("%+v, %v", first, err)
	}
	for what, ask := range map[string]func(context.Context, string) (client.Sold, error){"again": shop.Purchase, "looked up": shop.Decision} {
		if s, err := ask(ctx, codes[0]); err != nil || !bytes.Equal(s.Body, first.Body) {
			t.Errorf("%s: %s, %v, first %s", what, s.Body, err, first.Body)
		}
	}
	for n, want := range []error{1: client.ErrItemTaken, 2: nil, 3: client.ErrLimitReached, 4: nil, 5: nil} {
		if n == 0 {
			continue
		}
		if _, err := shop.Purchase(ctx, codes[n]); !errors.Is(err, want) {
			t.Errorf("code %d: %v, want %v", n, err, want)
		}
	}
	servicetest.Eventually(t, "the sale says that it is sold out", func() bool {
		s, err := shop.Sale(ctx, of.ID)
		return err == nil && s.Sold == 4 && s.State == "sold_out"
	})
	servicetest.Eventually(t, "no sale is open", func() bool { _, err := shop.OpenSale(ctx); return errors.Is(err, client.ErrNoOpenSale) })
	for what, c := range map[string]struct{ got, want error }{
		"an item of no sale": {second(shop.Checkout(ctx, "ann", of.LastItem+10_000)), client.ErrUnknownItem},
		"no code":            {second(shop.Purchase(ctx, "AQ")), client.ErrInvalidCode},
		"a sale of no slot":  {second(shop.Sale(ctx, of.ID+10_000)), client.ErrUnknownSale},
	} {
		if !errors.Is(c.got, c.want) {
			t.Errorf("%s: %v, want %v", what, c.got, c.want)
		}
	}
}

func second[T any](_ T, err error) error { return err }
