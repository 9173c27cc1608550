//go:build unix

package soak

import (
	"math/rand/v2"
	"testing"
)

// series makes samples of one count, and of sales left unsold.
func series(count string, n int, value func(i, unsold int) float64) (samples []sample) {
	for i := range n {
		unsold := i / 4
		samples = append(samples, sample{sale: int64(i), unsold: unsold, counts: map[string]float64{count: value(i, unsold)}})
	}
	return samples
}

// What grows with the unsold sales is flat, what grows with time is not.
func TestCourses(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 1))
	for _, c := range []struct {
		name, count string
		value       func(i, unsold int) float64
		grown       bool
	}{
		{"constant sessions", countSessions, func(int, int) float64 { return 30 }, false},
		{"a session more each slot", countSessions, func(i, _ int) float64 { return 30 + float64(i) }, true},
		{"two streams a sale", countStreams, func(_, unsold int) float64 { return 8 + 2*float64(unsold) }, false},
		{"streams of sold-out sales stay", countStreams, func(i, _ int) float64 { return 8 + 2*float64(i) }, true},
		{"noisy memory", memoryOf + "edge", func(int, int) float64 { return 100 + 20*rng.Float64() }, false},
		{"leaking memory", memoryOf + "edge", func(i, _ int) float64 { return 100 + 4*float64(i) }, true},
		{"goroutines of readers", goroutinesOf + "allocator", func(_, unsold int) float64 { return 60 + 10*float64(unsold) }, false},
		{"leaking goroutines", goroutinesOf + "edge", func(i, _ int) float64 { return 60 + 5*float64(i) }, true},
		{"leaking descriptors", descriptorsOf + "edge", func(i, _ int) float64 { return 60 + 3*float64(i) }, true},
	} {
		got := courses(series(c.count, 120, c.value))
		if len(got) != 1 || got[0].grown != c.grown {
			t.Errorf("%s: %+v, want grown %v", c.name, got, c.grown)
		}
	}
}

// What archivers need is compared among those that have worked: in ten slots
// nothing is old enough in the first few, and later a fault may have put new ones
// in the place of all.
func TestCoursesOfArchivers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		n     int
		value func(i, unsold int) float64
		grown bool
	}{
		{"memory of work", 10, func(int, int) float64 { return 80 }, false},
		{"memory of each work", 10, func(i, _ int) float64 { return 40 + 10*float64(i) }, true},
		{"memory of each work, for long", 120, func(i, _ int) float64 { return 40 + float64(i) }, true},
	} {
		samples := series(memoryOf+archiver, c.n, c.value)
		for i := range samples {
			if i < 4 || i == 6 { // new ones
				delete(samples[i].counts, memoryOf+archiver)
			}
		}
		got := courses(samples)
		if len(got) != 1 || got[0].grown != c.grown {
			t.Errorf("%s: %+v, want grown %v", c.name, got, c.grown)
		}
		for i := range samples[:c.n-2] {
			delete(samples[i].counts, memoryOf+archiver)
		}
		if got := courses(samples); got != nil {
			t.Errorf("%s: judged archivers that have hardly worked: %+v", c.name, got)
		}
	}
}

func TestTooFewSamples(t *testing.T) {
	t.Parallel()
	if got := courses(series(countStreams, leastSamples-1, func(int, int) float64 { return 1 })); got != nil {
		t.Errorf("judged %d samples: %+v", leastSamples-1, got)
	}
}
