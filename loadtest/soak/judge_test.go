//go:build unix

package main

import (
	"math/rand/v2"
	"testing"
)

// series makes samples of one count, and of sales left unsold.
func series(count string, n int, value func(i, unsold int) float64) (samples []sample) {
	for i := range n {
		unsold := i / 4
		samples = append(samples, sample{sale: int64(i), unsold: unsold, archived: i >= 4, counts: map[string]float64{count: value(i, unsold)}})
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

// What archivers need is compared from when they have worked: in ten slots nothing
// is old enough in the first of the second quarter.
func TestCoursesOfArchivers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		n     int
		value func(i, unsold int) float64
		grown bool
	}{
		{"memory of work", 10, func(i, _ int) float64 { return 40 + 60*min(1, max(0, float64(i)-3)) }, false},
		{"memory of each work", 10, func(i, _ int) float64 { return 40 + 10*max(0, float64(i)-3) }, true},
		{"memory of each work, for long", 120, func(i, _ int) float64 { return 40 + float64(i) }, true},
	} {
		got := courses(series(memoryOf+archiver, c.n, c.value))
		if len(got) != 1 || got[0].grown != c.grown {
			t.Errorf("%s: %+v, want grown %v", c.name, got, c.grown)
		}
	}
	if got := courses(series(memoryOf+archiver, leastSamples, func(int, int) float64 { return 1 })); got != nil {
		t.Errorf("judged archivers that have not worked: %+v", got)
	}
}

func TestTooFewSamples(t *testing.T) {
	t.Parallel()
	if got := courses(series(countStreams, leastSamples-1, func(int, int) float64 { return 1 })); got != nil {
		t.Errorf("judged %d samples: %+v", leastSamples-1, got)
	}
}
