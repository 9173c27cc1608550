package telemetry

import (
	"context"
	"sync"
	"time"
)

// ProbeTimeout is how long a dependency may take to answer a probe.
const ProbeTimeout = time.Second

// probeLife is how long a probe's result is reused, so that a crowd that asks
// for health does not become a load.
const probeLife = 200 * time.Millisecond

// Probe asks a dependency whether it answers.
type Probe func(ctx context.Context) error

// Health knows how to probe the dependencies of a process.
type Health struct {
	names  []string
	probes []Probe

	mu     sync.Mutex
	asked  time.Time        // guarded by mu
	result map[string]error // guarded by mu, never changed once set
}

// Add adds a dependency. All are added before the first Check.
func (h *Health) Add(name string, p Probe) {
	h.names, h.probes = append(h.names, name), append(h.probes, p)
}

// Check probes all dependencies side by side and returns the error of each,
// nil for those that answered. The result may be up to 200 ms old.
func (h *Health) Check(ctx context.Context) map[string]error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.result != nil && time.Since(h.asked) < probeLife {
		return h.result
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ProbeTimeout)
	defer cancel()
	errs := make([]error, len(h.probes))
	var wg sync.WaitGroup
	for i, probe := range h.probes {
		wg.Go(func() { errs[i] = probe(ctx) })
	}
	wg.Wait()
	result := make(map[string]error, len(errs))
	for i, err := range errs {
		result[h.names[i]] = err
	}
	h.asked, h.result = time.Now(), result
	return result
}

// Empty reports whether no dependency was added yet.
func (h *Health) Empty() bool { return len(h.names) == 0 }
