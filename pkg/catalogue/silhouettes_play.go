package catalogue

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
