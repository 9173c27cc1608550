//go:build unix

package soak

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"notsale/loadtest/faults/cluster"
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
	case count == goroutinesOf+cluster.Allocator, count == goroutinesOf+cluster.Recorder:
		return allowance{floor: 40, share: 0.1, perSale: 14}
	case count == descriptorsOf+storesName:
		return allowance{floor: 40, share: 0.1, perSale: 6} // a stream's and its consumers' files
	case count == memoryOf+archiver:
		return allowance{floor: 24, share: 0.25} // of one process, which has nothing to do with unsold sales
	case strings.HasPrefix(count, goroutinesOf), strings.HasPrefix(count, descriptorsOf):
		return allowance{floor: 40, share: 0.1}
	}
	return allowance{floor: 48, share: 0.25, perSale: 1} // memory, which the garbage collector lets vary
}

// leastSamples are enough for four quarters.
const leastSamples = 4

// course is one count over the soak.
type course struct {
	count              string
	first, early, late float64
	most               float64
	allowed            float64
	grown              bool
}

// courses compares the second quarter of the samples with the last. A count that some
// samples lack, such as the memory of archivers that have archived something, is
// compared over the samples that have it, without the first quarter of all; it is left
// out where these are too few.
func courses(samples []sample) (all []course) {
	if len(samples) < leastSamples {
		return nil
	}
	n := len(samples)
	names := map[string]bool{}
	for _, s := range samples {
		for count := range s.counts {
			names[count] = true
		}
	}
	for _, count := range slices.Sorted(maps.Keys(names)) {
		counted := slices.DeleteFunc(slices.Clone(samples[n/4:]), func(s sample) bool {
			_, is := s.counts[count]
			return !is
		})
		if len(counted) < 2*(n/4) {
			continue
		}
		early, late := counted[:n/4], counted[len(counted)-n/4:]
		sales := float64(late[len(late)-1].unsold - early[0].unsold)
		c := course{count: count, first: samples[0].counts[count], early: median(early, count), late: median(late, count)}
		for _, s := range counted {
			c.most = max(c.most, s.counts[count])
		}
		a := allowanceOf(count)
		c.allowed = c.early + max(a.floor, a.share*c.early) + a.perSale*sales
		c.grown = c.late > c.allowed
		all = append(all, c)
	}
	return all
}

func median(samples []sample, count string) float64 {
	values := make([]float64, 0, len(samples))
	for _, s := range samples {
		values = append(values, s.counts[count])
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// table shows the counts.
func table(all []course) string {
	var out strings.Builder
	fmt.Fprintln(&out, "| count | first | second quarter | last quarter | most | allowed |\n|---|---:|---:|---:|---:|---:|")
	for _, c := range all {
		mark := ""
		if c.grown {
			mark = " **grown**"
		}
		fmt.Fprintf(&out, "| %s | %.0f | %.0f | %.0f%s | %.0f | %.0f |\n", c.count, c.first, c.early, c.late, mark, c.most, c.allowed)
	}
	return out.String()
}
