//go:build unix

package scheduler_test

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"notsale/pkg/sale"
	"notsale/services/scheduler"
)

const year = 365 * 24 * time.Hour

// wrongClock gives Postgres a clock that can be set, for sessions from now on.
func (c *clockroom) wrongClock() (set func(ahead time.Duration)) {
	c.t.Helper()
	exec := func(sql string, args ...any) {
		c.t.Helper()
		if _, err := c.DB.Exec(c.t.Context(), sql, args...); err != nil {
			c.t.Fatal(err)
		}
	}
	exec(`CREATE TABLE wrong_clock (ahead interval NOT NULL)`)
	exec(`INSERT INTO wrong_clock VALUES ('0')`)
	exec(`CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
		AS 'SELECT pg_catalog.clock_timestamp() + ahead FROM public.wrong_clock'`)
	exec(`DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = public, pg_catalog', current_database()); END $$`)
	return func(ahead time.Duration) {
		c.t.Helper()
		exec(`UPDATE wrong_clock SET ahead = make_interval(secs => $1)`, ahead.Seconds())
	}
}

// Postgres's clock a year ahead for a moment opens nothing, with an alarm, and
// costs nothing afterwards.
func TestAClockAYearAheadOpensNothing(t *testing.T) {
	t.Parallel()
	c := newClockroom(t)
	set := c.wrongClock()
	reg := prometheus.NewRegistry()
	s, err := scheduler.New(scheduler.Config{Every: always, Stock: stock, UserLimit: 2}, c.Ledger("one"), c.Stream("one"), c.Log, reg)
	if err != nil {
		t.Fatal(err)
	}
	turn := func(what string, sales int, alarms float64) {
		t.Helper()
		if err := s.Turn(t.Context()); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if n := len(c.rows()); n != sales {
			t.Errorf("%s: %d sales, want %d", what, n, sales)
		}
		if n := count(t, reg, "notsale_scheduler_alarms_total"); n != alarms {
			t.Errorf("%s: %v alarms, want %v", what, n, alarms)
		}
	}
	set(year)
	turn("a year ahead at the first start", 0, 1)
	turn("still", 0, 1)
	set(30 * time.Second)
	turn("half a minute ahead", 1, 1)
	set(-year)
	turn("a year behind", 1, 2)
	set(0)
	turn("right again", 1, 2)
	c.check(always, 1)
	if d := time.Since(c.rows()[0].Sale.OpensAt); d < -time.Minute || d > always {
		t.Errorf("the sale is dated %v ago", d)
	}
}

// A row that was made before the clock went wrong is opened when it is right.
func TestAPreparedSaleWaitsForTheClocks(t *testing.T) {
	t.Parallel()
	c := newClockroom(t)
	set := c.wrongClock()
	c.prepare()
	set(year)
	s := c.scheduler("one", always)
	for _, state := range []sale.State{sale.Preparing, sale.Open} {
		if err := s.Turn(t.Context()); err != nil {
			t.Fatal(err)
		}
		if rows := c.rows(); len(rows) != 1 || rows[0].State != state {
			t.Fatalf("%+v, want one in state %v", rows, state)
		}
		set(0)
	}
}

// The newest sale is dated a year ahead: the slot that is now opens, once, and
// people are told, once.
func TestASaleDatedAYearAheadDoesNotStopTheNext(t *testing.T) {
	t.Parallel()
	c := newClockroom(t)
	const every = 24 * time.Hour
	if err := c.scheduler("before", every).Turn(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.DB.Exec(t.Context(), `UPDATE sales SET opens_at = opens_at + make_interval(days => 365)`); err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	s, err := scheduler.New(scheduler.Config{Every: every, Stock: stock, UserLimit: 2}, c.Ledger("one"), c.Stream("one"), c.Log, reg)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Turn(t.Context()); err != nil {
			t.Fatal(err)
		}
		rows := c.rows()
		if len(rows) != 2 || rows[0].State != sale.Open || rows[0].Sale.ID != 2 || rows[0].Sale.FirstItem != stock+1 {
			t.Fatalf("%+v, want a second sale", rows)
		}
		if d := time.Since(rows[0].Sale.OpensAt); d < 0 || d > every {
			t.Errorf("it is dated %v ago", d)
		}
		if n := count(t, reg, "notsale_scheduler_alarms_total"); n != 1 {
			t.Errorf("%v alarms, want 1", n)
		}
	}
}
