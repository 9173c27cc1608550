//go:build unix

package soak

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"notsale/loadtest/faults/cluster"
	"notsale/loadtest/hammer/shopper"
	"notsale/pkg/backends/backendstest"
	"notsale/pkg/client"
	"notsale/services/servicetest/audittest"
)

// Options say what a soak is like.
type Options struct {
	Length time.Duration // how long the shop runs: at least a slot
	Slot   time.Duration // from one sale to the next: enough for a sell-out, two faults and a look
	Stock  int           // items of a sale
	Unsold int           // each so many sales one is left unsold; at least 2
	Seed   uint64        // order of the faults
}

// DefaultOptions are two hours of sales of full size, of a minute each.
func DefaultOptions() Options {
	return Options{Length: 2 * time.Hour, Slot: time.Minute, Stock: 10_000, Unsold: 4, Seed: 1}
}

const (
	userLimit = 10 // items that a user may buy
	clients   = 4  // shoppers at once in a sell-out
)

// Run runs the shop, and fails the test for all that is not well.
func Run(t testing.TB, o Options) {
	t.Helper()
	a := cluster.New(t, cluster.Options{Stock: o.Stock, Limit: userLimit, Stores: []backendstest.Option{
		backendstest.Durable, backendstest.WithOwnPostgres, backendstest.WithOwnRedis,
	}})
	h := o.open(t, a)
	t.Cleanup(h.close)
	o.conclude(h, o.slots(h, &traffic{house: h}))
}

// slots runs the soak, slot by slot.
func (o *Options) slots(h *house, t *traffic) (samples []sample) {
	ctx, cancel := context.WithTimeout(h.t.Context(), o.Length)
	defer cancel()
	var beside sync.WaitGroup
	defer beside.Wait()
	t.beside(ctx, &beside)
	rng := rand.New(rand.NewPCG(o.Seed, 0)) //nolint:gosec // repeatable, no secret
	var deck []fault
	for last := int64(0); ; {
		of, opened := h.next(ctx, last, 2*o.Slot)
		if !opened {
			return samples
		}
		last = of.ID
		end := of.OpensAt.Add(o.Slot)
		deck = o.slotOf(ctx, h, t, of, end, rng, deck)
		s := h.look(of.ID, t.left())
		samples = append(samples, s)
		h.t.Logf("sale %d: %d unsold, %.0f streams, %.0f MiB reserved, %.0f sessions", of.ID, s.unsold, s.counts[countStreams], s.counts[countReserved], s.counts[countSessions])
	}
}

// next waits for a sale newer than the last; false: the soak is over.
func (h *house) next(ctx context.Context, last int64, patience time.Duration) (client.Sale, bool) {
	for deadline := time.Now().Add(patience); ctx.Err() == nil; {
		of, err := h.shop.OpenSale(ctx)
		if err == nil && of.ID > last {
			return of, true
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("no sale opened after sale %d within two slots: %v", last, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(lookPause):
		}
	}
	return client.Sale{}, false
}

// Pace of a slot.
const (
	lookPause  = 200 * time.Millisecond
	faultEvery = 3 * time.Second
	troubled   = 0.6 // part of a slot in which faults happen
	checkTime  = 2 * time.Minute
)

// slotOf sells one sale out, or leaves it, among faults, and checks it once
// they are over. It returns the faults that are still to come.
func (o *Options) slotOf(ctx context.Context, h *house, t *traffic, of client.Sale, end time.Time, rng *rand.Rand, deck []fault) []fault {
	trouble, heal := context.WithTimeout(ctx, time.Duration(troubled*float64(time.Until(end))))
	defer heal()
	var res *shopper.Result
	var sold sync.WaitGroup
	if of.ID%int64(o.Unsold) == 0 {
		sold.Go(func() { t.some(trouble, of) })
	} else {
		sold.Go(func() {
			var err error
			if res, err = t.sellOut(context.WithoutCancel(ctx), of.ID); err != nil {
				h.wrongf("sale %d could not be sold out: %v", of.ID, err)
			}
		})
	}
	deck = h.trouble(trouble, rng, deck, faultEvery)
	sold.Wait()
	if res != nil {
		checking, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkTime)
		defer cancel()
		for _, v := range shopper.Check(checking, res) {
			if !v.OK {
				h.wrongf("sale %d: %s: %s", of.ID, v.Name, v.Detail)
			}
		}
	}
	return deck
}

// some buys a few items of a sale, which stays unsold from then on.
func (t *traffic) some(ctx context.Context, of client.Sale) {
	for range unsoldBuyers {
		t.buy(ctx, of)
	}
	t.leave(of)
}

// quietSlots is after how many slots some sale must have been archived: by then the
// first has been old enough for some slots, each with an end without faults.
const quietSlots = 2 * (archiveAfter + 1)

// auditArchives audits every archive offline; there must be some.
func (h *house) auditArchives(some bool) {
	files, err := filepath.Glob(filepath.Join(h.archives, "*.notsale.tar"))
	if err != nil || some && len(files) == 0 {
		h.wrongf("no sale was archived: %v", err)
	}
	for _, file := range files {
		if ran := h.Run(context.WithoutCancel(h.t.Context()), "audit", "--archive", file); ran.Status != 0 {
			h.wrongf("audit of %s: status %d\n%s%s", filepath.Base(file), ran.Status, ran.Out, ran.Err)
		}
	}
	h.t.Logf("%d sales are archived", len(files))
}

// late is how long after its slot's beginning a sale may open: longer than any
// fault lasts, on a busy machine.
const late = 10 * time.Second

// conclude judges what is left behind and prints the report.
func (o *Options) conclude(h *house, samples []sample) {
	all := courses(samples)
	h.t.Logf("\n%s", table(all))
	for _, c := range all {
		if c.grown {
			h.t.Errorf("%s grew from %.0f to %.0f, allowed is %.0f", c.count, c.early, c.late, c.allowed)
		}
	}
	worst := h.Number(`SELECT COALESCE(max(extract(epoch FROM opened_at - opens_at)), 0)::bigint FROM sales WHERE sale_id > 1`)
	missed := h.Number(`SELECT count(*) FROM (SELECT opens_at - lag(opens_at) OVER (ORDER BY sale_id) AS gap FROM sales) AS g WHERE gap <> make_interval(secs => $1)`, o.Slot.Seconds())
	h.t.Logf("%d sales, opened at most %d s after their slots began, %d missed", h.Number(`SELECT count(*) FROM sales`), worst, missed)
	if missed > 0 || worst > int64(late.Seconds()) {
		h.t.Errorf("sales were missed or opened late")
	}
	audittest.Settled(h.t, audittest.Stores{DatabaseURL: h.DatabaseURL, NATSURL: h.NATSURL})
	h.Spoilt() // audited just now
	h.auditArchives(o.Length > quietSlots*o.Slot)
}
