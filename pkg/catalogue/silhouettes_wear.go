package catalogue

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
