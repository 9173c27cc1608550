package check

import (
	"testing"

	"github.com/anishathalye/porcupine"
	"pgregory.net/rapid"

	"notsale/pkg/allocation"
)

func drawTimes(t *rapid.T) (start, end int64) {
	start = int64(rapid.IntRange(0, 12).Draw(t, "start"))
	return start, start + int64(rapid.IntRange(0, 6).Draw(t, "length"))
}

func drawActs(t *rapid.T) []step {
	steps := make([]step, rapid.IntRange(1, 8).Draw(t, "steps"))
	for i := range steps {
		a := act{verb: verb(rapid.IntRange(0, int(lacks)).Draw(t, "verb")), code: rapid.IntRange(0, 2).Draw(t, "code")}
		if a.verb == full && rapid.Bool().Draw(t, "of another") {
			a.code = none
		}
		steps[i].input = a
		steps[i].start, steps[i].end = drawTimes(t)
	}
	return steps
}

func drawEvents(t *rapid.T) []step {
	steps := make([]step, rapid.IntRange(1, 8).Draw(t, "steps"))
	for i := range steps {
		e := event{tells: rapid.SampledFrom([]tells{granted, refused, rejected, undecided}).Draw(t, "tells")}
		e.reads = rapid.IntRange(0, 3).Draw(t, "lookup") == 0
		seen := rapid.IntRange(0, 2).Draw(t, "seen")
		switch e.tells {
		case granted:
			e.fate.body = []string{"", "x", "y"}[seen]
			e.any = seen == 0
		case refused:
			e.fate.reason, e.fate.position, e.any = allocation.ItemTaken, int64(seen), seen == 0
		}
		e.reads = e.reads && !e.any
		steps[i].input = e
		steps[i].start, steps[i].end = drawTimes(t)
	}
	return steps
}

// A history and its reduced form are linearizable or not, both.
func TestReductionIsEquivalent(t *testing.T) {
	both := map[porcupine.CheckResult]int{}
	same := func(t *rapid.T, m porcupine.Model, steps []step) {
		whole, reduced := run(m, steps, wholeTime), run(m, reduce(steps), wholeTime)
		if whole != reduced {
			t.Fatalf("whole %v, reduced %v: %+v", whole, reduced, steps)
		}
		both[whole]++
	}
	rapid.Check(t, func(t *rapid.T) { same(t, owners(rapid.IntRange(1, 2).Draw(t, "room")), drawActs(t)) })
	rapid.Check(t, func(t *rapid.T) { same(t, fates(), drawEvents(t)) })
	if fewest := (both[porcupine.Ok] + both[porcupine.Illegal]) / 20; min(both[porcupine.Ok], both[porcupine.Illegal]) < max(fewest, 1) {
		t.Errorf("too one-sided: %v", both)
	}
}

// Many concurrent refusals in a history that nothing explains: what porcupine
// cannot finish as it is, it finishes reduced.
func TestHotItemsAreFinished(t *testing.T) {
	steps := []step{{start: 0, end: 1000, input: act{verb: grants}}, {start: 0, end: 1000, input: act{verb: grants, code: 1}}}
	for i := range int64(200) {
		steps = append(steps, step{start: i, end: 500 + i, input: act{verb: full, code: none}})
	}
	if got := run(owners(1), reduce(steps), reducedTime); got != porcupine.Illegal {
		t.Errorf("two owners: %v", got)
	}
	if got := run(owners(2), reduce(steps), reducedTime); got != porcupine.Ok {
		t.Errorf("room for two: %v", got)
	}
}
