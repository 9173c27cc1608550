//go:build unix

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"notsale/loadtest/faults/cluster"
	"notsale/loadtest/hammer/shopper"
	"notsale/pkg/backends/backendstest"
	"notsale/pkg/client"
	"notsale/services/servicetest/audittest"
)

// Exit statuses.
const (
	exitOK     = 0
	exitFailed = 1 // something grew, was late, or was wrong
	exitUsage  = 2 // the soak could not be held
)

type options struct {
	length  time.Duration
	slot    time.Duration
	stock   int
	limit   int
	unsold  int // each such sale is left unsold
	clients int
	seed    uint64
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	if err == nil {
		var well bool
		if well, err = o.soak(ctx, stdout); err == nil && well {
			return exitOK
		}
	}
	if err != nil {
		fmt.Fprintln(stderr, "soak:", err)
		return exitUsage
	}
	return exitFailed
}

// leastSlot leaves time for a sell-out, two faults and a look.
const leastSlot = 10 * time.Second

func parse(args []string, stderr io.Writer) (*options, error) {
	o := &options{}
	fs := flag.NewFlagSet("soak", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.DurationVar(&o.length, "for", 2*time.Hour, "how long the shop runs")
	fs.DurationVar(&o.slot, "slot", time.Minute, "from one sale to the next")
	fs.IntVar(&o.stock, "stock", 10_000, "items of a sale")
	fs.IntVar(&o.limit, "limit", 10, "items that a user may buy")
	fs.IntVar(&o.unsold, "unsold", 4, "each so many sales one is left unsold")
	fs.IntVar(&o.clients, "clients", 4, "shoppers at once in a sell-out")
	fs.Uint64Var(&o.seed, "seed", 1, "order of the faults, choice of the traffic")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	if o.slot < leastSlot || o.length < o.slot || o.stock < 1 || o.limit < 1 || o.unsold < 2 || o.clients < 1 || fs.NArg() > 0 {
		return nil, fmt.Errorf("want a slot of at least %v, no longer than the soak, positive numbers, and --unsold of at least 2", leastSlot)
	}
	return o, nil
}

// soak runs the shop and reports whether all was well.
func (o *options) soak(ctx context.Context, out io.Writer) (well bool, err error) {
	s := &stage{ctx: ctx, out: out}
	defer func() {
		if p := recover(); p != nil {
			why, ours := p.(fatal)
			if !ours {
				panic(p)
			}
			err = errors.New(string(why))
		}
		s.clear()
		well = !s.Failed()
	}()
	a := cluster.New(s, cluster.Options{Stock: o.stock, Limit: o.limit, Stores: []backendstest.Option{
		backendstest.Durable, backendstest.WithOwnPostgres, backendstest.WithOwnRedis,
	}})
	h := o.open(s, a)
	s.Cleanup(h.close)
	samples := o.slots(h, o.traffic(s, h.front))
	o.conclude(h, samples)
	return true, nil
}

// slots runs the soak, slot by slot.
func (o *options) slots(h *house, t *traffic) (samples []sample) {
	ctx, cancel := context.WithTimeout(h.stage.ctx, o.length)
	defer cancel()
	var beside sync.WaitGroup
	defer beside.Wait()
	t.beside(ctx, &beside)
	rng := rand.New(rand.NewPCG(o.seed, 0)) //nolint:gosec // repeatable, no secret
	var deck []fault
	for last := int64(0); ; {
		of, opened := h.next(ctx, last, 2*o.slot)
		if !opened {
			return samples
		}
		last = of.ID
		end := of.OpensAt.Add(o.slot)
		deck = o.slotOf(ctx, h, t, of, end, rng, deck)
		s := h.look(of.ID, t.left())
		samples = append(samples, s)
		h.stage.Logf("sale %d: %d unsold, %.0f streams, %.0f MiB reserved, %.0f sessions", of.ID, s.unsold, s.counts[countStreams], s.counts[countReserved], s.counts[countSessions])
	}
}

// next waits for a sale newer than the last; false: the soak is over.
func (h *house) next(ctx context.Context, last int64, patience time.Duration) (client.Sale, bool) {
	shop := h.stage.shop(h.front[0])
	defer shop.Close()
	for deadline := time.Now().Add(patience); ctx.Err() == nil; {
		of, err := shop.OpenSale(ctx)
		if err == nil && of.ID > last {
			return of, true
		}
		if time.Now().After(deadline) {
			h.stage.Fatalf("no sale opened after sale %d within two slots: %v", last, err)
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
func (o *options) slotOf(ctx context.Context, h *house, t *traffic, of client.Sale, end time.Time, rng *rand.Rand, deck []fault) []fault {
	trouble, heal := context.WithTimeout(ctx, time.Duration(troubled*float64(time.Until(end))))
	defer heal()
	var res *shopper.Result
	var sold sync.WaitGroup
	if of.ID%int64(o.unsold) == 0 {
		sold.Go(func() { t.some(trouble, of) })
	} else {
		sold.Go(func() {
			var err error
			if res, err = t.sellOut(context.WithoutCancel(ctx), of.ID); err != nil {
				h.stage.Errorf("sale %d could not be sold out: %v", of.ID, err)
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
				h.stage.Errorf("sale %d: %s: %s", of.ID, v.Name, v.Detail)
			}
		}
	}
	return deck
}

// some buys a few items of a sale, which stays unsold from then on.
func (t *traffic) some(ctx context.Context, of client.Sale) {
	v := t.visitor()
	defer v.close()
	for range unsoldBuyers {
		_, _, n := v.pick()
		v.buy(ctx, of, n)
	}
	t.leave(of)
}

// quietSlots is after how many slots the first sale must have been archived: it
// has been old enough for some, in the quiet end of one of which it was put away.
const quietSlots = 2 * (archiveAfter + 1)

// auditArchives audits every archive offline; there must be some.
func (h *house) auditArchives(some bool) {
	files, err := filepath.Glob(filepath.Join(h.archives, "*.notsale.tar"))
	if err != nil || some && len(files) == 0 {
		h.stage.Errorf("no sale was archived: %v", err)
	}
	for _, file := range files {
		if ran := h.Run(context.WithoutCancel(h.stage.ctx), "audit", "--archive", file); ran.Status != 0 {
			h.stage.Errorf("audit of %s: status %d\n%s%s", filepath.Base(file), ran.Status, ran.Out, ran.Err)
		}
	}
	h.stage.Logf("%d sales are archived", len(files))
}

// late is how long after its slot's beginning a sale may open: longer than any
// fault lasts, on a machine that does all of this at once.
const late = 10 * time.Second

// conclude judges what is left behind and prints the report.
func (o *options) conclude(h *house, samples []sample) {
	s := h.stage
	all := courses(samples)
	printCourses(s.out, all)
	for _, c := range all {
		if c.grown {
			s.Errorf("%s grew from %.0f to %.0f, allowed is %.0f", c.count, c.early, c.late, c.allowed)
		}
	}
	worst := h.Number(`SELECT COALESCE(max(extract(epoch FROM opened_at - opens_at)), 0)::bigint FROM sales WHERE sale_id > 1`)
	missed := h.Number(`SELECT count(*) FROM (SELECT opens_at - lag(opens_at) OVER (ORDER BY sale_id) AS gap FROM sales) AS g WHERE gap <> make_interval(secs => $1)`, o.slot.Seconds())
	s.Logf("%d sales, opened at most %d s after their slots began, %d missed", h.Number(`SELECT count(*) FROM sales`), worst, missed)
	if missed > 0 || worst > int64(late.Seconds()) {
		s.Errorf("sales were missed or opened late")
	}
	audittest.Settled(s, audittest.Stores{DatabaseURL: h.DatabaseURL, NATSURL: h.NATSURL})
	h.Spoilt() // audited just now
	h.auditArchives(o.length > quietSlots*o.slot)
	if !s.Failed() {
		s.Logf("every audit is clean")
	}
}
