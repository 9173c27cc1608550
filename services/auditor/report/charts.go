package report

import (
	"fmt"
	"math"
	"strings"

	"notsale/pkg/allocation"
)

// kinds are the outcomes as a chart stacks and a table lists them.
var kinds = []struct {
	outcome outcome
	class   string // of its colour and its pattern
	name    string
	meaning string
}{
	{outcome(allocation.Granted), "granted", "granted", "sold"},
	{outcome(allocation.ItemTaken), "taken", "item taken", "somebody was earlier"},
	{outcome(allocation.LimitReached), "limit", "limit reached", "the user had bought as many as one may"},
	{outcome(allocation.SoldOut), "out", "sold out", "nothing was left"},
	{outcome(allocation.CodeExpired), "expired", "code expired", "the code was too old"},
	{outcome(allocation.Malformed), "malformed", "malformed", "could not be read, or names no item of the sale"},
	{askedAgain, "again", "asked again", "a retry: its code had its answer"},
	{unknown, "unknown", "unknown reason", "a row of the ledger that this program cannot read"},
}

const sinceFirst = " since the first request"

// draw draws a chart for every format.
func draw(one func(f format) *canvas) chart {
	var c chart
	for _, f := range formats {
		c = append(c, one(f))
	}
	return c
}

// overTime makes a plot over the time from the first request on.
func (c *record) overTime(f format, label string, span int64, y scale, yTicks []tick, yTitle string) *plot {
	ticks, unit := timeTicks(0, float64(span), int(f.width/85))
	return newPlot(f, label, scale{from: 0, to: float64(span)}, y, ticks, yTicks, unit+sinceFirst, yTitle)
}

// soldChart is how much was sold when.
func (c *record) soldChart(label string) chart {
	stock := float64(c.curve.stock)
	return draw(func(f format) *canvas {
		ticks, top := countTicks(stock, 5)
		p := c.overTime(f, label, c.span(), scale{from: 0, to: top}, ticks, "items sold")
		var line pathData
		line.put('M', p.x.at(0), p.y.at(0))
		for i, at := range c.curve.times {
			line.put('L', p.x.at(float64(at)), p.y.at(float64(c.curve.level(i+1))))
		}
		if _, out := c.curve.soldOut(); !out {
			line.put('L', p.x.at(float64(c.curve.last)), p.y.at(float64(min(c.curve.sold, c.curve.stock))))
		}
		line.put('H', p.right)
		var area pathData
		area.WriteString(line.String())
		area.put('V', p.bottom)
		area.WriteByte('z')
		p.path("area", &area)
		p.line("stock", p.left, p.y.at(stock), p.right, p.y.at(stock))
		p.path("curve", &line)
		c.drawIncidents(p)
		c.soldTips(p, f)
		c.lastSold(p)
		return p.canvas
	})
}

// lastSold marks the sale of the last item.
func (c *record) lastSold(p *plot) {
	at, out := c.curve.soldOut()
	if !out {
		return
	}
	x, y := p.x.at(float64(at)), p.y.at(float64(c.curve.stock))
	p.line("stock", x, y, x, p.bottom)
	p.add(shape{Tag: "circle", Class: "dot", X: px(x), Y: px(y), W: 5, Tip: "sold out " + lasting(at) + " after the first request"})
	anchor, shift := "end", -8.0
	if x < (p.left+p.right)/2 {
		anchor, shift = "start", 8
	}
	p.text(x+shift, p.bottom-10, "note", anchor, "sold out after "+lasting(at))
}

// soldTips says how much was sold when the columns end.
func (c *record) soldTips(p *plot, f format) {
	n, i := min(f.columns, 60), 0
	for k := range n {
		from, to := p.x.to*float64(k)/float64(n), p.x.to*float64(k+1)/float64(n)
		for i < len(c.curve.times) && float64(c.curve.times[i]) <= to {
			i++
		}
		sold := 0
		if i > 0 {
			sold = c.curve.level(i)
		}
		p.column(from, to, fmt.Sprintf("after %s: about %s of %s sold", lasting(int64(to)), grouped(int64(sold)), grouped(int64(c.curve.stock))))
	}
}

// flowChart is what became of the requests of a timeline, stacked.
func (c *record) flowChart(label string, t *timeline, span int64) chart {
	return draw(func(f format) *canvas {
		columns, width := t.columns(f.columns, span)
		seconds, most := float64(width)/1e6, 0.0
		for i := range columns {
			most = math.Max(most, float64(columns[i].total())/seconds)
		}
		ticks, top := countTicks(most, 5)
		p := c.overTime(f, label, span, scale{from: 0, to: top}, ticks, "requests per second")
		paths := make([]pathData, len(kinds))
		for i := range columns {
			from, to := float64(i)*float64(width), math.Min(float64(i+1)*float64(width), float64(span))
			x, stacked := p.x.at(from), 0.0
			for k := range kinds {
				n := float64(columns[i].outcomes[kinds[k].outcome]) / seconds
				if n == 0 {
					continue
				}
				low, high := p.y.at(stacked), p.y.at(stacked+n)
				paths[k].box(x, high, p.x.at(to)-x, low-high)
				stacked += n
			}
		}
		for k := range kinds {
			p.path("fill "+kinds[k].class, &paths[k])
		}
		c.drawIncidents(p)
		for i := range columns {
			if columns[i].total() > 0 {
				p.column(float64(i)*float64(width), float64(i+1)*float64(width), flowTip(&columns[i], int64(i)*width, width))
			}
		}
		return p.canvas
	})
}

