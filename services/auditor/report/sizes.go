package report

import "math/bits"

// sizes is a distribution of whole numbers over bins 0, 1, 2, 3-4, 5-8, 9-16
// and so on.
type sizes struct {
	bins [66]int64
	n    int64
	sum  int64
	most int64
}

func (s *sizes) add(size int64) {
	s.bins[binOf(size)]++
	s.n++
	s.sum += size
	s.most = max(s.most, size)
}

func binOf(size int64) int {
	if size <= 0 {
		return 0
	}
	return 1 + bits.Len64(uint64(size-1))
}

// rangeOf returns the sizes that a bin holds.
func rangeOf(bin int) (from, to int64) {
	if bin < 2 {
		return int64(bin), int64(bin)
	}
	return 1<<(bin-2) + 1, 1 << (bin - 1)
}

func (s *sizes) mean() float64 { return float64(s.sum) / float64(max(s.n, 1)) }

// used returns the first and the last bin that is not empty; none: last < first.
func (s *sizes) used() (first, last int) {
	first, last = len(s.bins), -1
	for i, n := range s.bins {
		if n > 0 {
			first, last = min(first, i), i
		}
	}
	return first, last
}
