package sale

import "strconv"

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
	p.raw(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 200 200" stroke-linecap="round" stroke-linejoin="round">`)
	p.definitions(d.adjective())
	p.backdrop()
	n := d.noun()
	n.draw(p, n.form)
	p.hallmark()
	p.raw("</svg>\n")
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
	p.raw(`<defs><pattern id="p`).num(int(p.id)).raw(`" width="`).num(a.size).raw(`" height="`).num(a.size).
		raw(`" patternUnits="userSpaceOnUse"`)
	if a.transform != "" {
		p.raw(` patternTransform="`).raw(a.transform).raw(`"`)
	}
	p.raw(`>`).d("M0,0h%v%H0z", a.size, a.size).flat(p.base)
	switch {
	case a.motif == "":
	case a.stroke > 0:
		p.d(a.motif).line(p.motif, a.stroke)
	default:
		p.d(a.motif).flat(p.motif)
	}
	p.raw(`</pattern><linearGradient id="g`).num(int(p.id)).
		raw(`"><stop stop-color="#fff" stop-opacity=".34"/><stop offset=".42" stop-color="#fff" stop-opacity="0"/>` +
			`<stop offset="1" stop-opacity=".3"/></linearGradient></defs>`)
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
	p.raw(`<ellipse cx="100" cy="167" rx="`).num(p.vary(58, 64)).raw(`" ry="7" opacity=".16"/>`)
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

// raw writes s as it is.
func (p *painter) raw(s string) *painter {
	p.out = append(p.out, s...)
	return p
}

// num writes n in decimal.
func (p *painter) num(n int) *painter {
	p.out = strconv.AppendInt(p.out, int64(n), 10)
	return p
}

// colour writes c as #rrggbb.
func (p *painter) colour(c rgb) *painter {
	const digits = "0123456789abcdef"
	p.out = append(p.out, '#')
	for shift := 20; shift >= 0; shift -= 4 {
		p.out = append(p.out, digits[c>>shift&0xf])
	}
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
		p.d("L%,%", middle+profile[i], profile[i+1])
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
		p.bend(middle+profile[i-2], profile[i-1], middle+profile[i], profile[i+1])
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
func (p *painter) body() *painter {
	p.raw(`<path fill="url(#p`).num(int(p.id)).raw(`)" d="`)
	p.out = append(p.out, p.data...)
	p.raw(`"/>`)
	return p.shade()
}

// part draws the path data in one colour, lit from the left.
func (p *painter) part(c rgb) *painter {
	p.raw(`<path fill="`).colour(c).raw(`" d="`)
	p.out = append(p.out, p.data...)
	p.raw(`"/>`)
	return p.shade()
}

// shade lays the light over the path data and is done with it.
func (p *painter) shade() *painter {
	p.raw(`<path fill="url(#g`).num(int(p.id)).raw(`)" d="`)
	return p.finish()
}

// flat fills the path data with one colour.
func (p *painter) flat(c rgb) *painter {
	p.raw(`<path fill="`).colour(c).raw(`" d="`)
	return p.finish()
}

// glass fills the path data with a breath of one colour.
func (p *painter) glass(c rgb) *painter {
	p.raw(`<path fill-opacity=".45" fill="`).colour(c).raw(`" d="`)
	return p.finish()
}

// line strokes the path data.
func (p *painter) line(c rgb, width int) *painter {
	p.raw(`<path fill="none" stroke="`).colour(c).
		raw(`" stroke-width="`).num(width).raw(`" d="`)
	return p.finish()
}

// finish ends an element with the path data and clears it.
func (p *painter) finish() *painter {
	p.out = append(p.out, p.data...)
	p.data = p.data[:0]
	return p.raw(`"/>`)
}

// disc draws a circle.
func (p *painter) disc(c rgb, x, y, r int) *painter {
	return p.raw(`<circle fill="`).colour(c).raw(`" cx="`).num(x).raw(`" cy="`).num(y).raw(`" r="`).num(r).raw(`"/>`)
}

// tilted draws with everything turned by some degrees about the middle.
func (p *painter) tilted(degrees int, drawing func()) {
	p.raw(`<g transform="rotate(`).num(degrees).raw(` 100 100)">`)
	drawing()
	p.raw(`</g>`)
}

func drawLantern(p *painter, form int) {
	w, top := p.vary(26, 34), p.vary(66, 76)
	switch form {
	case 0: // Lantern
		p.d("M%,%c0,-58%,-58%,0", 100-w, top, 2*w, 2*w).line(p.trim, 4)
		p.turned(w, top, w, 152).flat(glow.blend(white, 45))
		p.d("M100,%q16,24 8,34q-8,8-16,0q-8-10 8-34z", 140-p.vary(34, 42)).flat(0xf29f3d)
		p.turned(w/3, top, w/3, 152).line(p.dark, 2)
		p.turned(w, top, w, 152).line(p.dark, 4)
		p.turned(9, top-20, w+8, top+2).body()
		p.turned(w+4, 150, w+9, floor).body()
	case 1: // Beacon
		p.turned(p.vary(17, 21), 88, w, floor).body()
		p.d("M100,66L30,%V%zM100,66L170,%V%z", 46, 86, 46, 86).glass(glow)
		p.turned(14, 56, 14, 80).flat(glow)
		p.d("M93,56v24M107,56v24").line(p.ink, 2)
		p.d("M82,57q18-30 36,0z").part(p.trim)
		p.turned(22, 79, 24, 89).part(p.trim)
		p.d("M92,%v-20a8,8 0 0 1 16,0v20z", floor).flat(p.ink)
	case 2: // Nightlight
		h := p.vary(34, 42)
		p.d("M100,0V30").line(p.ink, 2)
		p.disc(glow.blend(p.wash, 50), 100, 88, 62)
		p.oval(100, 88, 52, h).body()
		p.oval(100, 88, 18, h).oval(100, 88, 36, h).line(p.light, 1)
		p.box(84, 84-h, 32, 9, 3).box(84, 83+h, 32, 9, 3).part(p.trim)
		p.d("M100,%v26M94,%v18M106,%v18", 92+h, 92+h, 92+h).line(p.trim, 3)
	}
}

func drawVase(p *painter, form int) {
	w := p.vary(30, 42)
	switch form {
	case 0: // Vase
		p.d("M100,90Q96,60 %,42M100,90Q106,60 %,50M100,90Q100,60 %,34", p.vary(70, 80), p.vary(122, 134), p.vary(98, 106)).line(leaf, 3)
		for _, x := range []int{74, 102, 128} {
			y := p.vary(36, 50)
			p.disc(p.accent, x, y, p.vary(10, 13)).disc(glow, x, y, 4)
		}
		p.lathe(17, 82, 11, 96, w, 128, 18, floor).body()
		p.box(81, 78, 38, 7, 3).part(p.trim)
	case 1: // Urn
		p.d("M%,84c-22,0-22,34 4,34M%,84c22,0 22,34-4,34", 104-w, 96+w).line(p.trim, 6)
		p.lathe(10, 50, 24, 62, 24, 68).part(p.trim).disc(p.trim, 100, 47, 7)
		p.lathe(w-4, 68, w+2, 92, 10, 142, 10, 150).body()
		p.lathe(10, 148, 26, floor).part(p.trim)
	case 2: // Amphora
		p.d("M90,52c-34,-8-36,26-22,44M110,52c34,-8 36,26 22,44").line(p.trim, 6)
		p.lathe(14, 40, 10, 62, w, 96, 8, 158, 14, floor).body()
		p.box(82, 36, 36, 8, 3).part(p.trim)
	case 3: // Pitcher
		p.d("M%,72c38,-10 38,62 2,62", 104+w/2).line(p.trim, 8)
		p.d("M64,50q16,8 56,2q-2,20 4,36q%,50 -8,77h-40q-30,-30-8,-77q2-16-4-38z", w-18).body()
		p.d("M70,58q16,8 48,2").line(p.light, 3)
	}
}

func drawKettle(p *painter, form int) {
	w := p.vary(40, 48)
	switch form {
	case 0: // Kettle
		p.d("M%,100c-4,-70%,-70%,0", 104-w, 2*w, 2*w-8).line(p.trim, 7)
		p.d("M%,128q18,-6 22,-36l12,-2q2,44 -34,60z", 96+w).part(p.dark)
		p.lathe(20, 88, w, 136, w-8, floor).body()
		p.lathe(8, 78, 24, 90).part(p.trim).disc(p.ink, 100, 75, 6)
	case 1: // Teapot
		p.d("M%,102c-32,-14-36,44 4,40", 104-w).line(p.trim, 7)
		p.d("M%,138q14,-8 18,-42l14,-6q0,52-32,66z", 94+w).part(p.dark)
		p.oval(100, 124, w, 40).body()
		p.box(72, 158, 56, 8, 3).part(p.trim)
		p.d("M76,90q24,-22 48,0z").part(p.trim).disc(p.trim, 100, 76, 7)
	case 2: // Coffeepot
		p.d("M%,84c-40,-6-34,62-4,60", 76).line(p.trim, 7)
		p.d("M118,124q20,-10 22,-44l10,-4q4,60-28,68z").part(p.dark)
		p.turned(22, 66, w-8, floor).body()
		p.d("M76,68q24,-30 48,0z").part(p.trim).disc(p.ink, 100, 49, 6)
		p.turned(p.vary(25, 27), 84, 26, 90).flat(p.trim)
	}
}

func drawChair(p *painter, form int) {
	w := p.vary(32, 40)
	switch form {
	case 0: // Chair
		p.d("M%,60V%M%,60V%M%,112L%,%M%,112L%,%", 104-w, floor, 96+w, floor, 100-w, 94-w, floor, 100+w, 106+w, floor).line(p.trim, 7)
		p.box(100-w, p.vary(40, 48), 2*w, 46, p.vary(8, 22)).body()
		p.box(94-w, 108, 2*w+12, 16, 7).body()
	case 1: // Armchair
		p.d("M70,150l-4,14M130,150l4,14").line(p.ink, 7)
		p.box(100-w, p.vary(52, 60), 2*w, 92, 24).body()
		p.box(100-w, 114, 2*w, 26, 10).part(p.light)
		p.box(84-w, 98, 26, 56, 12).box(90+w, 98, 26, 56, 12).body()
		p.box(104-w, 138, 2*w-8, 16, 4).part(p.dark)
	case 2: // Stool
		p.d("M84,96L%,%M116,96L%,%M100,96V%M78,134h44", 90-w/2, floor, 110+w/2, floor, floor-4).line(p.trim, 7)
		p.box(98-w, 84, 2*w+4, p.vary(14, 24), 7).body()
		p.oval(100, 85, w+2, 9).part(p.light)
	}
}

func drawLamp(p *painter, form int) {
	w := p.vary(40, 50)
	switch form {
	case 0: // Lamp
		p.lathe(5, 96, p.vary(5, 9), 110, p.vary(18, 26), 136, 8, 154).part(p.trim)
		p.turned(24, 156, 30, floor).part(p.trim)
		p.d("M%,100L52,%h96L%,100z", 105-w, floor, 95+w).glass(glow)
		p.turned(p.vary(20, 30), 44, w, 102).body()
	case 1: // Floor Lamp
		p.d("M100,70V134L%,%M100,134L%,%M100,134V%", 106-w, floor, 94+w, floor, floor).line(p.trim, 5)
		p.d("M%,74L34,%h132L%,74z", 116-w, floor, 84+w).glass(glow)
		p.turned(p.vary(16, 34), 30, w-8, 76).body()
		p.d("M112,76v20").line(p.ink, 2).disc(p.ink, 112, 98, 3)
	case 2: // Desk Lamp
		p.d("M150,78L184,%H92L102,108z", floor).glass(glow)
		p.d("M68,158L%,104L96,58", p.vary(46, 56)).line(p.trim, 6)
		p.d("M40,%q0,-12 28,-12q28,0 28,12z", floor).part(p.ink)
		p.oval(126, 92, 11, 11).flat(glow)
		p.d("M86,48q14,-16 30,-2q28,6 36,32L100,110q-24,-22-14,-62z").body()
		p.disc(p.ink, 96, 58, 6)
	}
}

func drawGuitar(p *painter, form int) {
	w := p.vary(34, 40)
	p.tilted(p.vary(14, 24), func() {
		switch form {
		case 0: // Guitar
			p.oval(100, 99, w-10, 22).oval(100, 138, w, 31).box(80, 104, 40, 20, 4).body()
		case 1: // Ukulele
			p.oval(100, 106, w-15, 17).oval(100, 138, w-7, 25).box(84, 106, 32, 20, 4).body()
		case 2: // Banjo
			p.oval(100, 128, w+2, w+2).body()
			p.disc(cream, 100, 128, w-7)
		}
		p.box(94, 34, 12, 84, 2).part(p.ink)
		p.turned(10, 14, 8, 36).part(p.trim)
		p.d("M87,20h-3M87,29h-3M113,20h3M113,29h3").line(p.ink, 4)
		if form != 2 {
			p.disc(p.ink, 100, 120, 9)
		}
		p.box(88, 144, 24, 5, 2).flat(p.ink)
		p.d("M97,24V146M100,24V146M103,24V146").line(cream, 1)
	})
}

func drawBoot(p *painter, form int) {
	top := p.vary(48, 58)
	switch form {
	case 0: // Boot
		p.d("M66,%h46q-2,34 6,48q36,4 42,30v8H62q6,-40 4,-86z", top+16).body()
		p.d("M58,154h106v11H92l-4-3v3H58z").flat(p.ink)
		p.d("M%,%h46v12h-46z", 66, top+6).part(p.trim)
		p.d("M102,%l18,-5M103,%l19,-5M107,%l18,-6", top+40, top+52, top+64).line(cream, 3)
	case 1: // Sneaker
		p.d("M46,102q12,10 34,-2l10,-8q24,34 58,38q14,4 12,22H42q-2,-30 4,-50z").body()
		p.d("M128,127q26,2 32,12v13h-32z").flat(cream)
		p.box(38, 148, 126, 17, 8).part(p.either(cream, p.light))
		p.d("M42,156h118").line(p.trim, 3)
		p.d("M84,104l16,-8M92,113l16,-8M101,121l14,-8").line(cream, 4)
		p.d("M46,102q12,10 34,-2").line(p.trim, 6)
	case 2: // Wellington
		p.d("M70,%h44v58q40,2 44,%v12H68z", top, 151-top-58-6).body()
		p.d("M62,152h100v13H62z").flat(p.ink)
		p.d("M68,%h48v13H68z", top-2).part(p.trim)
		p.d("M84,%v62", top+20).line(p.light, 4)
	}
}

// either returns one of two colours.
func (p *painter) either(a, b rgb) rgb {
	if p.vary(0, 1) == 0 {
		return a
	}
	return b
}

func drawCamera(p *painter, form int) {
	r := p.vary(27, 32)
	switch form {
	case 0: // Camera
		p.turned(20, 62, 28, 84).part(p.trim)
		p.box(50, 74, 20, 12, 4).part(p.ink)
		p.box(40, 80, 120, 85, 12).body()
		p.box(40, 80, 120, 20, 9).part(p.trim)
	case 1: // Rangefinder
		p.box(38, 84, 124, 72, 22).body()
		p.box(52, 70, 96, 26, 6).part(p.trim)
		p.box(62, 76, 20, 12, 2).box(122, 76, 12, 12, 2).flat(p.light)
		p.box(128, 62, 16, 10, 3).part(p.ink)
	case 2: // Cine Camera
		for _, x := range []int{72, 120} {
			p.oval(x, 66, 26, 26).part(p.trim).disc(p.wash, x, 66, 9).disc(p.trim, x, 66, 3)
		}
		p.box(50, 92, 88, 56, 8).body()
		p.d("M138,108l28,-14v52l-28,-14z").part(p.ink)
		p.d("M80,148L66,%M108,148L122,%", floor, floor).line(p.ink, 6)
		return
	}
	p.disc(p.ink, 100, 126, r).disc(p.light, 100, 126, r-6).disc(p.ink, 100, 126, r-9)
	p.oval(100, 126, r-14, r-14).part(p.accent)
	p.disc(white, 92, 117, 5).disc(glow, 146, 92, 4)
}

func drawRing(p *painter, form int) {
	r := p.vary(34, 40)
	gem := [...]rgb{p.accent, 0xd8365d, 0x2e9e7b, 0x3d7bd9, glow}[p.vary(0, 4)]
	switch form {
	case 0: // Ring
		p.oval(100, floor-r, r, r).line(p.base, 11)
		p.oval(100, floor-r, r+4, r+4).line(p.light, 2)
		p.oval(100, floor-r, r-5, r-5).line(p.dark, 2)
		p.d("M72,68l12,-18h32l12,18l-28,32z").part(gem)
		p.d("M72,68h56M84,50l4,18l12,32l12,-32l4,-18M88,68l12,-18l12,18").line(gem.blend(white, 55), 2)
	case 1: // Signet
		p.oval(100, floor-r-4, r, r+2).line(p.base, 14)
		p.oval(100, floor-r-4, r-7, r-5).line(p.dark, 2)
		p.oval(100, 74, r, 22).body()
		p.oval(100, 74, r-7, 15).part(p.trim)
		p.d("M100,62l4,8l9,1l-7,6l2,9l-8,-5l-8,5l2,-9l-7,-6l9,-1z").flat(p.light)
	case 2: // Pendant
		p.d("M46,22C50,80 80,92 100,92S150,80 154,22").line(p.trim, 3)
		p.d("M46,22C50,80 80,92 100,92S150,80 154,22").line(p.light, 1)
		p.disc(p.dark, 100, 94, 7)
		p.d("M100,94q%,40 %,52a%,26 0 1 1%,0q0,-14 %,-52z", r-8, r-8, r-8, 16-2*r, r-8).body()
		p.oval(100, 142, 15, 15).part(gem)
		p.disc(white, 95, 137, 4)
	}
}

func drawUmbrella(p *painter, form int) {
	h := p.vary(56, 66)
	canopy := func() {
		p.d("M36,104c2,%%,%,128,0q-16,-14-32,0q-16,-14-32,0q-16,-14-32,0q-16,-14-32,0z", -h-14, 126, -h-14)
	}
	switch form {
	case 0: // Umbrella
		p.d("M100,46V150q0,14 12,14t12,-12").line(p.ink, 5)
		canopy()
		p.body()
		p.d("M68,104q2,-44 32,-52q30,8 32,52M100,104V52").line(p.dark, 2)
	case 1: // Parasol
		p.tilted(p.vary(-22, -14), func() {
			p.d("M100,34V168").line(p.trim, 5)
			canopy()
			p.body()
			p.d("M68,104q2,-44 32,-52q30,8 32,52M100,104V52").line(p.light, 2)
			p.d("M36,106h0M68,106h0M100,106h0M132,106h0M164,106h0").line(p.accent, 8)
			p.disc(p.trim, 100, 38, 6)
		})
	}
}

func drawClock(p *painter, form int) {
	r := p.vary(42, 48)
	y := 112
	switch form {
	case 0: // Clock
		p.d("M%,%q8,-106 %,-106t%,106z", 90-r, floor, r+10, r+10).body()
		p.box(84-r, 155, 2*r+32, 10, 4).part(p.trim)
		r -= 6
	case 1: // Alarm Clock
		p.d("M76,146l-14,18M124,146l14,18").line(p.ink, 7)
		p.d("M54,76a20,20 0 0 1 34,-18zM146,76a20,20 0 0 0-34,-18z").part(p.trim)
		p.d("M100,62V50M92,48h16").line(p.ink, 5)
		p.oval(100, y, r, r).body()
	case 2: // Pocket Watch
		p.d("M100,44C100,8 40,20 22,0").line(p.trim, 3)
		p.oval(100, 48, 11, 11).line(p.trim, 4)
		p.box(92, 56, 16, 14, 3).part(p.dark)
		y = 114
		p.oval(100, y, r+2, r+2).body()
	}
	p.disc(cream, 100, y, r-9)
	p.d("M100,%v4M100,%v-4M%,%h4M%,%h-4", y-r+14, y+r-14, 114-r, y, 86+r, y).line(p.ink, 3)
	p.d("M100,%l%,%M100,%l%,%", y, p.vary(-16, 16), -p.vary(9, 14), y, p.vary(-8, 8), -p.vary(20, 24)).line(p.ink, 4)
	p.disc(p.accent, 100, y, 4)
}

func drawMug(p *painter, form int) {
	w := p.vary(32, 40)
	switch form {
	case 0: // Mug
		p.steam()
		p.d("M%,104c34,-6 34,46 0,42", 92+w).line(p.dark, 9)
		p.box(92-w, 86, 2*w, 79, p.vary(6, 18)).body()
		p.oval(92, 88, w, 7).flat(0x5a3a2a)
		p.oval(92, 88, w, 7).line(p.light, 3)
	case 1: // Teacup
		p.steam()
		p.d("M%,104c32,-8 26,36-10,34", 94+w).line(p.trim, 7)
		p.oval(100, 159, 62, 7).part(p.trim)
		p.lathe(w+6, 94, w, 128, 14, 158).body()
		p.oval(100, 95, w+6, 7).flat(0xb5713a)
		p.oval(100, 95, w+6, 7).line(p.light, 3)
	case 2: // Tankard
		p.d("M%,90c40,-6 36,64 2,58", 92+w).line(p.trim, 9)
		p.turned(w, 74, w+6, floor).body()
		p.turned(w+3, 150, w+6, floor).part(p.trim)
		p.d("M%,80q-12,-18 8,-24q10,-16 24,-6q18,-8 26,6q20,4 10,24z", 104-w).part(cream)
	}
}

// dome draws a bell's body, without its rim.
func (p *painter) dome(w, top, bottom int) {
	h := bottom - top
	p.d("M%,%c18,-16 6,%%,%s%,%%,%z", middle-w, bottom, -h, w, -h, w-18, h-16, w, h).body()
}

// steam draws three wisps above a cup.
func (p *painter) steam() {
	p.d("M82,%q-8,-10 0,-18t0,-16M100,72q-8,-10 0,-18t0,-16M118,%q-8,-10 0,-18t0,-16", p.vary(70, 76), p.vary(70, 76)).
		line(p.wash.blend(white, 65), 4)
}

func drawBag(p *painter, form int) {
	w := p.vary(46, 54)
	switch form {
	case 0: // Satchel
		p.d("M%,96c-6,-76%,-76%,0", 106-w, 2*w, 2*w-12).line(p.trim, 6)
		p.box(100-w, 84, 2*w, 81, 10).part(p.dark)
		p.d("M%,84h%v24q-%,24 -%,24t-%,-24z", 98-w, 2*w+4, w, w+2, w+2).body()
		p.box(66, 112, 12, 28, 3).box(122, 112, 12, 28, 3).part(p.trim)
		p.d("M68,130h8M124,130h8").line(glow, 4)
	case 1: // Handbag
		p.d("M72,92c0,%,56,%,56,0", -p.vary(50, 64), -p.vary(50, 64)).line(p.trim, 6)
		p.d("M%,88h%l14,70q0,7-8,7H%q-8,0-8,-7z", 112-w, 2*w-24, 106-w).body()
		p.d("M%,88h%l2,16h%z", 112-w, 2*w-24, 20-2*w).part(p.trim)
		p.disc(glow, 94, 104, 6).disc(glow, 106, 104, 6)
	case 2: // Suitcase
		p.d("M80,76V58q0,-6 6,-6h28q6,0 6,6v18").line(p.ink, 6)
		p.box(94-w, 74, 2*w+12, 91, 11).body()
		p.box(110-w, 74, 11, 91, 1).box(79+w, 74, 11, 91, 1).part(p.trim)
		p.d("M%,118h%", 96-w, 2*w+8).line(p.dark, 2)
		p.box(90, 111, 20, 14, 3).part(glow)
	case 3: // Backpack
		p.d("M84,56c0,-26 32,-26 32,0").line(p.ink, 6)
		p.box(86-w/2, 110, 28+w, 50, 12).part(p.dark)
		p.box(110-w, 50, 2*w-20, 115, 30).body()
		p.box(118-w, 112, 2*w-36, 46, 10).part(p.trim)
		p.d("M%,78h%M%,124h%", 120-w, 2*w-40, 126-w, 2*w-52).line(p.light, 3)
		p.d("M100,78v8M100,124v8").line(glow, 4)
	}
}

func drawRadio(p *painter, form int) {
	r := p.vary(20, 24)
	switch form {
	case 0: // Radio
		p.d("M138,84L%,28", p.vary(146, 166)).line(p.ink, 3)
		p.box(38, 82, 124, 83, p.vary(8, 26)).body()
		p.disc(p.ink, 74, 124, r+6).disc(p.trim, 74, 124, r+2)
		p.d("M60,114h28M58,124h32M60,134h28").line(p.light, 3)
		p.box(110, 98, 40, 22, 4).flat(cream)
		p.d("M116,109h28").line(p.ink, 2)
		p.d("M%,101v16", p.vary(118, 142)).line(0xd8365d, 3)
		p.disc(p.ink, 120, 140, 8).disc(p.ink, 142, 140, 8).disc(p.light, 120, 140, 3).disc(p.light, 142, 140, 3)
	case 1: // Boombox
		p.d("M62,92V66h76v26").line(p.ink, 7)
		p.box(32, 86, 136, 79, 8).body()
		for _, x := range []int{62, 138} {
			p.disc(p.ink, x, 126, r+5).disc(p.trim, x, 126, r).disc(p.light, x, 126, 8).disc(p.ink, x, 126, 4)
		}
		p.box(90, 116, 20, 26, 3).flat(cream)
		p.box(44, 91, 112, 9, 3).flat(p.ink)
		p.d("M52,95h%", p.vary(30, 80)).line(glow, 4)
	case 2: // Gramophone
		p.d("M92,126C80,96 96,84 114,82").line(p.dark, 8)
		p.d("M102,92Q122,74 128,%L162,106Q128,86 104,98z", p.vary(26, 32)).body()
		p.tilted(-20, func() {
			p.oval(158, 82, 15, 43).part(p.dark).oval(159, 82, 10, 35).part(p.trim).oval(159, 82, 4, 13).flat(p.ink)
		})
		p.oval(88, 126, 48, 8).flat(p.ink)
		p.box(44, 130, 88, 35, 6).part(p.trim)
		p.box(52, 138, 72, 19, 3).body()
		p.d("M132,148h14v-10").line(p.ink, 4)
	}
}

func drawHat(p *painter, form int) {
	switch form {
	case 0: // Top Hat
		w := p.vary(36, 42)
		p.lathe(w+4, 60, w-4, 104, w, 156).body()
		p.oval(100, 61, w+4, 8).part(p.light)
		p.turned(w-2, 128, w-1, 148).part(p.trim)
		p.d("M34,148q6,8 66,8t66,-8q4,17-66,17t-66,-17z").part(p.dark)
	case 1: // Fedora
		h := p.vary(66, 74)
		p.d("M56,148q2,-60 18,%q14,-12 26,4q12,-16 26,-4q16,14 18,%z", h-148, 148-h).body()
		p.d("M56,128h88v20H56z").part(p.trim)
		p.d("M138,144q4,-40 22,-52q2,34-22,52z").part(p.accent)
		p.d("M26,146q74,16 148,0q4,18-74,18t-74,-18z").part(p.dark)
	}
}

func drawBottle(p *painter, form int) {
	w := p.vary(24, 32)
	switch form {
	case 0: // Bottle
		p.box(91, 34, 18, 16, 4).part(0xb98a5c)
		p.lathe(9, 46, 9, 66, w, 100, w, floor).body()
		p.box(102-w, 112, 2*w-4, 34, 3).flat(cream)
		p.disc(p.accent, 100, 129, 9)
		p.d("M%,104v50", 106-w).line(p.light, 3)
	case 1: // Flask
		p.box(90, 42, 20, 18, 4).part(p.trim)
		p.d("M84,60h32q0,10 %,20v%q0,14-14,14H%q-14,0-14,-14V80q18,-10 %,-20z", w-8, 71, 90-w, w-10).body()
		p.box(100-w, 102, 2*w, 34, 6).part(p.trim)
		p.d("M100,108l4,8l8,1l-6,6l2,8l-8,-4l-8,4l2,-8l-6,-6l8,-1z").flat(p.light)
	case 2: // Decanter
		p.d("M100,32l16,16l-16,18l-16,-18z").part(p.accent)
		p.d("M84,48h32M100,32V66").line(white, 1)
		p.lathe(14, 66, 8, 86, w+16, 138, w+8, floor).body()
		p.lathe(12, 74, 12, 80).part(p.trim)
		p.d("M%,136q6,-22 20,-28", 94-w).line(white, 4)
	}
}

func drawBell(p *painter, form int) {
	w := p.vary(40, 48)
	switch form {
	case 0: // Bell
		p.d("M88,44c-12,-24 36,-24 24,0z").line(p.trim, 6)
		p.disc(p.ink, 100, 156, 10)
		p.dome(w, 46, 144)
		p.box(94-w, 140, 2*w+12, 12, 6).part(p.trim)
	case 1: // Handbell
		p.tilted(p.vary(12, 22), func() {
			p.disc(p.ink, 100, 160, 9)
			p.box(91, 22, 18, 44, 8).part(p.trim)
			p.box(94, 62, 12, 20, 3).part(p.ink)
			p.dome(w-4, 74, 148)
			p.box(96-w, 145, 2*w+8, 10, 5).part(p.trim)
		})
	case 2: // Cowbell
		p.d("M80,64V46h40v18").line(p.trim, 7)
		p.oval(100, 152, 12, 12).part(p.ink)
		p.turned(p.vary(26, 32), 62, w, 150).body()
		p.d("M%,98l%,0", 112-w, 2*w-24).line(p.trim, 5)
		p.d("M78,98v0M100,98v0M122,98v0").line(glow, 5)
	}
}

func drawGlobe(p *painter, form int) {
	r := p.vary(44, 50)
	switch form {
	case 0: // Globe
		p.d("M100,148v10").line(p.trim, 8)
		p.turned(18, 154, 34, floor).part(p.trim)
		p.oval(100, 94, r, r).body()
		p.d("M%,82q20,-34 46,-20q-4,14-16,18q10,16-6,34q-18,-8-24,-32zM112,98q20,-10 26,4q-8,26-20,18q-8,-10-6,-22z", 66).part(p.accent)
		p.d("M%,50A58,58 0 0 1 %,148", 128, 100).line(p.trim, 5)
		p.disc(p.ink, 128, 50, 5)
	case 1: // Snow Globe
		p.disc(p.wash.blend(white, 75), 100, 92, r)
		p.d("M62,120q38,-16 76,0q-18,24-38,24t-38,-24z").flat(white)
		p.d("M100,%l20,32h-12l16,24H76l16,-24H80z", p.vary(52, 62)).part(leaf)
		p.d("M74,78h0M128,70h0M120,92h0M68,100h0M136,104h0M90,60h0").line(p.shape, 6)
		p.d("M70,70q8,-14 22,-18").line(white, 5)
		p.turned(34, 134, 46, floor).body()
		p.box(62, 130, 76, 9, 4).part(p.trim)
	}
}

func drawDrum(p *painter, form int) {
	w := p.vary(44, 52)
	switch form {
	case 0: // Drum
		p.d("M%,86L96,40M%,86L104,40", 76, 124).line(p.ink, 1)
		p.d("M%,88v62a%,15 0 0 0%,0v-62z", 100-w, w, 2*w).body()
		p.d("M%,94L%,154L%,104L100,163L%,104L%,154L%,94", 100-w, 100-2*w/3, 100-w/3, 100+w/3, 100+2*w/3, 100+w).line(cream, 2)
		p.d("M%,150a%,15 0 0 0%,0", 100-w, w, 2*w).line(p.trim, 6)
		p.oval(100, 88, w, 15).flat(cream)
		p.oval(100, 88, w, 15).line(p.trim, 6)
		p.d("M60,58L104,84M146,54L98,88").line(0x9a6a3c, 5)
	case 1: // Bongos
		for i, x := range []int{68, 132} {
			r := 26 + 5*i
			p.d("M%,96l5,%a%,8 0 0 0%,0l5,%z", x-r, 60, r-5, 2*r-10, -60).body()
			p.oval(x, 96, r, 9).flat(cream)
			p.oval(x, 96, r, 9).line(p.trim, 5)
		}
		p.box(90, 116, 16, 18, 3).part(p.ink)
	case 2: // Tambourine
		p.oval(100, 106, w, w).line(p.trim, 14)
		p.oval(100, 106, w+1, w+1).line(p.light, 2)
		p.oval(100, 106, w-6, w-6).body()
		for _, at := range [][2]int{{0, -10}, {9, -5}, {9, 5}, {0, 10}, {-9, 5}, {-9, -5}} {
			p.disc(glow, 100+at[0]*w/10, 106+at[1]*w/10, 8).disc(p.ink, 100+at[0]*w/10, 106+at[1]*w/10, 2)
		}
	}
}

func drawGlasses(p *painter, form int) {
	r := p.vary(27, 31)
	lens := p.light
	if form == 1 { // Sunglasses
		lens = p.ink
	}
	p.d("M38,104q-10,-34 -8,-44M162,104q10,-34 8,-44").line(p.dark, 6)
	if form == 0 || p.vary(0, 1) == 0 {
		p.oval(64, 112, r+6, r+6).oval(136, 112, r+6, r+6).body()
		p.d("M94,104q6,-8 12,0").line(p.dark, 7)
		p.disc(lens, 64, 112, r-2).disc(lens, 136, 112, r-2)
	} else {
		p.d("M28,86h144q0,58-34,58q-30,0-32,-36h-12q-2,36-32,36q-34,0-34,-58z").body()
		p.d("M38,95h52q-4,41-25,41q-25,0-27,-41zM110,95h52q-2,41-27,41q-21,0-25,-41z").flat(lens)
	}
	p.d("M52,106l12,-12M54,118l22,-22M124,106l12,-12M126,118l22,-22").line(p.wash, 3)
}

func drawHouse(p *painter, form int) {
	w := p.vary(36, 42)
	switch form {
	case 0: // Birdhouse
		p.d("M100,150v16").line(p.ink, 10)
		p.d("M%,84L100,44L%,84V154H%z", 100-w, 100+w, 100-w).body()
		p.d("M%,88L100,40L%,88", 88-w, 112+w).line(p.trim, 11)
		p.disc(p.ink, 100, 100, p.vary(11, 15))
		p.d("M100,130v0M100,130h0").line(p.trim, 8)
		p.d("M62,34q8,-10 14,0q6,-10 14,0").line(p.ink, 3)
	case 1: // Dollhouse
		p.box(124, 46, 14, 30, 1).part(p.dark)
		p.box(98-w, 88, 2*w+4, 77, 2).body()
		p.d("M%,92L100,42L%,92z", 86-w, 114+w).part(p.trim)
		p.box(72, 100, 20, 20, 2).box(108, 100, 20, 20, 2).box(72, 132, 20, 20, 2).flat(glow)
		p.d("M82,100v20M72,110h20M118,100v20M108,110h20M82,132v20M72,142h20").line(p.ink, 2)
		p.d("M108,%v-24a10,10 0 0 1 20,0v24z", floor).flat(p.accent)
		p.disc(glow, 100, 74, 8)
	}
}

func drawBoat(p *painter, form int) {
	w := p.vary(52, 60)
	sail := p.either(cream, p.light)
	if form == 0 { // Sailboat
		p.d("M104,34V140").line(p.ink, 5)
		p.d("M98,42Q%,96 46,126H98z", p.vary(74, 86)).body()
		p.d("M110,50Q146,92 %,126H110z", p.vary(146, 154)).part(sail)
		p.d("M106,30l22,7l-22,7z").flat(p.accent)
	} else { // Schooner
		p.d("M80,34V140M124,44V140M124,128L160,118").line(p.ink, 4)
		p.d("M76,40Q56,80 38,124H76zM120,50Q96,90 88,124h32z").body()
		p.d("M129,54Q152,90 %,114l-26,10z", p.vary(156, 162)).part(sail)
		p.d("M80,30l18,6l-18,6z").flat(p.accent)
	}
	p.d("M%,132h%q-8,32-30,32H%q-20,0-28,-32z", 100-w, 2*w, 128-w).part(p.trim)
	p.d("M%,141h%", 104-w, 2*w-8).line(p.light, 3)
	p.d("M20,166q10,-7 20,0t20,0t20,0t20,0t20,0t20,0t20,0t20,0").line(p.accent, 4)
}

func drawPlanter(p *painter, form int) {
	w := p.vary(32, 40)
	switch form {
	case 0: // Planter
		p.d("M100,118Q52,104 %,48Q94,66 100,118zM100,118Q148,104 %,52Q106,66 100,118z", p.vary(50, 62), p.vary(138, 150)).part(leaf)
		p.d("M100,118Q78,64 100,%Q122,64 100,118z", p.vary(28, 36)).part(leaf.blend(glow, 25))
		p.d("M100,118V52M100,118Q84,86 68,66M100,118Q116,86 132,68").line(leaf.blend(black, 30), 2)
		p.turned(w, 120, w-9, floor).body()
		p.box(95-w, 112, 2*w+10, 14, 4).part(p.trim)
	case 1: // Terrarium
		p.lathe(18, 52, 24, 64, 52, 112, 44, 150).glass(white)
		p.d("M100,134q-26,-10-24,-42q22,12 24,42q2,-40 22,-50q8,36-22,50q-4,-40 0,-62q10,24 0,62z").part(leaf)
		p.d("M54,130q46,-16 92,0l-6,20H60z").part(0x7a5638)
		p.d("M62,104q4,-20 16,-28").line(white, 5)
		p.turned(44, 146, p.vary(36, 42), floor).body()
		p.box(78, 44, 44, 11, 4).part(p.trim)
	}
}
