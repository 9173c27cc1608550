package catalogue

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
