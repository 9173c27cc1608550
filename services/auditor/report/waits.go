package report

import (
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// longestWait is the longest wait that is told apart from longer ones.
const longestWait = int64(time.Hour / time.Microsecond)

// waitDigits is how exact waits are kept, in decimal digits: those of a moment
// to a hundredth, those of a sale to a thousandth.
const (
	waitDigits = 2
	fineDigits = 3
)

// waits is a distribution of microseconds, negative ones too: they are
// differences between two clocks. The zero value is empty.
type waits struct {
	after, before *hdrhistogram.Histogram // the negative ones stand in before; nil: none
	low, high     int64                   // exact
	fine          bool                    // kept to fineDigits
}

// add adds a wait n times.
func (w *waits) add(us, n int64) {
	if n <= 0 {
		return
	}
	if w.count() == 0 {
		w.low, w.high = us, us
	}
	w.low, w.high = min(w.low, us), max(w.high, us)
	to := &w.after
	if us < 0 {
		to, us = &w.before, -max(us, -longestWait)
	}
	if *to == nil {
		*to = w.histogram()
	}
	_ = (*to).RecordValues(min(us, longestWait), n) // fails only beyond longestWait
}

func (w *waits) histogram() *hdrhistogram.Histogram {
	if w.fine {
		return hdrhistogram.New(1, longestWait, fineDigits)
	}
	return hdrhistogram.New(1, longestWait, waitDigits)
}

func countOf(h *hdrhistogram.Histogram) int64 {
	if h == nil {
		return 0
	}
	return h.TotalCount()
}

func (w *waits) count() int64 { return countOf(w.before) + countOf(w.after) }

func (w *waits) merge(other *waits) {
	if other.count() == 0 {
		return
	}
	if w.count() == 0 {
		w.low, w.high = other.low, other.high
	}
	w.low, w.high = min(w.low, other.low), max(w.high, other.high)
	w.after, w.before = w.merged(w.after, other.after), w.merged(w.before, other.before)
}

// merged adds a histogram to another one; either may be missing.
func (w *waits) merged(h, other *hdrhistogram.Histogram) *hdrhistogram.Histogram {
	if other == nil {
		return h
	}
	if h == nil {
		h = w.histogram()
	}
	h.Merge(other)
	return h
}

// percentile returns the wait that so many percent did not exceed; 0 if there
// is none.
func (w *waits) percentile(percent float64) int64 {
	n, negative := w.count(), countOf(w.before)
	if n == 0 {
		return 0
	}
	rank := max(int64(math.Ceil(percent/100*float64(n))), 1)
	var us int64
	if rank <= negative { // the most negative one comes first
		us = -w.before.ValueAtQuantile(100 * float64(negative-rank+1) / float64(negative))
	} else {
		us = w.after.ValueAtQuantile(100 * float64(rank-negative) / float64(n-negative))
	}
	return min(max(us, w.low), w.high)
}

// perDecade is how many bins a decade of waits has in a chart.
const perDecade = 6

// bin is a range of waits in microseconds, with how many there were.
type bin struct {
	from, to float64
	n        int64
}

// fewestBins is how many columns a distribution has at least.
const fewestBins = 6

// bins returns the waits that are not negative, on a logarithmic scale, without
// the empty bins at the ends but for as many as it takes to have fewestBins; and
// how many were negative.
func (w *waits) bins() (list []bin, negative int64) {
	counts := map[int]int64{}
	first, last := math.MaxInt, math.MinInt
	if w.after != nil {
		for _, bar := range w.after.Distribution() {
			if bar.Count > 0 {
				i := int(math.Floor(math.Log10(max(float64(bar.From), 1)) * perDecade))
				counts[i] += bar.Count
				first, last = min(first, i), max(last, i)
			}
		}
	}
	if first > last {
		first, last = 0, 0
	}
	for last-first+1 < fewestBins {
		first, last = max(first-1, 0), last+1
	}
	for i := first; i <= last; i++ {
		list = append(list, bin{from: edgeOf(i), to: edgeOf(i + 1), n: counts[i]})
	}
	return list, countOf(w.before)
}

func edgeOf(i int) float64 { return math.Pow(10, float64(i)/perDecade) }
