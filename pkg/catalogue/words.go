package catalogue

// The vocabulary of the catalogue. Every word says both how an item is called
// and what its picture looks like: the adjective is the pattern, the material
// the colour, the noun the silhouette.
//
// The tables are part of the record: a replay of an old sale must show the
// names and pictures that its shoppers saw. Never reorder, change, add or
// remove an entry; the golden tests in testdata hold them in place.

// The three sizes are powers of two: a design number is cut into its words by
// shifting, and the numbers of one edition fill exactly 16 bits.
const (
	adjectiveBits = 5
	materialBits  = 5
	nounBits      = 6
	designBits    = adjectiveBits + materialBits + nounBits
)

// adjective is a word and the pattern it is drawn with.
type adjective struct {
	word      string
	size      int    // edge of the square pattern tile
	stroke    int    // line width of the motif; 0 fills it
	transform string // patternTransform of the tile
	motif     string // path data of the motif; "" leaves the tile plain
}

var adjectives = [1 << adjectiveBits]adjective{
	{"Polished", 20, 0, "", ""},
	{"Velvet", 4, 1, "rotate(45)", "M0,2h4"},
	{"Nautical", 16, 0, "", "M0,0h16v6H0z"},
	{"Breton", 10, 2, "", "M0,5h10"},
	{"Regal", 14, 0, "", "M0,0h6v14H0z"},
	{"Pinstriped", 8, 1, "", "M4,0v8"},
	{"Dapper", 14, 0, "rotate(45)", "M0,0h5v14H0z"},
	{"Candy", 18, 0, "rotate(-35)", "M0,0h9v18H0z"},
	{"Dotted", 13, 0, "", "M3,6a3,3 0 1 0 6,0a3,3 0 1 0-6,0"},
	{"Merry", 22, 0, "rotate(30)", "M4,11a6,6 0 1 0 12,0a6,6 0 1 0-12,0"},
	{"Gingham", 16, 8, "", "M4,0v16M0,4h16"},
	{"Chequered", 18, 0, "", "M0,0h9v18h9V9H0z"},
	{"Alpine", 18, 3, "", "M-2,16L9,5l11,11"},
	{"Zigzag", 12, 2, "rotate(90)", "M-2,9L6,3l8,6"},
	{"Tidal", 20, 3, "", "M-5,10q5-9 10,0t10,0t10,0"},
	{"Rippled", 12, 2, "rotate(12)", "M-3,6q3-5 6,0t6,0t6,0"},
	{"Mermaid", 18, 2, "", "M0,0a9,9 0 0 0 18,0M-9,9a9,9 0 0 0 18,0a9,9 0 0 0 18,0"},
	{"Deco", 20, 2, "rotate(180)", "M0,2a10,10 0 0 0 20,0M5,2a5,5 0 0 0 10,0"},
	{"Starlit", 22, 0, "", "M11,3l2,6l6,2l-6,2l-2,6l-2-6l-6-2l6-2z"},
	{"Cosmic", 17, 0, "rotate(20)", "M8,2l1,5l5,1l-5,1l-1,5l-1-5l-5-1l5-1zM14,14h2v2h-2z"},
	{"Windowpane", 18, 1, "", "M9,0v18M0,9h18"},
	{"Trellised", 16, 2, "rotate(45)", "M8,0v16M0,8h16"},
	{"Stitched", 14, 2, "", "M7,3v8M3,7h8"},
	{"Quilted", 18, 2, "rotate(45)", "M0,0h18v18M8,9h2"},
	{"Bubbly", 20, 2, "", "M4,8a5,5 0 1 0 10,0a5,5 0 1 0-10,0M15,17h1"},
	{"Orbital", 24, 2, "rotate(25)", "M3,12a9,9 0 1 0 18,0a9,9 0 1 0-18,0M8,12a4,4 0 1 0 8,0a4,4 0 1 0-8,0"},
	{"Speckled", 17, 0, "rotate(15)", "M2,3h2v2h-2zM10,1h2v3h-2zM6,9h3v2h-3zM13,12h2v2h-2zM1,14h2v2h-2z"},
	{"Dappled", 24, 0, "rotate(40)", "M3,5q5-5 9,1t-9,-1M14,15q5-5 8,0t-8,0M3,18q3-3 5,0t-5,0"},
	{"Botanical", 20, 0, "rotate(25)", "M10,1q8,8 0,17q-8-9 0-17z"},
	{"Verdant", 24, 0, "rotate(-30)", "M3,12q8-8 17,0q-9,8-17,0zM12,0q4,4 0,7q-4-3 0-7z"},
	{"Harlequin", 20, 0, "", "M10,0L20,10L10,20L0,10z"},
	{"Argyle", 24, 1, "", "M0,0L24,24M24,0L0,24M12,5L19,12L12,19L5,12z"},
}

// material is a word, its colour, and the colour's place on the hue ring.
type material struct {
	word string
	base rgb
	hue  int
}

