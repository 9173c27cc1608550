package scheduler

import (
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
)

// alarms are findings that need a person, counted by kind and logged with what to
// do; README lists the kinds.
type alarms struct {
	log    *slog.Logger
	raised *prometheus.CounterVec
}

func newAlarms(log *slog.Logger) alarms {
	a := alarms{log: log, raised: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "notsale_scheduler_alarms_total", Help: "Findings that need a person, by kind.",
	}, []string{"kind"})}
	for _, kind := range []string{
		"stream-store", "stream-full", "not-open", "clocks-differ", "dated-ahead", "newer-version", "foreign-stream", "unread-stream",
	} {
		a.raised.WithLabelValues(kind)
	}
	return a
}

// raise tells of one; more are pairs for the log.
func (a alarms) raise(kind string, more ...any) {
	a.raised.WithLabelValues(kind).Inc()
	a.log.Error("ALARM", append([]any{"kind", kind}, more...)...)
}
