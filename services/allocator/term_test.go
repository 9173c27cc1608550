//go:build unix

package allocator

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"notsale/pkg/allocation"
	"notsale/pkg/host"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/services/servicetest"
)

// gone is a stream that is not there, and what happens while that is found out.
type gone struct {
	Streams

	meanwhile func()
}

func (g gone) Opening(context.Context, sale.ID) (stream.Opening, error) {
	g.meanwhile()
	return stream.Opening{}, fmt.Errorf("%w: stream SALE_1 does not exist", stream.ErrLost)
}

// led is the term of the stage's only sale, which has not begun.
func led(t *testing.T, stage *servicetest.Stage, change func(*Ports)) (*term, *prometheus.Registry) {
	t.Helper()
	l, s := stage.Ledger("allocator"), stage.Stream("allocator")
	ports := Ports{Leases: l, History: l, Commits: l, Streams: streams{s}, News: s, Cache: stage.Cache("allocator"), Edges: s}
	change(&ports)
	reg := prometheus.NewRegistry()
	a, err := On(DefaultConfig(), ports, &host.Real{}, stage.Log, reg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Renew(t.Context(), servicetest.Patience); err != nil {
		t.Fatal(err)
	}
	leases, err := l.Take(t.Context(), servicetest.Patience, nil, 1)
	if err != nil || len(leases) != 1 {
		t.Fatalf("%v, %v", leases, err)
	}
	return a.newTerm(leases[0]), reg
}

// raised counts the alarms of a kind.
func raised(t *testing.T, reg *prometheus.Registry, kind string) (n float64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == "notsale_allocator_alarms_total" && m.GetLabel()[0].GetValue() == kind {
				n += m.GetCounter().GetValue()
			}
		}
	}
	return n
}

// A stream that is not there is lost, unless its sale was archived while the
// term was about to look.
func TestMissingStream(t *testing.T) {
	t.Parallel()
	for name, archived := range map[string]bool{"of a sale that is led": false, "of a sale that was archived": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stage := servicetest.New(t)
			stage.OpenSale(5, 2)
			var looks atomic.Int64
			one, reg := led(t, stage, func(p *Ports) {
				p.Streams = gone{p.Streams, func() {
					looks.Add(1)
					if !archived {
						return
					}
					if _, err := stage.DB.Exec(t.Context(), `UPDATE cursors SET epoch = epoch + 1`); err != nil { // as archiving does
						t.Error(err)
					}
				}}
			})
			err := one.run(t.Context())
			want, alarms := ErrGiveUp, 1.0
			if archived {
				want, alarms = ledger.ErrFenced, 0
			}
			if n := raised(t, reg, "lost-stream"); !errors.Is(err, want) || n != alarms {
				t.Errorf("%v alarms, %v, want %v, %v", n, err, alarms, want)
			}
			if n, want := looks.Load(), int64(1+alarms); n != want {
				t.Errorf("%d looks, want %d", n, want)
			}
		})
	}
}

// A ledger that was restored to before a sale opened may have another of its
// number: an engine of the one that was is not used for it.
func TestAnEngineOfAnotherSaleIsLetGo(t *testing.T) {
	t.Parallel()
	stage := servicetest.New(t)
	own := stage.OpenSale(5, 2)
	other := own
	other.UUID[0]++
	one, _ := led(t, stage, func(*Ports) {})
	for name, c := range map[string]struct {
		of   sale.Sale
		kept bool
	}{"its own": {own, true}, "another sale's": {other, false}} {
		warm, err := blank(c.of, allocation.Cursor{})
		if err != nil {
			t.Fatal(err)
		}
		one.engine = warm
		if err := one.load(t.Context()); err != nil {
			t.Fatal(err)
		}
		if kept := one.engine == warm; kept != c.kept {
			t.Errorf("%s engine is kept: %v", name, kept)
		}
	}
}
