package report

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A timeline loses nothing, whatever comes in whatever order, and stays small.
func TestTimelineKeepsItsSums(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		line := newTimeline()
		offsets := rapid.SliceOf(rapid.OneOf(rapid.Int64Range(-1000, 1_000_000), rapid.Int64())).Draw(t, "offsets")
		for _, offset := range offsets {
			m := line.at(offset)
			m.outcomes[0]++
			m.waits.add(offset%1000, 2)
		}
		var requests, waits, shown int64
		for i := range line.moments {
			requests += line.moments[i].total()
			waits += line.moments[i].waits.count()
		}
		n := int64(len(offsets))
		if requests != n || waits != 2*n || len(line.moments) > maxMoments {
			t.Fatalf("%d requests, %d waits in %d moments, want %d", requests, waits, len(line.moments), n)
		}
		columns, _ := line.columns(40, math.MaxInt64)
		for i := range columns {
			shown += columns[i].total()
		}
		if shown != n || len(columns) > 40 {
			t.Fatalf("%d columns show %d requests, want %d", len(columns), shown, n)
		}
	})
}

func TestPercentilesAreThoseOfTheSortedWaits(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfN(rapid.Int64Range(-5_000_000, 5_000_000), 1, 50).Draw(t, "waits")
		w := waits{fine: true}
		for _, us := range list {
			w.add(us, 1)
		}
		slices.Sort(list)
		for _, percent := range []float64{0, 1, 50, 90, 99, 100} {
			rank := max(int(math.Ceil(percent/100*float64(len(list)))), 1)
			want, got := float64(list[rank-1]), float64(w.percentile(percent))
			if math.Abs(got-want) > math.Max(math.Abs(want)/500, 1) {
				t.Fatalf("p%v is %v, want %v of %v", percent, got, want, list)
			}
		}
		bins, n := w.bins()
		for _, b := range bins {
			n += b.n
		}
		if n != int64(len(list)) {
			t.Fatalf("%d waits in bins, want %d", n, len(list))
		}
	})
}

func TestSizesFallIntoTheirBins(t *testing.T) {
	t.Parallel()
	for size := range int64(3000) {
		if from, to := rangeOf(binOf(size)); size < from || size > to {
			t.Fatalf("%d falls into %d to %d", size, from, to)
		}
	}
}

func TestCurveReachesTheStock(t *testing.T) {
	t.Parallel()
	for _, stock := range []int{1, 2, 399, 400, 401, 2000, 10_000, 123_457} {
		c := curve{stock: stock}
		for i := range stock {
			if at, out := c.soldOut(); out {
				t.Fatalf("%d of %d items are sold out at %d", i, stock, at)
			}
			c.sell(int64(i))
		}
		at, out := c.soldOut()
		if !out || at != int64(stock-1) || c.level(c.steps()) != stock || len(c.times) > curveSteps {
			t.Errorf("%d items: sold out %v at %d, %d steps", stock, out, at, len(c.times))
		}
	}
}

func TestTexts(t *testing.T) {
	t.Parallel()
	for want, got := range map[string]string{
		"0 µs": lasting(0), "999 µs": lasting(999), "1 ms": lasting(1000), "1.23 ms": lasting(1234), "−2.5 s": lasting(-2_500_000),
		"1 min": lasting(60e6), "2 min 3 s": lasting(123e6), "1 h 1 min": lasting(3660e6), "2 d": lasting(48 * 3600e6), "59.9 s": lasting(59_900_000),
		"12,755": grouped(12755), "999": grouped(999), "−1,000": grouped(-1000), "1 hole": counted(1, "hole"), "0 holes": counted(0, "hole"),
		"12.5k": short(12500), "9999": short(9999), "1.5M": short(1.5e6), "0": short(0), "0.25": digits(0.25, 3),
		`a\u{a}b`: printable("a\nb"), "ünï": printable("ünï"),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
