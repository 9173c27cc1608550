//go:build unix

package scheduler_test

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"notsale/pkg/allocation"
	"notsale/pkg/backends/backendstest"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
	"notsale/services/scheduler"
	"notsale/services/servicetest"
)

func TestMain(m *testing.M) { backendstest.Main(m) }

const stock = 5

// clockroom is a stage with what a scheduler's work is looked at through.
type clockroom struct {
	*servicetest.Stage

	t      *testing.T
	ledger *ledger.Ledger
	stream *stream.Client
}

func newClockroom(t *testing.T, opts ...backendstest.Option) *clockroom {
	t.Helper()
	stage := servicetest.New(t, opts...)
	return &clockroom{Stage: stage, t: t, ledger: stage.Ledger("looker"), stream: stage.Stream("looker")}
}

func (c *clockroom) scheduler(name string, every time.Duration) *scheduler.Process {
	c.t.Helper()
	cfg := scheduler.Config{Every: every, Stock: stock, UserLimit: 2}
	s, err := scheduler.New(cfg, c.Ledger(name), c.Stream(name), c.Log, prometheus.NewRegistry())
	if err != nil {
		c.t.Fatal(err)
	}
	return s
}

func (c *clockroom) rows() []ledger.SaleRow {
	c.t.Helper()
	rows, err := c.ledger.Sales(c.t.Context(), 0, 1000)
	if err != nil {
		c.t.Fatal(err)
	}
	return rows
}

// prepare makes the row of a sale and nothing else, as a scheduler does that
// dies at once.
func (c *clockroom) prepare() sale.Sale {
	c.t.Helper()
	made, err := c.ledger.OpenSlot(c.t.Context(), ledger.Template{Every: always, Stock: stock, UserLimit: 2, Seed: 1})
	if err != nil || !made {
		c.t.Fatalf("made %v, %v", made, err)
	}
	row := c.rows()[0]
	if row.State != sale.Preparing {
		c.t.Fatalf("state %v", row.State)
	}
	return row.Sale
}

// always is a slot that does not end during a test.
const always = 87600 * time.Hour

