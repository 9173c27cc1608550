package catalogue

import (
	"fmt"
	"strconv"

	"notsale/pkg/sale"
)

// design is what an item is: its words and its edition in one number. The low
// designBits bits pick adjective, material and noun; the bits above them count
// editions from 0. sale.MaxStock needs 20 bits.
type design uint32

// hallmarkBits is the width of the largest design number of a sale of
// sale.MaxStock items: 16 bits of words, 16 editions.
const hallmarkBits = designBits + 4

// The line fails to compile when sale.MaxStock outgrows the hallmark.
const _ = uint(1<<hallmarkBits - sale.MaxStock)

// Name returns the product name of an item of the sale, such as "Velvet Copper
// Lantern". No two items of a sale share a name: the item's index is permuted
// under the sale's seed, and when the words run out an edition number follows,
// as in "Velvet Copper Lantern No. 2". Name panics if the item is not of the
// sale.
func Name(s *sale.Sale, item sale.ItemID) string {
	return designOf(s, item).name()
}

// Picture returns the item's picture: an SVG document without text, script or
// outside reference, drawn from the item's name and the sale's seed, the same
// bytes on every platform. No two items of a sale share a picture: each bears
// a hallmark, a row of dots that spells its design number. Picture panics if
// the item is not of the sale.
func Picture(s *sale.Sale, item sale.ItemID) []byte {
	d := designOf(s, item)
	return draw(d, scramble(s.Seed^pictureSalt, uint64(d)))
}

// designOf returns the design of an item: a one-to-one function of its index.
func designOf(s *sale.Sale, item sale.ItemID) design {
	if !s.Contains(item) {
		panic(fmt.Sprintf("catalogue: item %d is not one of sale %d (%d to %d)", item, s.ID, s.FirstItem, s.LastItem()))
	}
	index := uint32(item - s.FirstItem)
	edition := index >> designBits
	words := permute(s.Seed, edition, index&(1<<designBits-1))
	return design(edition<<designBits | words)
}

func (d design) adjective() *adjective { return &adjectives[d%(1<<adjectiveBits)] }
func (d design) material() *material   { return &materials[d>>adjectiveBits%(1<<materialBits)] }
func (d design) noun() *noun           { return &nouns[d>>(adjectiveBits+materialBits)%(1<<nounBits)] }
func (d design) edition() int          { return int(d>>designBits) + 1 }

func (d design) name() string {
	name := d.adjective().word + " " + d.material().word + " " + d.noun().word
	if e := d.edition(); e > 1 {
		name += " No. " + strconv.Itoa(e)
	}
	return name
}

// feistelRounds is the number of rounds of permute. Four make a good shuffle;
// six cost nothing.
const feistelRounds = 6

// permute maps the numbers of designBits bits onto themselves, one to one, in
// an order that depends on the seed and the edition. It is a Feistel network:
// each round swaps the halves and changes one by a function of the other, so
// it can be undone whatever that function is, and needs no table.
func permute(seed uint64, edition, x uint32) uint32 {
	const half = designBits / 2
	const mask = 1<<half - 1
	left, right := x>>half, x&mask
	for round := range uint64(feistelRounds) {
		key := scramble(seed, round<<32|uint64(edition)<<half|uint64(right))
		left, right = right, left^uint32(key)&mask
	}
	return left<<half | right
}

// pictureSalt keeps the numbers behind the pictures apart from those behind
// the names.
const pictureSalt = 0x6a09e667f3bcc909

// scramble hashes two words into one: two rounds of the splitmix64 finalizer.
func scramble(a, b uint64) uint64 { return finalize(finalize(a) + b) }

// finalize is one step of splitmix64, a bijection with good avalanche.
func finalize(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
