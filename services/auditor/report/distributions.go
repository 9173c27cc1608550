package report

import (
	"fmt"
	"math"
	"strings"
)

// smallFormat is that of charts side by side.
var smallFormat = format{class: "small", width: 340, height: 210}

// bar is a column of a distribution: how many there were of what it is called.
type bar struct {
	from, to float64 // on the axis
	n        int64
	name     string
}

// distribution draws bars as shares of all of them.
func distribution(f format, label string, x scale, list []bar, noun string, xTicks []tick, xTitle, yTitle string) *plot {
	total, most := int64(0), int64(0)
	for _, b := range list {
		total, most = total+b.n, max(most, b.n)
	}
	share := func(n int64) float64 { return 100 * float64(n) / float64(max(total, 1)) }
	yTicks, top := ticksTo(share(most), step(share(most), 4), func(v float64) string { return digits(v, 4) + "%" })
	p := newPlot(f, label, x, scale{from: 0, to: top}, xTicks, yTicks, xTitle, yTitle)
	var bars pathData
	for _, b := range list {
		if x, y := p.x.at(b.from)+1, p.y.at(share(b.n)); b.n > 0 {
			bars.box(x, y, math.Max(p.x.at(b.to)-x-1, 1), p.bottom-y)
		}
	}
	p.path("bars", &bars)
	for _, b := range list {
		p.column(b.from, b.to, fmt.Sprintf("%s: %s, %s%%", b.name, counted(b.n, noun), digits(share(b.n), 3)))
	}
	return p
}

// spreadChart is how long requests waited for their commit, by length. Those
// below zero have a column of their own.
func (w *waits) spreadChart(label string) chart {
	var list []bar
	bins, negative := w.bins()
	from, to := bins[0].from, bins[len(bins)-1].to
	x := scale{from: from, to: to, log: true}
	ticks := decades(from, to)
	if negative > 0 {
		x.from = from / math.Pow(edgeOf(1), 3)
		list = []bar{{x.from, from / edgeOf(1), negative, "below 0, down to " + lasting(w.low)}}
	}
	for _, b := range bins {
		list = append(list, bar{b.from, b.to, b.n, fmt.Sprintf("%s to %s", lasting(int64(b.from)), lasting(int64(b.to)))})
	}
	return draw(func(f format) *canvas {
		f.height *= 0.8
		ticks := spaced(ticks, f, x)
		if negative > 0 {
			ticks = append(ticks, tick{math.Sqrt(list[0].from * list[0].to), "below 0"})
		}
		p := distribution(f, label, x, list, "request", ticks, "time from stream to commit, logarithmic", "share of requests")
		w.percentileLines(p)
		return p.canvas
	})
}

// spaced leaves out the ticks that would run into the one before.
func spaced(ticks []tick, f format, s scale) (list []tick) {
	s.b = f.width - 60
	free := math.Inf(-1)
	for _, t := range ticks {
		half := float64(len([]rune(t.text))) * charWidth / 2
		if at := s.at(t.at); at-half > free {
			list = append(list, t)
			free = at + half + 8
		}
	}
	return list
}

// percentileLines marks p50 and p99, where they are above zero.
func (w *waits) percentileLines(p *plot) {
	for i, class := range []string{"median", "high"} {
		percent := []float64{50, 99}[i]
		us := float64(w.percentile(percent))
		if us < p.x.from || us <= 0 {
			continue
		}
		x := p.x.at(us)
		p.line(class, x, p.top-6, x, p.bottom)
		anchor, shift := "start", 5.0
		if i == 0 && x >= 90 || i == 1 && x > float64(p.W)-90 {
			anchor, shift = "end", -5
		}
		p.text(x+shift, p.top-10+float64(i)*lineHeight, "note", anchor, fmt.Sprintf("p%v %s", percent, lasting(int64(us))))
	}
}

// sizeChart is how often which size came.
func (s *sizes) sizeChart(what, unit string, bytes bool) *canvas {
	first, last := s.used()
	for last-first+1 < fewestBins {
		if first > 1 {
			first--
		}
		last++
	}
	var list []bar
	var ticks []tick
	for b := first; b <= last; b++ {
		from, to := rangeOf(b)
		list = append(list, bar{float64(b), float64(b + 1), s.bins[b], fmt.Sprintf("%s to %s %s", grouped(from), grouped(to), unit)})
		ticks = append(ticks, tick{float64(b) + 0.5, amount(float64(to), bytes)})
	}
	x := scale{from: float64(first), to: float64(last + 1)}
	label := fmt.Sprintf("%s: %s on average, %s at most", what, amount(s.mean(), bytes), amount(float64(s.most), bytes))
	return distribution(smallFormat, label, x, list, "time", spaced(ticks, smallFormat, x), "up to so many "+unit, "share of "+strings.ToLower(strings.Fields(what)[0])).canvas
}

// amount writes a size: a plain number, or bytes in a fitting unit.
func amount(n float64, bytes bool) string {
	switch {
	case bytes && n >= 1<<20:
		return digits(n/(1<<20), 3) + " MiB"
	case bytes && n >= 1<<10:
		return digits(n/(1<<10), 3) + " KiB"
	default:
		return short(math.Round(n*10) / 10)
	}
}
