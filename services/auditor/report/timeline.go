package report

import (
	"time"

	"notsale/pkg/allocation"
)

// outcome is what became of a request: a reason, or one of those below.
type outcome uint8

const (
	askedAgain outcome = outcome(allocation.ItemTaken) + 1 + iota // the code was decided before
	unknown                                                       // a row of a reason that nobody knows
	outcomes                                                      // how many there are
)

// outcomeOf returns the outcome of a new decision.
func outcomeOf(r allocation.Reason) outcome {
	if !r.Valid() || outcome(r) >= askedAgain {
		return unknown
	}
	return outcome(r)
}

// Of a timeline there are at most maxMoments moments, of firstWidth each at
// first: more than a chart has columns.
const (
	maxMoments = 256
	firstWidth = int64(time.Millisecond / time.Microsecond)
)

// moment is what happened in one moment of a timeline.
type moment struct {
	outcomes [outcomes]int64
	waits    waits // of its requests, from stream to commit
}

// timeline sums over moments of equal width, which doubles when they do not
// reach. Times are microseconds since its beginning.
type timeline struct {
	width   int64
	end     int64 // it takes nothing from here on; 0: it takes everything
	moments []moment
}

func newTimeline() timeline { return timeline{width: firstWidth} }

// at returns the moment of a time; nil: beyond the end. Times before the
// beginning belong to the first moment.
func (t *timeline) at(offset int64) *moment {
	offset = max(offset, 0)
	if t.end > 0 && offset >= t.end {
		return nil
	}
	for offset/t.width >= maxMoments {
		t.double()
	}
	for i := int(offset / t.width); len(t.moments) <= i; {
		t.moments = append(t.moments, moment{})
	}
	return &t.moments[offset/t.width]
}

func (t *timeline) double() {
	for i := range t.moments {
		if to := &t.moments[i/2]; i%2 == 0 {
			*to = t.moments[i]
		} else {
			to.add(&t.moments[i])
		}
	}
	t.moments, t.width = t.moments[:(len(t.moments)+1)/2], 2*t.width
}

func (m *moment) add(other *moment) {
	for o, n := range other.outcomes {
		m.outcomes[o] += n
	}
	m.waits.merge(&other.waits)
}

func (m *moment) total() (n int64) {
	for _, k := range m.outcomes {
		n += k
	}
	return n
}

// until returns the end of the moment that a time falls into.
func (t *timeline) until(offset int64) int64 { return (offset/t.width + 1) * t.width }

// columns returns at most so many moments up to a time, which is not 0, and
// their width. The timeline keeps what it has.
func (t *timeline) columns(most int, until int64) (moments []moment, width int64) {
	n := min(len(t.moments), int((until-1)/t.width)+1)
	k := max((n+most-1)/most, 1)
	for i := range t.moments[:n] {
		if i%k == 0 {
			moments = append(moments, moment{})
		}
		moments[len(moments)-1].add(&t.moments[i])
	}
	return moments, t.width * int64(k)
}
