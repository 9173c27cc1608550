//go:build unix

package edgetest

import (
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"notsale/services/allocator"
	"notsale/services/recorder"
	"notsale/services/scheduler"
)

// Staff is one of each service behind the edges.
type Staff struct {
	Stop func()

	t       *testing.T
	metrics *prometheus.Registry
}

// Hire runs an allocator, a recorder and a scheduler. The scheduler opens no
// sale if the test has opened one.
func (f *Front) Hire(t *testing.T, name string) *Staff {
	t.Helper()
	s := &Staff{t: t, metrics: prometheus.NewRegistry()}
	a, errA := allocator.New(allocator.DefaultConfig(), f.Ledger(name+"-allocator"), f.Stream(name+"-allocator"), f.Cache(name), f.Log, s.metrics)
	r, errR := recorder.New(recorder.DefaultConfig(), f.Ledger(name+"-recorder"), f.Stream(name+"-recorder"), f.Log, s.metrics)
	long := scheduler.Config{Every: 87600 * time.Hour, Stock: 1, UserLimit: 1}
	c, errC := scheduler.New(long, f.Ledger(name+"-scheduler"), f.Stream(name+"-scheduler"), f.Log, s.metrics)
	if err := errors.Join(errA, errR, errC); err != nil {
		t.Fatal(err)
	}
	stops := []func(){f.Run(a.Run), f.Run(r.Run), f.Run(c.Run)}
	s.Stop = func() {
		for _, stop := range stops {
			stop()
		}
	}
	return s
}

// Count adds up all metrics of this name.
func (s *Staff) Count(name string) (sum float64) {
	s.t.Helper()
	families, err := s.metrics.Gather()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			for _, m := range family.GetMetric() {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// Content fails the test if anybody called for help. That a recorder's reader
// ends with its stream, before the recorder hears of the archiving, is no call.
func (s *Staff) Content() {
	s.t.Helper()
	for _, name := range []string{
		"notsale_allocator_alarms_total", "notsale_allocator_fenced_total", "notsale_recorder_alarms_total",
		"notsale_scheduler_alarms_total", "notsale_scheduler_failures_total",
	} {
		if n := s.Count(name); n != 0 {
			s.t.Errorf("%s is %v", name, n)
		}
	}
}
