//go:build unix

package scheduler_test

import (
	"context"
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"notsale/pkg/host"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/wire"
	"notsale/services/scheduler"
	"notsale/services/servicetest"
)

// shelf is NATS with a directory whose writes can be counted and broken.
type shelf struct {
	scheduler.Store

	broken func(ctx context.Context, id sale.ID) error // of a write; nil: none is

	mu    sync.Mutex
	wrote map[sale.ID]int // guarded by mu
}

func (s *shelf) Directory(ctx context.Context) (scheduler.Directory, error) {
	d, err := s.Store.Directory(ctx)
	return shelved{d, s}, err
}

// take returns which sales were written since the last call, and how often.
func (s *shelf) take() map[sale.ID]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	wrote := s.wrote
	s.wrote = map[sale.ID]int{}
	return wrote
}

type shelved struct {
	scheduler.Directory

	shelf *shelf
}

func (d shelved) Put(ctx context.Context, e wire.Entry) error {
	if d.shelf.broken != nil {
		if err := d.shelf.broken(ctx, e.Sale.ID); err != nil {
			return err
		}
	}
	d.shelf.mu.Lock()
	d.shelf.wrote[e.Sale.ID]++
	d.shelf.mu.Unlock()
	return d.Directory.Put(ctx, e)
}

// crowded gives a clockroom many sales that are open, of which the directory
// knows nothing, and a scheduler that works through a shelf.
func crowded(t *testing.T, sales int, every time.Duration) (*clockroom, *shelf, *scheduler.Scheduler) {
	t.Helper()
	c := newClockroom(t)
	if made, err := c.ledger.OpenSlot(t.Context(), ledger.Template{Every: always, Stock: stock, UserLimit: 2, Seed: 1}); err != nil || !made {
		t.Fatalf("made %v, %v", made, err)
	}
	_, err := c.DB.Exec(t.Context(), `UPDATE sales SET state = 'open'`)
	if err == nil {
		_, err = c.DB.Exec(t.Context(), `INSERT INTO sales (sale_id, sale_uuid, installation, opens_at, stock, user_limit, first_item, seed, rules, state)
			SELECT 1 + n, gen_random_uuid(), installation, opens_at - n * interval '1 hour', stock, user_limit, 1 + n * stock, seed, rules, 'open'
			FROM sales, generate_series(1, $1) AS n WHERE sale_id = 1`, sales-1)
	}
	if err != nil {
		t.Fatal(err)
	}
	files := &shelf{Store: scheduler.PortsOf(c.ledger, c.stream).Store, wrote: map[sale.ID]int{}}
	return c, files, c.through(files, every)
}

func (c *clockroom) through(files *shelf, every time.Duration) *scheduler.Scheduler {
	c.t.Helper()
	ports := scheduler.PortsOf(c.ledger, c.stream)
	ports.Store = files
	return c.on(ports, &host.Real{}, every, prometheus.NewRegistry())
}

// on is a scheduler on these ports.
func (c *clockroom) on(ports scheduler.Ports, h host.Host, every time.Duration, reg *prometheus.Registry) *scheduler.Scheduler {
	c.t.Helper()
	cfg := scheduler.Config{Every: every, Stock: stock, UserLimit: 2, BackupHorizon: horizon}
	s, err := scheduler.On(cfg, ports, h, c.Log, reg)
	if err != nil {
		c.t.Fatal(err)
	}
	return s
}

// Sales open on time while the directory of the others is being written, however
// long that takes.
func TestSalesOpenWhileTheDirectoryIsWritten(t *testing.T) {
	t.Parallel()
	const old = 50
	c, files, s := crowded(t, old, time.Second)
	files.broken = func(ctx context.Context, id sale.ID) error {
		if id > old {
			return nil
		}
		<-ctx.Done()
		return ctx.Err()
	}
	c.Run(s.Schedule)
	servicetest.Eventually(t, "three sales are open, and listed", func() bool {
		entries, listed := c.directory(), 0
		for id := range entries {
			if id > old {
				listed++
			}
		}
		return listed >= 3
	})
}

// A scheduler that starts writes only what the directory lacks; of what fails the
// first is named, and the rest is not written again.
func TestOnlyWhatTheDirectoryLacksIsWritten(t *testing.T) {
	t.Parallel()
	const sales = 120 // more than are looked at each time
	c, files, first := crowded(t, sales, always)
	files.broken = func(_ context.Context, id sale.ID) error {
		if id <= 3 {
			return errors.New("cannot be written")
		}
		return nil
	}
	err := first.Turn(t.Context())
	if err == nil || strings.Count(err.Error(), "cannot be written") != 1 || !strings.Contains(err.Error(), "2 more") {
		t.Errorf("error %v, want one of three", err)
	}
	if wrote := files.take(); len(wrote) != sales-3 {
		t.Errorf("%d entries were written, want %d", len(wrote), sales-3)
	}
	files.broken = nil
	second := c.through(files, always)
	for i, s := range []*scheduler.Scheduler{first, second} {
		before := c.directory()
		if err := s.Turn(t.Context()); err != nil {
			t.Errorf("scheduler %d: %v", i+1, err)
		}
		if wrote := files.take(); len(wrote) != sales-len(before) {
			t.Errorf("scheduler %d wrote %v, of %d sales that the directory lacked", i+1, wrote, sales-len(before))
		}
	}
	if _, err := c.DB.Exec(t.Context(), `UPDATE sales SET state = 'sold_out' WHERE sale_id = $1`, sales); err != nil {
		t.Fatal(err)
	}
	if err := first.Turn(t.Context()); err != nil {
		t.Fatal(err)
	}
	if wrote := files.take(); !maps.Equal(wrote, map[sale.ID]int{sales: 1}) {
		t.Errorf("a sale was sold out, and these were written: %v", wrote)
	}
	if entries := c.directory(); len(entries) != sales || entries[sales].State != sale.SoldOut {
		t.Errorf("%d entries, the last is %+v", len(entries), entries[sales])
	}
}