// directory reads the directory of sales once.
func (c *clockroom) directory() map[sale.ID]wire.Entry {
	c.t.Helper()
	d, err := c.stream.Directory(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	var mu sync.Mutex
	entries, ready := map[sale.ID]wire.Entry{}, make(chan struct{})
	stop := c.Run(func(ctx context.Context) error {
		err := d.Watch(ctx, func(e wire.Entry) {
			mu.Lock()
			defer mu.Unlock()
			entries[e.Sale.ID] = e
		}, func() { close(ready) })
		select {
		case <-ctx.Done(): // told to stop
			return nil
		default:
			return err
		}
	})
	defer stop()
	select {
	case <-ready:
	case <-time.After(servicetest.Patience):
		c.t.Fatal("the directory was not read")
	}
	mu.Lock()
	defer mu.Unlock()
	return maps.Clone(entries)
}

// check looks whether every sale is whole: rows that run on, opening record,
// first cursor, entry in the directory.
func (c *clockroom) check(every time.Duration, sales int) {
	c.t.Helper()
	rows, entries := c.rows(), c.directory()
	if len(rows) < sales || len(entries) != len(rows) {
		c.t.Fatalf("%d sales, %d in the directory, want %d", len(rows), len(entries), sales)
	}
	for i, row := range rows { // newest first
		of, n := row.Sale, len(rows)-i
		if of.ID != sale.ID(n) || of.FirstItem != sale.ItemID((n-1)*stock+1) || of.Stock != stock || of.UserLimit != 2 || row.State != sale.Open {
			c.t.Errorf("sale %d: %+v", n, row)
		}
		if of.OpensAt.UnixNano()%every.Nanoseconds() != 0 || i > 0 && !rows[i-1].Sale.OpensAt.After(of.OpensAt) {
			c.t.Errorf("sale %d opens at %v", n, of.OpensAt)
		}
		opening, err := c.stream.Opening(c.t.Context(), of.ID)
		if err != nil || opening.Sale != of {
			c.t.Errorf("sale %d: %+v\nits opening record: %+v, %v", n, of, opening.Sale, err)
		}
		pos, err := c.ledger.Cursor(c.t.Context(), of.ID)
		if err != nil || pos.Cursor != allocation.Genesis(opening.Message.Hash(), opening.Message.Time) {
			c.t.Errorf("sale %d: cursor %+v, %v", n, pos.Cursor, err)
		}
		if got := entries[of.ID]; !reflect.DeepEqual(got, wire.Entry{Sale: of, State: sale.Open}) {
			c.t.Errorf("sale %d: directory %+v", n, got)
		}
		if info, err := c.stream.Info(c.t.Context(), of.ID); err != nil || info.Last != 1 {
			c.t.Errorf("sale %d: %d messages in its stream, %v", n, info.Last, err)
		}
		if err := c.stream.PublishAttempts(c.t.Context(), of.ID, []byte("probe")); err != nil {
			c.t.Errorf("sale %d: attempts: %v", n, err)
		}
	}
}

func TestTwoSchedulersOpenASlotOnce(t *testing.T) {
	t.Parallel()
	c := newClockroom(t)
	const every = time.Second
	stops := []func(){c.Run(c.scheduler("one", every).Run), c.Run(c.scheduler("two", every).Run)}
	servicetest.Eventually(t, "four sales are open", func() bool { return len(c.rows()) >= 4 })
	for _, stop := range stops {
		stop()
	}
	// One may have stopped within the last sale's opening.
	if err := c.scheduler("three", always).Turn(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.check(every, 4)
}

// Many schedulers, one slot, at the same moment.
func TestManySchedulersAtOnce(t *testing.T) {
	t.Parallel()
	c := newClockroom(t)
	var all sync.WaitGroup
	errs := make([]error, 6)
	for i := range errs {
		s := c.scheduler(servicetest.User(i), always)
		all.Go(func() { errs[i] = s.Turn(t.Context()) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
	c.check(always, 1)
	if n := len(c.rows()); n != 1 {
		t.Errorf("%d sales are open, want 1", n)
	}
}

// Wherever an opening was interrupted, the next turn, of any scheduler,
// finishes it.
func TestInterruptedOpeningIsFinished(t *testing.T) {
	t.Parallel()
	for name, interrupted := range map[string]func(c *clockroom, of sale.Sale){
		"after the row": func(*clockroom, sale.Sale) {},
		"after the streams": func(c *clockroom, of sale.Sale) {
			if _, err := servicetest.CreateSale(c.t.Context(), c.stream, of); err != nil {
				c.t.Fatal(err)
			}
		},
		"before the directory": func(c *clockroom, of sale.Sale) {
			if err := servicetest.Open(c.t.Context(), c.ledger, c.stream, of); err != nil {
				c.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClockroom(t)
			of := c.prepare()
			interrupted(c, of)
			s := c.scheduler("one", always)
			for range 2 { // the second changes nothing
				if err := s.Turn(t.Context()); err != nil {
					t.Fatal(err)
				}
				if rows := c.rows(); len(rows) != 1 || rows[0].Sale != of {
					t.Errorf("sales %+v, want only %+v", rows, of)
				}
			}
			c.check(always, 1)
		})
	}
}

// Hours in which nothing ran are not made up.
func TestMissedSlotsAreNotMadeUp(t *testing.T) {
	t.Parallel()
	c := newClockroom(t)
	const every = time.Second
	s := c.scheduler("one", every)
	turn := func() ledger.SaleRow {
		t.Helper()
		if err := s.Turn(t.Context()); err != nil {
			t.Fatal(err)
		}
		return c.rows()[0]
	}
	first := turn()
	servicetest.Eventually(t, "three slots have passed", func() bool { return time.Since(first.Sale.OpensAt) > 3*every })
	last := turn()
	if last.Sale.ID != first.Sale.ID+1 || last.Sale.OpensAt.Sub(first.Sale.OpensAt) < 3*every {
		t.Errorf("after sale %d at %v opened sale %d at %v", first.Sale.ID, first.Sale.OpensAt, last.Sale.ID, last.Sale.OpensAt)
	}
	c.check(every, 2)
}

func TestOutagesAreWaitedFor(t *testing.T) {
	t.Parallel()
	c := newClockroom(t, backendstest.WithOwnPostgres)
	c.Run(c.scheduler("one", time.Second).Run)
	grows := func(what string) {
		t.Helper()
		before, err := c.ledger.Sales(t.Context(), 0, 1)
		for err != nil {
			before, err = c.ledger.Sales(t.Context(), 0, 1)
		}
		servicetest.Eventually(t, "a sale opens "+what, func() bool {
			rows, err := c.ledger.Sales(t.Context(), 0, 1)
			return err == nil && len(rows) > 0 && rows[0].State == sale.Open && (len(before) == 0 || rows[0].Sale.ID > before[0].Sale.ID)
		})
	}
	grows("at all")
	c.StopNATS()
	c.StartNATS()
	grows("after NATS was away")
	if err := c.Postgres.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := c.Postgres.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	grows("after Postgres was away")
}

// A NATS that holds another installation's streams is never written to.
func TestForeignStreamsAreRefused(t *testing.T) {
	t.Parallel()
	theirs := newClockroom(t)
	if err := theirs.scheduler("one", always).Turn(t.Context()); err != nil {
		t.Fatal(err)
	}
	ours := servicetest.New(t)
	ours.NATSURL = theirs.NATSURL // as if our database was emptied
	c := &clockroom{Stage: ours, t: t, ledger: ours.Ledger("looker"), stream: ours.Stream("looker")}
	s := c.scheduler("two", always)
	refusedAsForeign(t, s.Run(t.Context()), "installation", "Restore the database")
	if n := c.Count(`SELECT count(*) FROM sales WHERE state <> 'preparing'`); n != 0 {
		t.Errorf("%d sales are open on another's streams", n)
	}
	theirs.check(always, 1)
}

// One sale's stream that is there already, of another sale.
func TestForeignSaleStreamIsRefused(t *testing.T) {
	t.Parallel()
	c := newClockroom(t)
	other := sale.Sale{
		Installation: sale.UUID{1}, UUID: sale.UUID{2}, ID: 1, OpensAt: time.Unix(0, 0).UTC(), Stock: 7, UserLimit: 1, FirstItem: 1, Rules: 1,
	}
	if _, err := servicetest.CreateSale(t.Context(), c.stream, other); err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	s, err := scheduler.New(scheduler.Config{Every: always, Stock: stock, UserLimit: 2}, c.Ledger("one"), c.Stream("one"), c.Log, reg)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Turn(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := count(t, reg, "notsale_scheduler_alarms_total"); n != 1 {
		t.Errorf("%v alarms, want 1", n)
	}
	if rows := c.rows(); len(rows) != 1 || rows[0].State != sale.Preparing {
		t.Errorf("sales %+v, want one that is not open", rows)
	}
	if entries := c.directory(); len(entries) != 0 {
		t.Errorf("the directory lists %+v", entries)
	}
	opening, err := c.stream.Opening(t.Context(), 1)
	info, errInfo := c.stream.Info(t.Context(), 1)
	if err != nil || errInfo != nil || opening.Sale != other || info.Last != 1 {
		t.Errorf("the foreign stream is now %+v with %d messages: %v, %v", opening.Sale, info.Last, err, errInfo)
	}
	if err := errors.Join(c.stream.Seal(t.Context(), 1), c.stream.Remove(t.Context(), 1), s.Turn(t.Context())); err != nil {
		t.Fatal(err)
	}
	c.check(always, 1) // as the alarm says
}

func refusedAsForeign(t *testing.T, err error, words ...string) {
	t.Helper()
	if !errors.Is(err, stream.ErrForeign) {
		t.Errorf("error %v, want one that says that the streams are foreign", err)
		return
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("error %q does not say %q", err, word)
		}
	}
}

func TestConfigIsValidated(t *testing.T) {
	t.Parallel()
	if err := scheduler.DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
	for name, cfg := range map[string]scheduler.Config{
		"--sale-every": {Every: time.Millisecond, Stock: 1, UserLimit: 1},
		"--sale-stock": {Every: time.Hour, Stock: sale.MaxStock + 1, UserLimit: 1},
		"--user-limit": {Every: time.Hour, Stock: 1},
	} {
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
