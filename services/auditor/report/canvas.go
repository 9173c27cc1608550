package report

import (
	"math"
	"strconv"
	"strings"
)

// px is a length in a drawing, written with one decimal.
type px float64

// String returns the length as SVG wants it.
func (p px) String() string {
	return strings.TrimSuffix(strconv.FormatFloat(float64(p), 'f', 1, 64), ".0")
}

// shape is one element of a drawing. The template writes it, and escapes it.
type shape struct {
	Tag        string // rect, path, line, circle or text
	Class      string
	X, Y, W, H px // of a line, W and H lead to its end; of a circle, W is its radius
	D          string
	Anchor     string // of a text: start, middle or end
	Text       string
	Tip        string // shown while the pointer is over it
}

// canvas is one drawing of a chart, for screens of one class.
type canvas struct {
	Class  string
	W, H   px
	Label  string
	Shapes []shape
}

// chart is one picture, drawn for three widths of the page: one of them shows.
type chart []*canvas

// format is a width to draw for.
type format struct {
	class   string
	width   float64
	height  float64
	columns int // at most, in a chart of columns
}

var formats = []format{
	{"wide", 1040, 320, 120},
	{"middle", 640, 290, 80},
	{"narrow", 340, 250, 48},
}

// scale leads from values to lengths.
type scale struct {
	from, to float64 // values
	a, b     float64 // lengths
	log      bool
}

func (s scale) at(v float64) float64 {
	from, to := s.from, s.to
	if s.log {
		from, to, v = math.Log10(from), math.Log10(to), math.Log10(math.Max(v, s.from))
	}
	if to <= from {
		return s.a
	}
	return s.a + (v-from)/(to-from)*(s.b-s.a)
}

// tick is a labelled value on an axis.
type tick struct {
	at   float64
	text string
}

// plot is a canvas with two axes.
type plot struct {
	*canvas

	x, y                     scale
	left, right, top, bottom float64
}

// Of a character of the labels, which have 12 px.
const (
	charWidth  = 6.7
	lineHeight = 16
)

// newPlot makes a plot with its axes. Titles say what is on them, with units.
func newPlot(f format, label string, x, y scale, xTicks, yTicks []tick, xTitle, yTitle string) *plot {
	longest := 0
	for _, t := range yTicks {
		longest = max(longest, len([]rune(t.text)))
	}
	p := &plot{
		canvas: &canvas{Class: f.class, W: px(f.width), H: px(f.height), Label: label}, x: x, y: y,
		left: math.Ceil(float64(longest)*charWidth) + 12, right: f.width - 14, top: 2*lineHeight + 8, bottom: f.height - 2*lineHeight - 10,
	}
	p.x.a, p.x.b, p.y.a, p.y.b = p.left, p.right, p.bottom, p.top
	p.text(0, lineHeight-3, "title", "start", yTitle)
	for _, t := range yTicks {
		at := p.y.at(t.at)
		p.line("grid", p.left, at, p.right, at)
		p.text(p.left-8, at+4, "", "end", t.text)
	}
	p.line("axis", p.left, p.bottom, p.right, p.bottom)
	for _, t := range xTicks {
		p.xTick(t)
	}
	p.text(p.right, f.height-4, "title", "end", xTitle)
	return p
}

// xTick writes a tick below the axis, within the drawing.
func (p *plot) xTick(t tick) {
	at := p.x.at(t.at)
	half := float64(len([]rune(t.text))) * charWidth / 2
	p.line("axis", at, p.bottom, at, p.bottom+5)
	p.text(math.Min(math.Max(at, half), float64(p.W)-half), p.bottom+lineHeight+4, "", "middle", t.text)
}

func (c *canvas) add(s shape) { c.Shapes = append(c.Shapes, s) }

func (c *canvas) text(x, y float64, class, anchor, text string) {
	c.add(shape{Tag: "text", Class: class, X: px(x), Y: px(y), Anchor: anchor, Text: text})
}

func (c *canvas) line(class string, x1, y1, x2, y2 float64) {
	c.add(shape{Tag: "line", Class: class, X: px(x1), Y: px(y1), W: px(x2), H: px(y2)})
}

func (c *canvas) path(class string, d *pathData) {
	if d.Len() > 0 {
		c.add(shape{Tag: "path", Class: class, D: d.String()})
	}
}

// column is where the pointer finds a column's figures.
func (p *plot) column(from, to float64, tip string) {
	x := math.Max(p.x.at(from), p.left)
	p.add(shape{Tag: "rect", Class: "hit", X: px(x), Y: px(p.top), W: px(math.Min(p.x.at(to), p.right) - x), H: px(p.bottom - p.top), Tip: tip})
}

// pathData collects the data of a path.
type pathData struct{ strings.Builder }

func (d *pathData) put(command byte, lengths ...float64) {
	d.WriteByte(command)
	for i, l := range lengths {
		if i > 0 {
			d.WriteByte(' ')
		}
		d.WriteString(px(l).String())
	}
}

func (d *pathData) box(x, y, w, h float64) {
	d.put('M', x, y)
	d.put('h', w)
	d.put('v', h)
	d.put('h', -w)
	d.WriteByte('z')
}

// step returns the smallest of 1, 2, 5, 10, 20 ... by which a range has at most
// so many steps.
func step(span float64, most int) float64 {
	raw := span / float64(most)
	base := math.Pow(10, math.Floor(math.Log10(raw)))
	for _, m := range []float64{1, 2, 5} {
		if m*base >= raw*(1-1e-9) {
			return m * base
		}
	}
	return 10 * base
}

// ticksTo returns ticks from 0 that reach the value, and where they end.
func ticksTo(most, by float64, text func(float64) string) ([]tick, float64) {
	var ticks []tick
	for v := 0.0; ; v += by {
		ticks = append(ticks, tick{v, text(v)})
		if v >= most-by*1e-9 {
			return ticks, v
		}
	}
}

// countTicks returns those for a count, which has no fractions.
func countTicks(most float64, n int) ([]tick, float64) {
	return ticksTo(most, math.Max(step(math.Max(most, 1), n), 1), short)
}

// timeTicks returns ticks from a time to another one, both in microseconds, in
// one unit.
func timeTicks(from, to float64, n int) (ticks []tick, unit string) {
	i, size := 0, math.Max(math.Abs(from), math.Abs(to))
	for i+1 < len(units) && size >= 2*units[i+1].us {
		i++
	}
	by := step((to-from)/units[i].us, n)
	for k := math.Ceil(from / units[i].us / by); k*by*units[i].us <= to*(1+1e-9); k++ {
		ticks = append(ticks, tick{k * by * units[i].us, strings.ReplaceAll(digits(k*by, 4), "-", "−")})
	}
	return ticks, units[i].long
}

// decades are the ticks of a logarithmic axis of microseconds, with 2 and 5
// where there is room for them.
func decades(from, to float64) []tick {
	steps := []float64{1}
	if to/from < 500 {
		steps = []float64{1, 2, 5}
	}
	var ticks []tick
	for e := math.Floor(math.Log10(from)); e <= math.Log10(to)+1e-9; e++ {
		for _, m := range steps {
			if v := m * math.Pow(10, e); v >= from*(1-1e-9) && v <= to*(1+1e-9) {
				ticks = append(ticks, tick{v, lasting(int64(math.Round(v)))})
			}
		}
	}
	return ticks
}
