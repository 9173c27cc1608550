package telemetry_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"notsale/pkg/telemetry"
)

var errAway = errors.New("away")

func healthy(context.Context) error { return nil }
func away(context.Context) error    { return errAway }

// silent is a dependency that never answers.
func silent(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestHealth(t *testing.T) {
	t.Parallel()
	var h telemetry.Health
	if !h.Empty() || len(h.Check(t.Context())) != 0 {
		t.Error("there is a dependency that nobody added")
	}
	h = telemetry.Health{}
	h.Add("redis", away)
	h.Add("postgres", healthy)
	result := h.Check(t.Context())
	if h.Empty() || len(result) != 2 || !errors.Is(result["redis"], errAway) || result["postgres"] != nil {
		t.Errorf("%v", result)
	}
}

// Dependencies that do not answer fail together, after one timeout.
func TestSilentDependencies(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var h telemetry.Health
		for _, name := range []string{"redis", "postgres", "nats"} {
			h.Add(name, silent)
		}
		h.Add("disk", healthy)
		started := time.Now()
		result := h.Check(t.Context())
		if took := time.Since(started); took != telemetry.ProbeTimeout {
			t.Errorf("it took %v, want %v", took, telemetry.ProbeTimeout)
		}
		for name, want := range map[string]error{"redis": context.DeadlineExceeded, "postgres": context.DeadlineExceeded, "nats": context.DeadlineExceeded, "disk": nil} {
			if !errors.Is(result[name], want) {
				t.Errorf("%s: %v, want %v", name, result[name], want)
			}
		}
	})
}

// A crowd that asks for health costs one probe, and gets news after a while.
func TestResultsAreShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var h telemetry.Health
		var probes atomic.Int32
		h.Add("postgres", func(context.Context) error {
			probes.Add(1)
			return errAway
		})
		var crowd sync.WaitGroup
		for range 100 {
			crowd.Go(func() {
				if err := h.Check(t.Context())["postgres"]; !errors.Is(err, errAway) {
					t.Errorf("%v", err)
				}
			})
		}
		crowd.Wait()
		if n := probes.Load(); n != 1 {
			t.Errorf("%d probes for one crowd", n)
		}
		<-time.After(time.Second) // of the bubble's clock
		h.Check(t.Context())
		if n := probes.Load(); n != 2 {
			t.Errorf("%d probes after a second, want a new one", n)
		}
	})
}

// Someone who hangs up does not make the dependencies fail for the others.
func TestAnImpatientCaller(t *testing.T) {
	t.Parallel()
	var h telemetry.Health
	h.Add("postgres", func(ctx context.Context) error { return ctx.Err() })
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Check(gone)["postgres"]; err != nil {
		t.Error(err)
	}
}
