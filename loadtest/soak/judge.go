//go:build unix

package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"notsale/loadtest/faults/arena"
)

// allowance is how much a count may grow from an early part of the soak to its
// end, and still be called flat.
type allowance struct {
	floor   float64 // whatever the count
	share   float64 // of the early count
	perSale float64 // for each sale that was left unsold meanwhile
}

// allowanceOf says what a count may grow by. An unsold sale costs its two
// streams, the reader of each in every process that decides or records it, and
// their goroutines and buffers; it costs no session of Postgres.
func allowanceOf(count string) allowance {
	switch {
	case count == countStreams:
		return allowance{floor: 6, perSale: 2} // sold-out sales that await their archive, and streams of no sale
	case count == countReserved:
		return allowance{floor: 256, share: 0.1, perSale: 8} // the newest sales' streams, which have not shrunk yet
	case count == countConsumers:
		return allowance{floor: 8, perSale: 8}
	case count == countSessions:
		return allowance{floor: 8}
	case count == goroutinesOf+arena.Allocator, count == goroutinesOf+arena.Recorder:
		return allowance{floor: 40, share: 0.1, perSale: 14}
	case count == descriptorsOf+storesName:
		return allowance{floor: 40, share: 0.1, perSale: 6} // a stream's and its consumers' files
	case count == memoryOf+archiver:
		return allowance{floor: 24, share: 0.25} // of one process; unsold sales are nothing to it
	case strings.HasPrefix(count, goroutinesOf), strings.HasPrefix(count, descriptorsOf):
		return allowance{floor: 40, share: 0.1}
	}
	return allowance{floor: 48, share: 0.25, perSale: 1} // memory; the collector lets it breathe
}

// parts of a soak that are compared: a half of it is warm-up enough.
const leastSamples = 4

// course is one count over the soak.
type course struct {
	count              string
	first, early, late float64
	most               float64
	allowed            float64
	grown              bool
}

// courses compares the second quarter of the samples with the last; of what the
// archivers need, which have nothing to do until a sale is old enough, so many
// samples from when they had archived one, where that is later.
func courses(samples []sample) (all []course) {
	if len(samples) < leastSamples {
		return nil
	}
	n := len(samples)
	early, late := samples[n/4:n/2], samples[n-n/4:]
	for _, count := range slices.Sorted(maps.Keys(samples[0].counts)) {
		base := early
		if strings.HasSuffix(count, archiver) {
			if base = atWork(samples); base == nil {
				continue
			}
		}
		sales := float64(late[len(late)-1].unsold - base[0].unsold)
		c := course{count: count, first: samples[0].counts[count], early: median(base, count), late: median(late, count)}
		for _, s := range samples {
			c.most = max(c.most, s.counts[count])
		}
		a := allowanceOf(count)
		c.allowed = c.early + max(a.floor, a.share*c.early) + a.perSale*sales
		c.grown = c.late > c.allowed
		all = append(all, c)
	}
	return all
}

// atWork returns the first quarter of all samples, but for the very first quarter
// and the last, in which a sale had been archived; nil in a soak that is too short.
func atWork(samples []sample) []sample {
	n := len(samples)
	from := slices.IndexFunc(samples, func(s sample) bool { return s.archived })
	if from < 0 || from > n-2*(n/4) {
		return nil
	}
	from = max(from, n/4)
	return samples[from : from+n/4]
}

func median(samples []sample, count string) float64 {
	values := make([]float64, 0, len(samples))
	for _, s := range samples {
		values = append(values, s.counts[count])
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// printCourses prints a table of the counts.
func printCourses(out io.Writer, all []course) {
	fmt.Fprintln(out, "| count | first | second quarter | last quarter | most | allowed |\n|---|---:|---:|---:|---:|---:|")
	for _, c := range all {
		mark := ""
		if c.grown {
			mark = " **grown**"
		}
		fmt.Fprintf(out, "| %s | %.0f | %.0f | %.0f%s | %.0f | %.0f |\n", c.count, c.first, c.early, c.late, mark, c.most, c.allowed)
	}
}
