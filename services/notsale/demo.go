package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"notsale/pkg/client"
)

// Behaviour of the simulated shoppers of `up --demo`.
const (
	demoShoppers = 200
	demoThink    = 2 * time.Second // longest pause between two purchases
	demoVisit    = 12              // purchases tried under one pseudonym
	demoReport   = 15 * time.Second
	demoTimeout  = 10 * time.Second // to get one item
)

// demo counts what the shoppers were told.
type demo struct {
	shop   *client.Client
	bought atomic.Int64
	missed atomic.Int64
	failed atomic.Int64
}

// runDemo lets 200 shoppers buy over HTTP until ctx ends.
func runDemo(ctx context.Context, base string, log *slog.Logger) {
	shop, err := client.New(client.Config{Base: base})
	if err != nil {
		log.Error("demo", "error", err)
		return
	}
	defer shop.Close()
	d := &demo{shop: shop}
	var shoppers sync.WaitGroup
	for n := range demoShoppers {
		shoppers.Go(func() { d.stay(ctx, n) })
	}
	report := time.NewTicker(demoReport)
	defer report.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-report.C:
			log.Info("demo", "bought", d.bought.Load(), "came too late", d.missed.Load(), "failed", d.failed.Load())
		}
	}
	shoppers.Wait()
}

func (d *demo) stay(ctx context.Context, n int) {
	for round := 0; ctx.Err() == nil; round++ {
		select {
		case <-ctx.Done():
			return
		case <-time.After(rand.N(demoThink)): //nolint:gosec // a pause, no secret
		}
		d.visit(ctx, fmt.Sprintf("demo-%d-%d", n, round/demoVisit))
	}
}

// visit tries to buy once, and counts. To find everything sold is no failure.
func (d *demo) visit(ctx context.Context, user string) {
	err := d.buy(ctx, user)
	refused, ok := errors.AsType[*client.Problem](err)
	switch {
	case ctx.Err() != nil:
	case err == nil:
		d.bought.Add(1)
	case errors.Is(err, client.ErrNoOpenSale), ok && refused.Status < http.StatusInternalServerError:
		d.missed.Add(1)
	default:
		d.failed.Add(1)
	}
}

// buy tries to buy any item of the newest sale that has some left.
func (d *demo) buy(ctx context.Context, user string) error {
	ctx, cancel := context.WithTimeout(ctx, demoTimeout)
	defer cancel()
	of, err := d.shop.OpenSale(ctx)
	if err != nil {
		return err
	}
	item := of.FirstItem + rand.N(of.LastItem-of.FirstItem+1) //nolint:gosec // a choice, no secret
	checkout, err := d.shop.Checkout(ctx, user, item)
	if err != nil {
		return err
	}
	_, err = d.shop.Purchase(ctx, checkout.Code)
	return err
}
