//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"notsale/loadtest/hammer/shopper"
	"notsale/loadtest/process"
	"notsale/pkg/client"
)

const (
	// completeTime bounds the wait for ledger and attempts after a run.
	completeTime = time.Minute
	completePoll = 2 * time.Millisecond

	// longFactor makes a bare run long enough to be a steady figure: its
	// sell-out of 10,000 items is over in a fraction of a second, and was seen
	// to vary threefold from run to run.
	longFactor = 10

	attemptsMetric = "notsale_recorder_attempts_recorded_total"
)

// figures of one run. The zero time means not measured.
type figures struct {
	requestsPerSecond float64
	wall              time.Duration
	checkout          shopper.Latency
	purchase          shopper.Latency
	long              float64       // requests/s of the bare handler over longFactor times as many requests
	ledger            time.Duration // from the first request until /sales/{id} counts all sales
	attempts          time.Duration // from the first request until all attempts are in the ledger
}

func newFigures(res *shopper.Result) figures {
	return figures{
		requestsPerSecond: res.RequestsPerSecond(),
		wall:              res.Wall,
		checkout:          res.Checkout.Latency,
		purchase:          res.Purchase.Latency,
	}
}

// measureBare sends the requests of a sell-out to the bare handler.
func (o *options) measureBare(ctx context.Context) (f figures, err error) {
	listen := process.FreeAddress()
	self, err := os.Executable()
	if err != nil {
		return figures{}, err
	}
	if err := pause(ctx, o.rest); err != nil {
		return figures{}, err
	}
	p, err := start(ctx, listen, self,
		serveBareCommand, "--listen", listen, "--stock", strconv.Itoa(o.stock))
	if err != nil {
		return figures{}, err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	res, err := shopper.Run(ctx, o.shopper(p.url))
	if err != nil {
		return figures{}, err
	}
	if n := res.Granted(); n != o.stock {
		return figures{}, fmt.Errorf("the bare handler sold %d of %d items", n, o.stock)
	}
	f = newFigures(res)
	cfg := o.shopper(p.url)
	cfg.Contention = longFactor - 1
	if res, err = shopper.Run(ctx, cfg); err != nil {
		return figures{}, err
	}
	f.long = res.RequestsPerSecond()
	return f, nil
}

// measureSale sells out the first sale of a new installation.
func (o *options) measureSale(ctx context.Context, dir string) (f figures, err error) {
	listen, ops := process.FreeAddress(), process.FreeAddress()
	if err := pause(ctx, o.rest); err != nil {
		return figures{}, err
	}
	p, err := start(ctx, listen, o.notsale,
		"up", "--listen", listen, "--ops-listen", ops, "--data", filepath.Join(dir, "data"), "--sale-stock", strconv.Itoa(o.stock))
	if err != nil {
		return figures{}, err
	}
	defer func() {
		stopErr := p.stop()
		if err = errors.Join(err, stopErr); err != nil {
			err = errors.Join(err, p.said())
		}
	}()
	begin := time.Now()
	res, err := shopper.Run(ctx, o.shopper(p.url))
	if err != nil {
		return figures{}, err
	}
	f = newFigures(res)
	if err := f.awaitComplete(ctx, p.shop, ops, begin, res); err != nil {
		return figures{}, err
	}
	for _, v := range shopper.Check(ctx, res) {
		if !v.OK {
			return figures{}, fmt.Errorf("check failed: %s: %s", v.Name, v.Detail)
		}
	}
	return f, nil
}

// pause waits, or returns early with the reason why ctx ended.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// awaitComplete fills in when the ledger and the attempts were complete.
func (f *figures) awaitComplete(ctx context.Context, shop *client.Client, ops string, begin time.Time, res *shopper.Result) (err error) {
	ctx, cancel := context.WithTimeout(ctx, completeTime)
	defer cancel()
	f.ledger, err = until(ctx, begin, func() (bool, error) {
		s, err := shop.Sale(ctx, res.Sale.ID)
		return err == nil && s.Sold == s.Stock, err
	})
	if err != nil {
		return fmt.Errorf("the ledger is not complete: %w", err)
	}
	recorded := 0.0
	f.attempts, err = until(ctx, begin, func() (bool, error) {
		recorded = process.Metric(ops, attemptsMetric)
		return recorded >= float64(res.Attempts), nil
	})
	if err != nil {
		return fmt.Errorf("%.0f of %d attempts are recorded: %w", recorded, res.Attempts, err)
	}
	return nil
}

// until polls for done, and returns the time since begin.
func until(ctx context.Context, begin time.Time, done func() (bool, error)) (time.Duration, error) {
	tick := time.NewTicker(completePoll)
	defer tick.Stop()
	for {
		ok, err := done()
		if ok {
			return time.Since(begin), nil
		}
		select {
		case <-ctx.Done():
			return 0, errors.Join(ctx.Err(), err)
		case <-tick.C:
		}
	}
}
