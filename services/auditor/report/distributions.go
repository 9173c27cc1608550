package report

import (
	"fmt"
	"math"
	"strings"
)

// smallFormat is that of the charts which stand side by side.
var smallFormat = format{class: "small", width: 340, height: 210}

// shareTicks returns ticks for a share, in percent.
func shareTicks(most float64) ([]tick, float64) {
	by, ticks := step(most, 4), []tick(nil)
	for v := 0.0; ; v += by {
		ticks = append(ticks, tick{v, digits(v, 4) + "%"})
		if v >= most*(1-1e-9) {
			return ticks, v
		}
	}
}

// spreadChart is how long requests waited for their commit, by length. Those
// below zero stand in a column of their own.
func (w *waits) spreadChart(label string) chart {
	list, negative := w.bins()
	n, most := float64(max(w.count(), 1)), 0.0
	if negative > 0 {
		gap := edgeOf(1)
		list = append([]bin{{from: list[0].from / gap / gap / gap, to: list[0].from / gap, n: negative}}, list...)
	}
	for _, b := range list {
		most = math.Max(most, 100*float64(b.n)/n)
	}
	yTicks, top := shareTicks(most)
	from, to := list[0].from, list[len(list)-1].to
	return draw(func(f format) *canvas {
		f.height *= 0.8
		ticks := spaced(decades(from, to), f, from, to)
		if negative > 0 {
			ticks = spaced(decades(list[1].from, to), f, from, to)
			ticks = append(ticks, tick{math.Sqrt(list[0].from * list[0].to), "below 0"})
		}
		p := newPlot(f, label, scale{from: from, to: to, log: true}, scale{from: 0, to: top}, ticks, yTicks, "time from stream to commit, logarithmic", "share of requests")
		var bars pathData
		for _, b := range list {
			x, y := p.x.at(b.from)+1, p.y.at(100*float64(b.n)/n)
			bars.box(x, y, math.Max(p.x.at(b.to)-x-1, 1), p.bottom-y)
		}
		p.path("bars", &bars)
		w.percentileLines(p)
		for i, b := range list {
			name := fmt.Sprintf("%s to %s", lasting(int64(b.from)), lasting(int64(b.to)))
			if negative > 0 && i == 0 {
				name = "below 0, down to " + lasting(w.low)
			}
			p.column(b.from, b.to, fmt.Sprintf("%s: %s, %s%%", name, counted(b.n, "request"), digits(100*float64(b.n)/n, 3)))
		}
		return p.canvas
	})
}

// spaced leaves out the ticks that would run into the one before.
func spaced(ticks []tick, f format, from, to float64) []tick {
	s := scale{from: from, to: to, a: 0, b: f.width - 60, log: true}
	var list []tick
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
	for _, q := range []struct {
		percent       float64
		class, anchor string
		shift         float64
	}{{50, "median", "end", -5}, {99, "high", "start", 5}} {
		us := float64(w.percentile(q.percent))
		if us < p.x.from || us <= 0 {
			continue
		}
		x := p.x.at(us)
		p.line(q.class, x, p.top-6, x, p.bottom)
		anchor, shift := q.anchor, q.shift
		if anchor == "end" && x < 90 {
			anchor, shift = "start", 5
		}
		if anchor == "start" && q.percent > 50 && x > float64(p.W)-90 {
			anchor, shift = "end", -5
		}
		y := p.top - 10
		if q.percent > 50 {
			y += lineHeight
		}
		p.text(x+shift, y, "note", anchor, fmt.Sprintf("p%v %s", q.percent, lasting(int64(us))))
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
	most := 0.0
	for _, n := range s.bins[first : last+1] {
		most = math.Max(most, 100*float64(n)/float64(s.n))
	}
	yTicks, top := shareTicks(most)
	label := fmt.Sprintf("%s: %s on average, %s at most", what, amount(s.mean(), bytes), amount(float64(s.most), bytes))
	p := newPlot(smallFormat, label, scale{from: float64(first), to: float64(last + 1)}, scale{from: 0, to: top}, nil, yTicks, "up to so many "+unit, "share of "+strings.ToLower(strings.Fields(what)[0]))
	var bars pathData
	free := math.Inf(-1)
	for b := first; b <= last; b++ {
		_, to := rangeOf(b)
		x, end, share := p.x.at(float64(b)), p.x.at(float64(b+1)), 100*float64(s.bins[b])/float64(s.n)
		if share > 0 {
			bars.box(x+1, p.y.at(share), end-x-2, p.bottom-p.y.at(share))
		}
		text := amount(float64(to), bytes)
		half := float64(len([]rune(text))) * charWidth / 2
		if middle := (x + end) / 2; middle-half > free {
			p.text(middle, p.bottom+lineHeight+2, "", "middle", text)
			free = middle + half + 5
		}
	}
	p.path("bars", &bars)
	for b := first; b <= last; b++ {
		from, to := rangeOf(b)
		p.column(float64(b), float64(b+1), fmt.Sprintf("%s to %s %s: %s, %s%%",
			grouped(from), grouped(to), unit, counted(s.bins[b], "time"), digits(100*float64(s.bins[b])/float64(s.n), 3)))
	}
	return p.canvas
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
