package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// Behaviour of the simulated shoppers of `up --demo`.
const (
	demoShoppers = 200
	demoThink    = 2 * time.Second // longest pause between two purchases
	demoVisit    = 12              // purchases tried under one pseudonym
	demoReport   = 15 * time.Second
	demoTimeout  = 10 * time.Second
)

// demo counts what the shoppers were told.
type demo struct {
	base   string
	client *http.Client
	bought atomic.Int64
	missed atomic.Int64
	failed atomic.Int64
}

// runDemo lets 200 shoppers buy over HTTP until ctx ends.
func runDemo(ctx context.Context, base string, log *slog.Logger) {
	d := &demo{base: base, client: &http.Client{
		Timeout: demoTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: demoShoppers},
	}}
	var shoppers sync.WaitGroup
	for n := range demoShoppers {
		shoppers.Go(func() { d.shop(ctx, n) })
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

func (d *demo) shop(ctx context.Context, n int) {
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
	switch status, err := d.buy(ctx, user); {
	case ctx.Err() != nil:
	case errors.Is(err, errNoSale):
		d.missed.Add(1)
	case err != nil || status >= http.StatusInternalServerError:
		d.failed.Add(1)
	case status == http.StatusOK:
		d.bought.Add(1)
	default:
		d.missed.Add(1)
	}
}

type demoSale struct {
	State     string `json:"state"`
	FirstItem int64  `json:"first_item"`
	LastItem  int64  `json:"last_item"`
}

var errNoSale = errors.New("no sale is open")

// buy tries to buy any item of the newest open sale.
func (d *demo) buy(ctx context.Context, user string) (int, error) {
	var sales []demoSale
	if _, err := d.call(ctx, http.MethodGet, "/sales?limit=20", &sales); err != nil {
		return 0, err
	}
	for _, s := range sales {
		if s.State != "open" {
			continue
		}
		item := s.FirstItem + rand.N(s.LastItem-s.FirstItem+1) //nolint:gosec // a choice, no secret
		var checkout struct {
			Code string `json:"code"`
		}
		status, err := d.call(ctx, http.MethodPost, fmt.Sprintf("/checkout?user_id=%s&id=%d", user, item), &checkout)
		if err != nil || status != http.StatusOK {
			return status, err
		}
		return d.call(ctx, http.MethodPost, "/purchase?code="+url.QueryEscape(checkout.Code), nil)
	}
	return 0, errNoSale
}

func (d *demo) call(ctx context.Context, method, path string, into any) (int, error) {
	request, err := http.NewRequestWithContext(ctx, method, d.base+path, nil)
	if err != nil {
		return 0, err
	}
	response, err := d.client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && into != nil && response.StatusCode == http.StatusOK {
		err = json.Unmarshal(text, into)
	}
	return response.StatusCode, err
}
