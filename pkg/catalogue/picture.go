package catalogue

import (
	"fmt"
	"strconv"
)

// A picture is 200 by 200 units. Everything in it is an integer: floating
// point may round differently where a platform fuses multiply and add, and a
// replay must draw the same bytes everywhere.

// floor is the line that items stand on, middle the axis they are centred on.
const (
	floor  = 165
	middle = 100
)

// pictureSize is the buffer a picture starts with: few are longer.
const pictureSize = 2048

// rgb is a colour, 0xrrggbb.
type rgb uint32

const (
	white = rgb(0xffffff)
	black = rgb(0x000000)
	cream = rgb(0xfffaf0)
	glow  = rgb(0xffe08a)
	leaf  = rgb(0x5f9462)
)

// blend returns the colour that lies percent of the way from c to other.
func (c rgb) blend(other rgb, percent rgb) rgb {
	var out rgb
	for shift := 0; shift <= 16; shift += 8 {
		from, to := c>>shift&0xff, other>>shift&0xff
		out |= (from*(100-percent) + to*percent) / 100 << shift
	}
	return out
}

// luma returns the perceived brightness, 0 to 255.
func (c rgb) luma() rgb {
	return (c>>16*299 + c>>8&0xff*587 + c&0xff*114) / 1000
}

// painter draws one picture. Path data is collected by d and its shorthands,
// then put on the picture by body, flat or line.
type painter struct {
	out  []byte
	data []byte // path data not yet drawn
	id   design // makes the picture's ids unique, so pictures can be inlined
	dice uint64

	base, dark, light, ink rgb // the material and its tones
	trim, accent           rgb // fittings; the background's deep tone
	motif                  rgb // the pattern
	wash, shape            rgb // the background
}

