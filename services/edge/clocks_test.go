//go:build unix

package edge

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"notsale/pkg/code"
	"notsale/pkg/sale"
	"notsale/pkg/telemetry"
	"notsale/services/edge/shop"
	"notsale/services/servicetest"
)

// The clock of each sale's stream is compared, too: a server whose clock is
// wrong is told of, and only an edge that agrees with none is not ready.
func TestAStreamWithAWrongClockIsToldOf(t *testing.T) {
	stage := servicetest.New(t)
	keys, err := code.NewKeyring([]code.Key{{ID: 1, Secret: make([]byte, code.MinSecret)}})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	reg := prometheus.NewRegistry()
	cfg := DefaultConfig()
	e, err := New(cfg, keys, stage.Ledger("edge"), stage.Stream("edge"), stage.Cache("edge"), &telemetry.Health{},
		slog.New(slog.NewTextHandler(&log, nil)), reg)
	if err != nil {
		t.Fatal(err)
	}
	old, newest := stage.OpenSale(5, 5), stage.OpenSale(5, 5)
	for _, of := range []sale.Sale{old, newest} {
		if found, err := e.shop.Find(of.FirstItem); err != nil || found == nil {
			t.Fatal(found, err)
		}
	}
	if _, err := e.shop.Checkout(&shop.Wish{User: "ann", Item: old.FirstItem}); err != nil {
		t.Fatal(err)
	}
	wrong := map[sale.ID]time.Duration{} // on top of what the real servers say
	asked := e.clocks.skewOf
	e.clocks.skewOf = func(ctx context.Context, id sale.ID) (time.Duration, error) {
		skew, err := asked(ctx, id)
		return skew + wrong[id], err
	}
	look := func(ready bool, largest time.Duration, lines int) {
		t.Helper()
		log.Reset()
		e.compareClocks(t.Context())
		if skew := time.Duration(e.skew.Load()); (skew.Abs() <= maxSkew) != ready {
			t.Errorf("off by %v, want ready: %t", skew, ready)
		}
		if got := valueOf(t, reg, "notsale_edge_clock_skew_seconds"); got < largest.Seconds()-1 || got > largest.Seconds()+5 {
			t.Errorf("the largest difference is %v s, want %v", got, largest)
		}
		if got := strings.Count(log.String(), "clock that is not this machine's"); got != lines {
			t.Errorf("%d lines, want %d:\n%s", got, lines, log.String())
		}
	}
	look(true, 0, 0)
	wrong[newest.ID] = -time.Hour
	look(true, time.Hour, 1)
	look(true, time.Hour, 0) // said once
	wrong[old.ID] = 2 * time.Hour
	look(true, 2*time.Hour, 1)
	clear(wrong)
	look(true, 0, 0)
	wrong[0], wrong[old.ID], wrong[newest.ID] = time.Hour, time.Hour, time.Hour
	look(false, time.Hour, 3)
	wrong[0] = 0
	look(true, time.Hour, 0)
}

// valueOf returns the value of a gauge or counter.
func valueOf(t *testing.T, reg prometheus.Gatherer, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			m := f.GetMetric()[0]
			return m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}
