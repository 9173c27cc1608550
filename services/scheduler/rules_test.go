//go:build unix

package scheduler_test

import (
	"errors"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/services/scheduler"
)

// A sale whose row a newer scheduler has made, under rules that this program
// does not have, is left to the newer one, with one alarm.
func TestUnknownRulesAreNotOpened(t *testing.T) {
	t.Parallel()
	c := newClockroom(t)
	of := c.prepare()
	c.setRules(1 << 30)
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
	if rows := c.rows(); len(rows) != 1 || rows[0].State != sale.Preparing {
		t.Errorf("sales %+v, want one that is not open", rows)
	}
	if _, err := c.stream.Opening(t.Context(), of.ID); !errors.Is(err, stream.ErrLost) {
		t.Errorf("its opening record: %v, want none", err)
	}
	if entries := c.directory(); len(entries) != 0 {
		t.Errorf("the directory lists %+v", entries)
	}
	if n := count(t, reg, "notsale_scheduler_alarms_total"); n != 1 {
		t.Errorf("%v alarms, want 1", n)
	}
	if n := count(t, reg, "notsale_scheduler_failures_total"); n != 0 {
		t.Errorf("%v failures, want 0", n)
	}
	c.setRules(sale.RulesVersion) // to this scheduler it is as if it were upgraded
	if err := s.Turn(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.check(always, 1)
}

func (c *clockroom) setRules(version int) {
	c.t.Helper()
	if _, err := c.DB.Exec(c.t.Context(), `UPDATE sales SET rules = $1`, version); err != nil {
		c.t.Fatal(err)
	}
}

// count is what a counter says, in all or of one kind.
func count(t *testing.T, reg *prometheus.Registry, name string, kind ...string) (n float64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && (len(kind) == 0 || m.GetLabel()[0].GetValue() == kind[0]) {
				n, found = n+m.GetCounter().GetValue(), true
			}
		}
	}
	if !found {
		t.Fatalf("there is no counter %s %v", name, kind)
	}
	return n
}