var materials = [1 << materialBits]material{
	{"Copper", 0xc6764a, 1},
	{"Brass", 0xcfa548, 2},
	{"Bronze", 0x97683a, 2},
	{"Golden", 0xe6b23c, 2},
	{"Silver", 0xc9d1d9, 7},
	{"Pewter", 0x87919c, 8},
	{"Steel", 0x6f8aa5, 8},
	{"Iron", 0x4c525e, 8},
	{"Oak", 0xbb8a55, 2},
	{"Walnut", 0x6e4935, 1},
	{"Cherrywood", 0xa0483c, 0},
	{"Maple", 0xd6a469, 2},
	{"Birch", 0xe6d5b4, 2},
	{"Ebony", 0x40363f, 11},
	{"Bamboo", 0xb3ad55, 3},
	{"Cork", 0xc79a68, 1},
	{"Leather", 0x8e5433, 1},
	{"Linen", 0xe9dfcb, 2},
	{"Denim", 0x4a6a98, 8},
	{"Felt", 0x6b8f5e, 4},
	{"Silk", 0xcb7a9c, 11},
	{"Porcelain", 0xeff2f5, 8},
	{"Marble", 0xdedfe5, 9},
	{"Slate", 0x5b6975, 7},
	{"Jade", 0x4a9f7d, 5},
	{"Amber", 0xe08f2f, 1},
	{"Coral", 0xea7866, 0},
	{"Pearl", 0xf0e6e4, 11},
	{"Amethyst", 0x8a69ba, 9},
	{"Turquoise", 0x3fb0ad, 6},
	{"Cobalt", 0x3a5cad, 8},
	{"Terracotta", 0xc9664a, 0},
}

// noun is a word, the silhouette family that draws it and which of the
// family's forms it takes.
type noun struct {
	word string
	draw func(p *painter, form int)
	form int
}

var nouns = [1 << nounBits]noun{
	{"Lantern", drawLantern, 0},
	{"Beacon", drawLantern, 1},
	{"Nightlight", drawLantern, 2},
	{"Vase", drawVase, 0},
	{"Urn", drawVase, 1},
	{"Amphora", drawVase, 2},
	{"Pitcher", drawVase, 3},
	{"Kettle", drawKettle, 0},
	{"Teapot", drawKettle, 1},
	{"Coffeepot", drawKettle, 2},
	{"Chair", drawChair, 0},
	{"Armchair", drawChair, 1},
	{"Stool", drawChair, 2},
	{"Lamp", drawLamp, 0},
	{"Floor Lamp", drawLamp, 1},
	{"Desk Lamp", drawLamp, 2},
	{"Guitar", drawGuitar, 0},
	{"Ukulele", drawGuitar, 1},
	{"Banjo", drawGuitar, 2},
	{"Boot", drawBoot, 0},
	{"Sneaker", drawBoot, 1},
	{"Wellington", drawBoot, 2},
	{"Camera", drawCamera, 0},
	{"Rangefinder", drawCamera, 1},
	{"Cine Camera", drawCamera, 2},
	{"Ring", drawRing, 0},
	{"Signet", drawRing, 1},
	{"Pendant", drawRing, 2},
	{"Umbrella", drawUmbrella, 0},
	{"Parasol", drawUmbrella, 1},
	{"Clock", drawClock, 0},
	{"Alarm Clock", drawClock, 1},
	{"Pocket Watch", drawClock, 2},
	{"Mug", drawMug, 0},
	{"Teacup", drawMug, 1},
	{"Tankard", drawMug, 2},
	{"Satchel", drawBag, 0},
	{"Handbag", drawBag, 1},
	{"Suitcase", drawBag, 2},
	{"Backpack", drawBag, 3},
	{"Radio", drawRadio, 0},
	{"Boombox", drawRadio, 1},
	{"Gramophone", drawRadio, 2},
	{"Top Hat", drawHat, 0},
	{"Fedora", drawHat, 1},
	{"Bottle", drawBottle, 0},
	{"Flask", drawBottle, 1},
	{"Decanter", drawBottle, 2},
	{"Bell", drawBell, 0},
	{"Handbell", drawBell, 1},
	{"Cowbell", drawBell, 2},
	{"Globe", drawGlobe, 0},
	{"Snow Globe", drawGlobe, 1},
	{"Drum", drawDrum, 0},
	{"Bongos", drawDrum, 1},
	{"Tambourine", drawDrum, 2},
	{"Spectacles", drawGlasses, 0},
	{"Sunglasses", drawGlasses, 1},
	{"Birdhouse", drawHouse, 0},
	{"Dollhouse", drawHouse, 1},
	{"Sailboat", drawBoat, 0},
	{"Schooner", drawBoat, 1},
	{"Planter", drawPlanter, 0},
	{"Terrarium", drawPlanter, 1},
}

// hue is one step of the ring that backgrounds and accents come from.
type hue struct {
	wash   rgb // background
	shape  rgb // what stands in the background
	accent rgb // trim and motif
}

var hues = [12]hue{
	{0xf7d9d3, 0xefc0b7, 0xa63d40},
	{0xfadfc8, 0xf3c8a6, 0xb25a2e},
	{0xfbe9bf, 0xf4d68d, 0xa2711c},
	{0xf1eec6, 0xe1dc9b, 0x77752a},
	{0xe1ebcd, 0xc9dba9, 0x587a38},
	{0xd2ead8, 0xafd8bb, 0x2f7350},
	{0xcdeae5, 0xa5d8d0, 0x1f6f6b},
	{0xd2e8f1, 0xacd4e5, 0x27648a},
	{0xd7dff4, 0xb6c6ea, 0x34508f},
	{0xdfdaf3, 0xc5bce8, 0x544592},
	{0xecd9ef, 0xd9bae0, 0x7a3f88},
	{0xf8d7e3, 0xefb6cb, 0xa43a68},
}
