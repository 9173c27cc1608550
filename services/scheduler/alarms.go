package scheduler

import (
	"log/slog"
	"time"

	"notsale/pkg/ledger"
	"notsale/pkg/sale"

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

// tell raises the alarm about a sale, once.
func (s *Scheduler) tell(id sale.ID, kind string, more ...any) {
	if s.told[id] {
		return
	}
	s.told[id] = true
	s.alarms.raise(kind, append([]any{"sale", id}, more...)...)
}

// foreignCure is what to do about a stream of another installation.
const foreignCure = "no sale of this number opens, others do: give this installation a NATS of its own; if this one is, remove the stream, and the sale opens"

// refuse tells people, once, of a stream with which the sale of its number is not
// opened.
func (s *Scheduler) refuse(id sale.ID, why error, cure string) {
	if _, told := s.refused.LoadOrStore(id, true); !told {
		s.alarms.raise("foreign-stream", "sale", id, "error", why, "do", cure)
	}
}

// watchClocks tells people that nothing is opened because two clocks differ.
func (s *Scheduler) watchClocks(differ error) {
	if differ != nil && !s.skewed {
		s.alarms.raise("clocks-differ", "error", differ,
			"do", "no sale opens until they agree to a minute: set the clock that is wrong")
	}
	s.skewed = differ != nil
}

// openLate is how long after its time a sale that is not open is told of.
const openLate = time.Minute

// lookWhatIsOpen remembers how long the slot's sale is open, if one of these is
// it: to the end of its slot.
func (s *Scheduler) lookWhatIsOpen(rows []ledger.SaleRow, clock time.Time) {
	for _, row := range rows {
		opens := row.Sale.OpensAt
		if row.State == sale.Preparing || opens.Sub(clock) > ledger.MaxClockSkew { // not open, or dated ahead
			continue
		}
		ends := opens.Add(s.cfg.Every - time.Duration(opens.UnixNano()%int64(s.cfg.Every)))
		left := ends.Sub(clock)
		if until := s.host.Now().Add(left); left > 0 && until.After(s.openUntil) {
			s.openUntil = until
		}
	}
}

// watchOpen tells people that the slot's sale is not open, whatever it is that
// keeps it, a minute after its time. After a start that minute begins anew.
func (s *Scheduler) watchOpen(err error) {
	now := s.host.Now()
	if s.openUntil.IsZero() {
		s.openUntil = now
	}
	late := now.Sub(s.openUntil) > openLate
	if late && !s.late {
		s.alarms.raise("not-open", "since", s.openUntil.UTC(), "error", err,
			"do", "the sale of this slot is not known to be open: see the error, or where there is none the alarm before this one")
	}
	s.late = late
}
