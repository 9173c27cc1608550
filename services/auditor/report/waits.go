package report

import (
	"maps"
	"math"
	"slices"
	"time"
)

// longestWait is the longest wait that is told apart from longer ones.
const longestWait = int64(time.Hour / time.Microsecond)

// By how much waits of one step are apart: those of a moment by a hundredth, those
// of a sale by two thousandths.
const (
	waitStep = 1.01
	fineStep = 1.002
)

// waits is a distribution of microseconds, negative ones too: they are
// differences between two clocks. The zero value is empty.
type waits struct {
	steps     map[int]int64 // how many, by their size on a logarithmic scale
	n         int64
	negative  int64 // of these
	low, high int64 // exact
	fine      bool  // in steps of fineStep
}

// step returns the logarithm of the size of a step.
func (w *waits) step() float64 {
	if w.fine {
		return math.Log(fineStep)
	}
	return math.Log(waitStep)
}

// add adds a wait n times.
func (w *waits) add(us, n int64) {
	if n <= 0 {
		return
	}
	if w.n == 0 {
		w.low, w.high, w.steps = us, us, map[int]int64{}
	}
	w.low, w.high = min(w.low, us), max(w.high, us)
	w.n += n
	step := 0 // of no wait at all
	if us = min(max(us, -longestWait), longestWait); us != 0 {
		step = 1 + int(math.Log(math.Abs(float64(us)))/w.step())
	}
	if us < 0 {
		step = -step
		w.negative += n
	}
	w.steps[step] += n
}

// wait returns the wait in the middle of a step.
func (w *waits) wait(step int) int64 {
	switch {
	case step == 0:
		return 0
	case step < 0:
		return -w.wait(-step)
	}
	return int64(math.Round(math.Exp((float64(step) - 0.5) * w.step())))
}

func (w *waits) count() int64 { return w.n }

func (w *waits) merge(other *waits) {
	if other.n == 0 {
		return
	}
	if w.n == 0 {
		w.low, w.high, w.steps = other.low, other.high, map[int]int64{}
	}
	w.low, w.high = min(w.low, other.low), max(w.high, other.high)
	w.n, w.negative = w.n+other.n, w.negative+other.negative
	for step, n := range other.steps {
		w.steps[step] += n
	}
}

// percentile returns the wait that so many percent did not exceed; 0 if there
// is none.
func (w *waits) percentile(percent float64) int64 {
	rank := max(int64(math.Ceil(percent/100*float64(w.n))), 1)
	for _, step := range slices.Sorted(maps.Keys(w.steps)) {
		if rank -= w.steps[step]; rank <= 0 {
			return min(max(w.wait(step), w.low), w.high)
		}
	}
	return 0
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
	for step, n := range w.steps {
		if step >= 0 {
			counts[int(math.Log10(float64(max(w.wait(step), 1)))*perDecade)] += n
		}
	}
	first, last := 0, 0
	if used := slices.Sorted(maps.Keys(counts)); len(used) > 0 {
		first, last = used[0], used[len(used)-1]
	}
	for last-first+1 < fewestBins {
		first, last = max(first-1, 0), last+1
	}
	for i := first; i <= last; i++ {
		list = append(list, bin{from: edgeOf(i), to: edgeOf(i + 1), n: counts[i]})
	}
	return list, w.negative
}

func edgeOf(i int) float64 { return math.Pow(10, float64(i)/perDecade) }