func flowTip(m *moment, from, width int64) string {
	parts := []string{fmt.Sprintf("from %s to %s: %s", lasting(from), lasting(from+width), counted(m.total(), "request"))}
	for _, k := range kinds {
		if n := m.outcomes[k.outcome]; n > 0 {
			parts = append(parts, k.name+" "+grouped(n))
		}
	}
	return strings.Join(parts, ", ")
}

// waitScale returns an axis for waits: logarithmic, unless there are negative
// ones.
func waitScale(low, high int64) (s scale, ticks []tick, unit string) {
	if low >= 0 {
		from := math.Pow(10, math.Floor(math.Log10(math.Max(float64(low), 1))))
		to := math.Max(math.Pow(10, math.Ceil(math.Log10(math.Max(float64(high), 10)))), 10*from)
		return scale{from: from, to: to, log: true}, decades(from, to), "logarithmic"
	}
	from, to := float64(low), math.Max(float64(high), 0)
	from, to = from-(to-from)/20, to+(to-from)/20
	ticks, unit = timeTicks(from, to, 5)
	return scale{from: from, to: to}, ticks, unit
}

// waitChart is how long requests waited for their commit, over time.
func (c *record) waitChart(label string) chart {
	y, ticks, unit := waitScale(c.rush.waits())
	return draw(func(f format) *canvas {
		columns, width := c.rush.columns(f.columns, c.span())
		p := c.overTime(f, label, c.span(), y, ticks, "time from stream to commit, "+unit)
		var band, median, high, most pathData
		previous := false
		for i := range columns {
			w := &columns[i].waits
			if w.count() == 0 {
				previous = false
				continue
			}
			from, to := p.x.at(float64(i)*float64(width)), math.Min(p.x.at(float64(i+1)*float64(width)), p.right)
			p50, p99 := p.y.at(float64(w.percentile(50))), p.y.at(float64(w.percentile(99)))
			band.box(from, p99, to-from, p50-p99)
			join(&median, previous, from, to, p50)
			join(&high, previous, from, to, p99)
			most.put('M', (from+to)/2, p.y.at(float64(w.high)))
			most.WriteString("h.01")
			previous = true
		}
		p.path("band", &band)
		p.path("median", &median)
		p.path("high", &high)
		p.path("most", &most)
		c.drawIncidents(p)
		for i := range columns {
			w := &columns[i].waits
			if w.count() > 0 {
				p.column(float64(i)*float64(width), float64(i+1)*float64(width), fmt.Sprintf("from %s to %s: %s, p50 %s, p99 %s, longest %s",
					lasting(int64(i)*width), lasting(int64(i+1)*width), counted(w.count(), "request"), lasting(w.percentile(50)), lasting(w.percentile(99)), lasting(w.high)))
			}
		}
		return p.canvas
	})
}

// join leads a stepped line over a column.
func join(d *pathData, on bool, from, to, y float64) {
	if on {
		d.put('V', y)
	} else {
		d.put('M', from, y)
	}
	d.put('H', to)
}

// waits returns the extremes of the waits of a timeline.
func (t *timeline) waits() (low, high int64) {
	none := true
	for i := range t.moments {
		w := &t.moments[i].waits
		if w.count() == 0 {
			continue
		}
		if none {
			low, high, none = w.low, w.high, false
		}
		low, high = min(low, w.low), max(high, w.high)
	}
	return low, high
}

// labelRoom is how far a label is from the one before, at least: three names
// are 8 characters.
const labelRoom = 9 * charWidth

// drawIncidents draws the takeovers and the holes into a plot over time. Those
// that are close to each other share a label, a hole's if there is one.
func (c *record) drawIncidents(p *plot) {
	var names []string // that share a label
	var first float64  // place of the first of them
	var kind string
	label := func() {
		text := strings.Join(names, " ")
		if n := len(names); n > 2 {
			text = names[0] + "…" + names[n-1]
		}
		half := float64(len([]rune(text))) * charWidth / 2
		if text != "" {
			p.text(math.Min(math.Max(first, half), float64(p.W)-half), p.top-8, kind+"-name", "middle", text)
		}
		names, kind = nil, ""
	}
	for i := range c.incidents {
		in := &c.incidents[i]
		x := p.x.at(math.Min(math.Max(float64(in.Offset), 0), p.x.to))
		p.add(shape{Tag: "line", Class: "mark " + in.Class(), X: px(x), Y: px(p.top - 4), W: px(x), H: px(p.bottom), Tip: in.Name + ": " + in.What()})
		if len(names) > 0 && x-first > labelRoom {
			label()
		}
		if len(names) == 0 {
			first = x
		}
		if names = append(names, in.Name); kind != "hole" {
			kind = in.Class()
		}
	}
	label()
}

// Class is what the style calls it.
func (i incident) Class() string {
	if i.hole != nil {
		return "hole"
	}
	return "takeover"
}

// What says what happened.
func (i incident) What() string {
	if h := i.hole; h != nil {
		return fmt.Sprintf("a hole in the stream: %s that had been decided were lost; generation %d begins, and the ledger alone speaks for %s",
			counted(int64(h.messages), "message"), h.generation, counted(h.unproved, "decision"))
	}
	text := fmt.Sprintf("an allocator of term %d took over from term %d", i.to, i.from)
	if i.pause != 0 {
		text += fmt.Sprintf(", %s after the commit before", lasting(i.pause.Microseconds()))
	}
	return text
}
