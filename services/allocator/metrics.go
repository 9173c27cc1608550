package allocator

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"notsale/pkg/allocation"
)

type metrics struct {
	decisions *prometheus.CounterVec
	batches   prometheus.Histogram
	commits   prometheus.Histogram
	latency   prometheus.Histogram
	leading   prometheus.Gauge
	takeovers prometheus.Counter
	fenced    prometheus.Counter
	restarts  prometheus.Counter
	alarms    *prometheus.CounterVec
}

// committed counts a batch that was just committed.
func (m *metrics) committed(b *allocation.Batch, now time.Time) {
	counts := map[allocation.Reason]int{}
	for i := range b.Decisions {
		counts[b.Decisions[i].Reason]++
	}
	for reason, n := range counts {
		m.decisions.WithLabelValues(reason.String()).Add(float64(n))
	}
	m.batches.Observe(float64(b.After.Position - b.Before.Position))
	if len(b.Packs) > 0 {
		m.latency.Observe(now.Sub(b.Packs[0].Time.Time()).Seconds())
	}
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "notsale_allocator_decisions_total", Help: "Decisions committed, by reason.",
		}, []string{"reason"}),
		batches: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "notsale_allocator_batch_requests", Help: "Requests per committed batch.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 12),
		}),
		commits: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "notsale_allocator_commit_seconds", Help: "Time of the commit statement.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14),
		}),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "notsale_allocator_decision_seconds", Help: "Time from a pack's stream timestamp to its commit.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16),
		}),
		leading:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "notsale_allocator_sales", Help: "Sales that this allocator decides."}),
		takeovers: prometheus.NewCounter(prometheus.CounterOpts{Name: "notsale_allocator_leases_taken_total", Help: "Leases taken."}),
		fenced:    prometheus.NewCounter(prometheus.CounterOpts{Name: "notsale_allocator_fenced_total", Help: "Commits refused, or given up, because another allocator had the sale."}),
		restarts:  prometheus.NewCounter(prometheus.CounterOpts{Name: "notsale_allocator_restarts_total", Help: "Times that a sale's loop started over from the ledger."}),
		alarms: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "notsale_allocator_alarms_total", Help: "Findings that need a person, by kind.",
		}, []string{"kind"}),
	}
	reg.MustRegister(m.decisions, m.batches, m.commits, m.latency, m.leading, m.takeovers, m.fenced, m.restarts, m.alarms)
	return m
}
