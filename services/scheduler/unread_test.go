//go:build unix

package scheduler_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/services/scheduler"
	"notsale/services/servicetest"
)

// headless is NATS with streams that have no leader.
type headless struct {
	scheduler.Store

	without map[sale.ID]bool
	asked   chan struct{} // nil, or told of each that is asked for,
	silent  chan struct{} // which is answered when this is closed
}

var errLeaderless = errors.New("no leader")

func (h *headless) Opening(ctx context.Context, id sale.ID) (stream.Opening, error) {
	if h.without[id] && h.asked != nil {
		select {
		case h.asked <- struct{}{}:
		default:
		}
		select {
		case <-h.silent:
		case <-ctx.Done():
		}
	}
	if h.without[id] {
		return stream.Opening{}, errLeaderless
	}
	return h.Store.Opening(ctx, id)
}

// lose opens so many sales, of which the ledger forgets all but the first, and
// returns what their rows were.
func (c *clockroom) lose(sales int) (before []ledger.SaleRow) {
	for range sales {
		c.OpenSale(stock, 2)
	}
	before = c.rows()
	c.forgetSales(1)
	return before
}

// expectBack fails unless the first sales are open, as they were.
func (c *clockroom) expectBack(before []ledger.SaleRow) {
	c.t.Helper()
	rows := c.rows()
	for i, was := range before {
		if got := rows[len(rows)-len(before)+i]; got.Sale != was.Sale || got.State != sale.Open {
			c.t.Errorf("sale %+v, want %+v", got, was)
		}
	}
}

// One stream has no leader, of a sale that a restored ledger lacks: the sales of
// higher numbers come back, and the slot's sale opens; people are told, once, if it
// lasts; and the sale comes back when its stream can be read. Where it is the last,
// nothing opens before: its number and its items would be given away again.
func TestAStreamThatCannotBeReadStopsNoSale(t *testing.T) {
	t.Parallel()
	c := newClockroom(t)
	before := c.lose(4)
	ports := scheduler.PortsOf(c.ledger, c.stream)
	nats := &headless{Store: ports.Store, without: map[sale.ID]bool{2: true, 4: true}}
	reg := prometheus.NewRegistry()
	ports.Store = nats
	clock := newClock()
	s := c.on(ports, clock, time.Second, reg)
	if err := s.Turn(t.Context()); !errors.Is(err, errLeaderless) || len(c.rows()) != 2 {
		t.Fatalf("the last sale's stream cannot be read: %d sales, %v", len(c.rows()), err)
	}
	nats.without[4] = false
	for _, alarms := range []float64{0, 1, 1} { // an alarm if it cannot be read the next time either
		opened := len(c.rows())
		servicetest.Eventually(t, "the slot's sale opens", func() bool {
			if err := s.Turn(t.Context()); err != nil {
				t.Fatal(err)
			}
			rows := c.rows()
			return len(rows) > max(opened, 3) && rows[0].State == sale.Open && rows[0].Sale.ID > 4
		})
		if n := count(t, reg, "notsale_scheduler_alarms_total"); n != alarms {
			t.Errorf("%v alarms, want %v", n, alarms)
		}
		clock.now = clock.now.Add(31 * time.Second)
	}
	nats.without[2] = false
	if err := s.Turn(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.expectBack(before)
}

// More streams have no leader than are tried at a time: the slot's sale opens all the
// same, also while they are tried again, and all come back.
func TestManyStreamsThatCannotBeReadStopNoSale(t *testing.T) {
	t.Parallel()
	c := newClockroom(t)
	before := c.lose(8)
	ports := scheduler.PortsOf(c.ledger, c.stream)
	nats := &headless{Store: ports.Store, without: map[sale.ID]bool{2: true, 3: true, 4: true, 5: true, 6: true}}
	ports.Store = nats
	clock := newClock()
	s := c.on(ports, clock, time.Second, prometheus.NewRegistry())
	opens := func(turn func()) {
		from := c.rows()[0].Sale.ID
		servicetest.Eventually(t, "the slot's sale opens", func() bool {
			turn()
			rows := c.rows()
			return rows[0].State == sale.Open && rows[0].Sale.ID > max(from, 8)
		})
	}
	turn := func() {
		if err := s.Turn(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	opens(turn)
	clock.now = clock.now.Add(31 * time.Second)
	nats.asked, nats.silent = make(chan struct{}, 1), make(chan struct{})
	stop := c.Run(s.Schedule)
	<-nats.asked
	opens(func() {})
	close(nats.silent)
	stop()
	nats.without = nil
	for range 2 { // some at a time
		clock.now = clock.now.Add(31 * time.Second)
		turn()
	}
	c.expectBack(before)
}

// pages counts how often all sales are read.
type pages struct {
	scheduler.Rows

	all int
}

func (p *pages) Sales(ctx context.Context, before sale.ID, limit int) ([]ledger.SaleRow, error) {
	if limit >= 1000 {
		p.all++
	}
	return p.Rows.Sales(ctx, before, limit)
}

// What fails for good costs a look at all sales now and then, and not at each turn.
func TestAFailureThatLastsIsNoReasonToReadAllSales(t *testing.T) {
	t.Parallel()
	const sales, turns = 3, 40
	c, files, _ := crowded(t, sales, always)
	files.broken = func(context.Context, sale.ID) error { return errors.New("cannot be written") }
	ports := scheduler.PortsOf(c.ledger, c.stream)
	books := &pages{Rows: ports.Rows}
	ports.Rows, ports.Store = books, files
	clock := newClock()
	s := c.on(ports, clock, always, prometheus.NewRegistry())
	for range turns { // one a second
		if s.Turn(t.Context()) == nil {
			t.Fatal("no failure")
		}
		clock.now = clock.now.Add(time.Second)
	}
	if looks := books.all - 1; looks < 3 || looks > turns/4 { // but that of a start, for sales that the ledger lacks
		t.Errorf("%d looks at all sales in %d turns", looks, turns)
	}
	files.broken = nil
	clock.now = clock.now.Add(30 * time.Second)
	if err := s.Turn(t.Context()); err != nil || len(files.take()) != sales {
		t.Errorf("afterwards: %v, or not all were written", err)
	}
}
