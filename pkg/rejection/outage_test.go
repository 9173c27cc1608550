package rejection_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"notsale/pkg/allocation"
	"notsale/pkg/backends"
	"notsale/pkg/backends/backendstest"
	"notsale/pkg/effort"
	"notsale/pkg/rejection"
)

// quick is what an outage may cost a purchase: a fraction of a second.
const quick = 500 * time.Millisecond

// outage is one way in which Redis can be away, and its end.
type outage struct {
	redis      func(t *testing.T) *backends.Redis
	begin, end func(t *testing.T, r *backends.Redis) error
}

func realRedis(t *testing.T) *backends.Redis {
	t.Helper()
	backendstest.RequireReal(t, "redis-server", backends.FindRedis() != "")
	return backendstest.New(t, backendstest.WithOwnRedis).Redis
}

func restart(t *testing.T, r *backends.Redis) error {
	t.Helper()
	return r.Restart(t.Context())
}

var outages = map[string]outage{
	"stopped":           {realRedis, func(t *testing.T, r *backends.Redis) error { t.Helper(); return r.Stop(t.Context()) }, restart},
	"killed":            {realRedis, func(_ *testing.T, r *backends.Redis) error { return r.Kill() }, restart},
	"paused":            {realRedis, func(_ *testing.T, r *backends.Redis) error { return r.Pause() }, func(_ *testing.T, r *backends.Redis) error { return r.Resume() }},
	"miniredis stopped": {startMiniredis, func(t *testing.T, r *backends.Redis) error { t.Helper(); return r.Stop(t.Context()) }, restart},
}

// While Redis is away an answer costs next to nothing, and refuses nobody; when
// it is back, the cache works again by itself.
func TestOutages(t *testing.T) {
	t.Parallel()
	for name, o := range outages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := o.redis(t)
			s := openStore(t, r.URL())
			s.learn(t, ours, allocation.Facts{Owners: owner(other)})
			if got := s.ask(t, purchase); got[0] != taken {
				t.Fatalf("before the outage: %v", got)
			}
			if err := o.begin(t, r); err != nil {
				t.Fatal(err)
			}
			failsFreely(t, s.cache)
			if err := o.end(t, r); err != nil {
				t.Fatal(err)
			}
			// What the outage has cost is learned again, from the next refusals.
			s.learn(t, ours, allocation.Facts{Owners: owner(other)})
			if got := s.ask(t, purchase); got[0] != taken {
				t.Errorf("after the outage: %v", got)
			}
			retry(t, "probe", func() error { return s.cache.Probe(t.Context()) })
		})
	}
}

func failsFreely(t *testing.T, c *rejection.Cache) {
	t.Helper()
	questions := []rejection.Question{purchase, checkout}
	started := time.Now()
	answers, err := c.Ask(t.Context(), questions)
	failed := time.Now()
	blank := []rejection.Answer{{Blank: true}, {Blank: true}}
	if err == nil || !slices.Equal(answers, blank) {
		t.Errorf("ask: %v, %v, want an error and nothing known", answers, err)
	}
	effort.Figure(t, "asking a cache that is away", failed.Sub(started), quick)
	// The pause may be over already where the machine was busy for that long.
	answers, err = c.Ask(t.Context(), questions)
	if since := time.Since(failed); !errors.Is(err, rejection.ErrPaused) && since < rejection.Pause {
		t.Errorf("ask again after %v: %v, want ErrPaused", since, err)
	}
	if !slices.Equal(answers, blank) {
		t.Errorf("ask again: %v", answers)
	}
	_, err = c.Learn(t.Context(), ours, mark, mark, &allocation.Facts{SoldOut: true})
	if since := time.Since(failed); !errors.Is(err, rejection.ErrPaused) && since < rejection.Pause {
		t.Errorf("learn after %v: %v, want ErrPaused", since, err)
	}
	if err := c.Probe(t.Context()); err == nil || errors.Is(err, rejection.ErrPaused) {
		t.Errorf("probe: %v, want what Redis says, not the pause", err)
	}
}

// Learning meets the outage first as often as asking does.
func TestLearningPausesToo(t *testing.T) {
	t.Parallel()
	r := startMiniredis(t)
	s := openStore(t, r.URL())
	if err := r.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	if _, err := s.cache.Learn(t.Context(), ours, none, mark, &allocation.Facts{SoldOut: true}); err == nil || errors.Is(err, rejection.ErrPaused) {
		t.Errorf("first: %v", err)
	}
	failed := time.Now()
	effort.Figure(t, "teaching a cache that is away", failed.Sub(started), quick)
	_, err := s.cache.Ask(t.Context(), []rejection.Question{purchase})
	if since := time.Since(failed); !errors.Is(err, rejection.ErrPaused) && since < rejection.Pause {
		t.Errorf("ask after %v: %v, want ErrPaused", since, err)
	}
}
