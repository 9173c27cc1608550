package stream

import (
	"log/slog"
	"sync/atomic"
	"time"
)

const (
	// slowStore is how long an acknowledgement may take before it counts as slow.
	slowStore = time.Second
	// lagCalm is how long none may have been slow until NATS counts as quick again:
	// some streams may be slow while others are not.
	lagCalm = 10 * time.Second
)

// lag is whether NATS is slow to store what is published. Each change is logged
// once. Safe for any number of callers.
type lag struct {
	last atomic.Int64 // when an acknowledgement was slow, Unix ns; 0: NATS is quick
}

// observe takes how long an acknowledgement took, or how long a publish waited for
// one in vain.
func (l *lag) observe(took time.Duration, log *slog.Logger) {
	now, last := time.Now().UnixNano(), l.last.Load()
	switch {
	case took >= slowStore:
		if l.last.Swap(now) == 0 {
			log.Warn("NATS is slow to store: every publish waits for it", "took", took.Round(time.Millisecond))
		}
	case last != 0 && now-last > int64(lagCalm) && l.last.CompareAndSwap(last, 0):
		log.Info("NATS stores quickly again")
	}
}