// draw returns the picture of a design. The dice choose what the words leave
// open: background, proportions, the pattern's colour.
func draw(d design, dice uint64) []byte {
	p := &painter{out: make([]byte, 0, pictureSize), data: make([]byte, 0, 512), id: d, dice: dice}
	p.mix(d.material())
	p.put(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 200 200" stroke-linecap="round" stroke-linejoin="round">`)
	p.definitions(d.adjective())
	p.backdrop()
	n := d.noun()
	n.draw(p, n.form)
	p.hallmark()
	p.put("</svg>\n")
	return p.out
}

// vary returns a number from low to high, both included.
func (p *painter) vary(low, high int) int {
	p.dice = finalize(p.dice)
	return low + int(p.dice>>33%uint64(high-low+1))
}

// mix chooses the colours: the material's own tones before a background from
// the other side of the hue ring, pale behind a dark material and deep behind
// a light one.
func (p *painter) mix(m *material) {
	h := hues[(m.hue+p.vary(4, 8))%len(hues)]
	p.base = m.base
	p.dark, p.light, p.ink = m.base.blend(black, 32), m.base.blend(white, 45), m.base.blend(black, 62)
	p.wash, p.shape, p.accent = h.wash, h.shape, h.accent
	pale := m.base.luma() > 195
	if pale {
		p.dark = m.base.blend(h.accent, 38)
		p.ink = h.accent.blend(black, 45)
		p.wash, p.shape = h.accent.blend(h.wash, 45), h.accent.blend(h.wash, 60)
	}
	p.trim = [...]rgb{p.dark, p.accent, p.ink}[p.vary(0, 2)]
	switch {
	case pale:
		p.motif = [...]rgb{h.shape, h.accent, h.accent.blend(m.base, 35)}[p.vary(0, 2)]
	case m.base.luma() < 110:
		p.motif = [...]rgb{p.light, h.shape, m.base.blend(white, 22)}[p.vary(0, 2)]
	default:
		p.motif = [...]rgb{p.light, p.dark, p.accent, cream}[p.vary(0, 3)]
	}
}

// definitions writes the pattern that the adjective stands for and the light
// that makes bodies look round.
func (p *painter) definitions(a *adjective) {
	p.put(`<defs><pattern id="p%d" width="%d" height="%[2]d" patternUnits="userSpaceOnUse"`, p.id, a.size)
	if a.transform != "" {
		p.put(` patternTransform="%s"`, a.transform)
	}
	p.put(">").d("M0,0h%v%H0z", a.size, a.size).flat(p.base)
	switch {
	case a.motif == "":
	case a.stroke > 0:
		p.d(a.motif).line(p.motif, a.stroke)
	default:
		p.d(a.motif).flat(p.motif)
	}
	p.put(`</pattern><linearGradient id="g%d"><stop stop-color="#fff" stop-opacity=".34"/>`+
		`<stop offset=".42" stop-color="#fff" stop-opacity="0"/><stop offset="1" stop-opacity=".3"/></linearGradient></defs>`, p.id)
}

// backdrop writes what is behind the item, and its shadow on the floor.
func (p *painter) backdrop() {
	p.d("M0,0h200v200H0z").flat(p.wash)
	switch p.vary(0, 7) {
	case 0: // sun
		p.disc(p.shape, p.vary(80, 120), p.vary(82, 98), p.vary(62, 76))
	case 1: // arch
		w := p.vary(52, 66)
		p.d("M%,%V92a%,%0 0 1%,0V%z", middle-w, floor, w, w, 2*w, floor).flat(p.shape)
	case 2: // table
		p.d("M0,%h200V200H0z", p.vary(128, 150)).flat(p.shape)
	case 3: // rays
		p.d("M100,105L10,0h50zL82,0h36zL140,0h50zL200,40v50zL200,124v56zL0,180v-56zL0,90V40z").flat(p.shape)
	case 4: // hills
		p.d("M0,%Q50,%100,%T200,%V200H0z", p.vary(118, 140), p.vary(84, 104), p.vary(122, 140), p.vary(108, 130)).flat(p.shape)
	case 5: // rings
		p.oval(100, 98, 44, 44).oval(100, 98, 66, 66).oval(100, 98, 88, 88).line(p.shape, p.vary(5, 9))
	case 6: // wallpaper
		for x := p.vary(8, 18); x < 200; x += 28 {
			p.d("M%,0v%", x, floor-15)
		}
		p.line(p.shape, 9)
		p.d("M0,%h200V200H0z", floor-15).flat(p.shape)
	case 7: // confetti
		for y := 16; y < 150; y += 28 {
			for x := 14 + y/28%2*18; x < 200; x += 36 {
				p.d("M%,%h0", x+p.vary(-5, 5), y+p.vary(-5, 5))
			}
		}
		p.line(p.shape, p.vary(7, 11))
	}
	p.put(`<ellipse cx="100" cy="167" rx="%d" ry="7" opacity=".16"/>`, p.vary(58, 64))
}

// hallmark writes the design number as a row of dots, large for one and small
// for nought: it makes every picture of a sale differ, whatever the words.
func (p *painter) hallmark() {
	for _, one := range []bool{true, false} {
		for bit := range hallmarkBits {
			if p.id>>bit&1 == 1 == one {
				p.d("M%,189h0", 43+6*bit)
			}
		}
		width := 2
		if one {
			width = 4
		}
		p.line(p.accent.blend(black, 20), width)
	}
}

// put writes markup.
func (p *painter) put(format string, args ...any) *painter {
	p.out = fmt.Appendf(p.out, format, args...)
	return p
}

// d adds path data. Each % stands for the next number; a number that would run
// into the one before it is set apart by a space.
func (p *painter) d(format string, numbers ...int) *painter {
	next := 0
	for i := range len(format) {
		if format[i] != '%' {
			p.data = append(p.data, format[i])
			continue
		}
		n := numbers[next]
		next++
		if i > 0 && n >= 0 && (format[i-1] == '%' || format[i-1] >= '0' && format[i-1] <= '9') {
			p.data = append(p.data, ' ')
		}
		p.data = strconv.AppendInt(p.data, int64(n), 10)
		if i+1 < len(format) && format[i+1] >= '0' && format[i+1] <= '9' {
			p.data = append(p.data, ' ')
		}
	}
	if next != len(numbers) {
		panic("sale: path data has numbers left over: " + format)
	}
	return p
}

// oval adds an ellipse to the path data.
func (p *painter) oval(x, y, rx, ry int) *painter {
	return p.d("M%,%a%,%,0 1 1%,0a%,%,0 1 1%,0z", x-rx, y, rx, ry, 2*rx, rx, ry, -2*rx)
}

// box adds a rectangle with round corners to the path data.
func (p *painter) box(x, y, w, h, r int) *painter {
	return p.d("M%,%h%q%,0%,%v%q0,%%,%h%q%,0%,%v%q0,%%,%z", x+r, y,
		w-2*r, r, r, r,
		h-2*r, r, -r, r,
		2*r-w, -r, -r, -r,
		2*r-h, -r, r, -r)
}

// turned adds a shape that is symmetrical about the middle, with straight
// sides: pairs of half width and height, downwards.
func (p *painter) turned(profile ...int) *painter {
	n := len(profile)
	p.d("M%,%H%", middle-profile[0], profile[1], middle+profile[0])
	for i := 2; i < n; i += 2 {
		p.d("L%,%", middle+profile[i], profile[i+1]) //nolint:gosec // profiles come in pairs
	}
	for i := n - 2; i > 0; i -= 2 {
		p.d("L%,%", middle-profile[i], profile[i+1])
	}
	return p.d("z")
}

// lathe adds a shape like turned, but with sides that curve as on a lathe.
func (p *painter) lathe(profile ...int) *painter {
	n := len(profile)
	p.d("M%,%H%", middle-profile[0], profile[1], middle+profile[0])
	for i := 2; i < n; i += 2 {
		p.bend(middle+profile[i-2], profile[i-1], middle+profile[i], profile[i+1]) //nolint:gosec // profiles come in pairs
	}
	p.d("H%", middle-profile[n-2])
	for i := n - 2; i > 0; i -= 2 {
		p.bend(middle-profile[i], profile[i+1], middle-profile[i-2], profile[i-1])
	}
	return p.d("z")
}

// bend adds a curve that leaves and arrives vertically.
func (p *painter) bend(x0, y0, x1, y1 int) {
	half := (y1 - y0) / 2
	p.d("c0,%%,%%,%", half, x1-x0, half, x1-x0, y1-y0)
}

// body draws the path data in the material with its pattern, lit from the left.
func (p *painter) body() {
	p.path(`fill="url(#p%d)"`, p.id).shade()
}

// part draws the path data in one colour, lit from the left.
func (p *painter) part(c rgb) *painter {
	return p.path(`fill="#%06x"`, c).shade()
}

// shade lays the light over the path data and is done with it.
func (p *painter) shade() *painter {
	return p.path(`fill="url(#g%d)"`, p.id).clear()
}

// flat fills the path data with one colour.
func (p *painter) flat(c rgb) {
	p.path(`fill="#%06x"`, c).clear()
}

// glass fills the path data with a breath of one colour.
func (p *painter) glass(c rgb) {
	p.path(`fill-opacity=".45" fill="#%06x"`, c).clear()
}

// line strokes the path data.
func (p *painter) line(c rgb, width int) *painter {
	return p.path(`fill="none" stroke="#%06x" stroke-width="%d"`, c, width).clear()
}

// path draws the path data with these attributes, and keeps it.
func (p *painter) path(attributes string, args ...any) *painter {
	return p.put("<path "+attributes+` d="%s"/>`, append(args, p.data)...)
}

// clear is done with the path data.
func (p *painter) clear() *painter {
	p.data = p.data[:0]
	return p
}

// disc draws a circle.
func (p *painter) disc(c rgb, x, y, r int) *painter {
	return p.put(`<circle fill="#%06x" cx="%d" cy="%d" r="%d"/>`, c, x, y, r)
}

// tilted draws with everything turned by some degrees about the middle.
func (p *painter) tilted(degrees int, drawing func()) {
	p.put(`<g transform="rotate(%d 100 100)">`, degrees)
	drawing()
	p.put(`</g>`)
}
