package catalogue

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"notsale/pkg/sale"
)

// maxPicture is what a page of a hundred pictures can bear.
const maxPicture = 2500

// wellFormed reads the whole document and returns the first thing wrong with
// it, also what an image must not hold.
func wellFormed(svg []byte) error {
	decoder := xml.NewDecoder(bytes.NewReader(svg))
	elements := 0
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		elements++
		switch name := start.Name.Local; name {
		case "script", "image", "text", "style", "foreignObject", "use":
			return fmt.Errorf("element %s has no place here", name)
		}
		for _, attr := range start.Attr {
			if attr.Name.Local == "d" && strings.ContainsAny(attr.Value, "%()") {
				return fmt.Errorf("path data has a stray character: %s", attr.Value)
			}
		}
	}
	if elements < 8 {
		return fmt.Errorf("only %d elements", elements)
	}
	return nil
}

func TestPicturesOfASaleAreDistinct(t *testing.T) {
	t.Parallel()
	for _, seed := range seeds {
		s := saleOf(seed, 10_000)
		seen := make(map[[sha256.Size]byte]sale.ItemID, s.Stock)
		for item := range items(s) {
			sum := sha256.Sum256(Picture(s, item))
			if other, ok := seen[sum]; ok {
				t.Fatalf("seed %d: items %d and %d look the same", seed, other, item)
			}
			seen[sum] = item
		}
	}
}

func TestEveryWordIsDrawn(t *testing.T) {
	t.Parallel()
	longest := 0
	for n := range 1 << nounBits {
		for i := range 1 << 5 { // every adjective, every material, many dice
			d := design(n<<(adjectiveBits+materialBits) | (i*7+n)%32<<adjectiveBits | i)
			picture := draw(d, scramble(uint64(n), uint64(i)))
			if err := wellFormed(picture); err != nil {
				t.Fatalf("%s: %v\n%s", d.name(), err, picture)
			}
			longest = max(longest, len(picture))
		}
	}
	if longest > maxPicture {
		t.Errorf("the longest picture has %d bytes, want at most %d", longest, maxPicture)
	}
}

func TestPictureIsSmallWellFormedAndRepeatable(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := saleOf(rapid.Uint64().Draw(t, "seed"), rapid.IntRange(1, sale.MaxStock).Draw(t, "stock"))
		item := sale.ItemID(rapid.IntRange(1, s.Stock).Draw(t, "item"))
		picture := Picture(s, item)
		if err := wellFormed(picture); err != nil {
			t.Fatalf("%v\n%s", err, picture)
		}
		if len(picture) > maxPicture {
			t.Fatalf("%d bytes", len(picture))
		}
		if !bytes.Equal(picture, Picture(s, item)) {
			t.Fatal("drawn twice, the picture differs")
		}
	})
}

func TestPicturesAreForEver(t *testing.T) {
	t.Parallel()
	golden(t, "item-1.svg", Picture(saleOf(1, 10_000), 1))

	// One digest over many pictures holds every silhouette in place.
	sum := sha256.New()
	for _, seed := range seeds {
		s := saleOf(seed, 10_000)
		for item := sale.ItemID(1); item <= 1000; item++ {
			sum.Write(Picture(s, item))
		}
	}
	golden(t, "pictures.sha256", []byte(hex.EncodeToString(sum.Sum(nil))+"\n"))
}

// TestContactSheet keeps the picture that the README shows up to date.
func TestContactSheet(t *testing.T) {
	t.Parallel()
	const columns, rows, cell, caption = 6, 4, 200, 34
	const gap = 16
	s := saleOf(1, 10_000)
	width := columns*(cell+gap) + gap
	height := rows*(cell+caption+gap) + gap
	var sheet bytes.Buffer
	fmt.Fprintf(&sheet, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="Georgia, 'Times New Roman', serif" font-size="14" text-anchor="middle">`+"\n", width, height)
	fmt.Fprintf(&sheet, `<title>The first items of the sale with seed 1</title><rect width="%d" height="%d" rx="12" fill="#fffdf8"/>`+"\n", width, height)
	for i := range columns * rows {
		item := s.FirstItem + sale.ItemID(i)
		x := gap + i%columns*(cell+gap)
		y := gap + i/columns*(cell+caption+gap)
		picture, ok := strings.CutPrefix(string(Picture(s, item)), "<svg ")
		if !ok {
			t.Fatalf("item %d is no SVG", item)
		}
		fmt.Fprintf(&sheet, `<svg x="%d" y="%d" width="%d" height="%d" %s`, x, y, cell, cell, picture)
		fmt.Fprintf(&sheet, `<text x="%d" y="%d" fill="#3a3430">%s</text>`+"\n", x+cell/2, y+cell+21, Name(s, item))
	}
	sheet.WriteString("</svg>\n")
	if sheet.Len() > 100_000 {
		t.Errorf("the contact sheet has %d bytes, want at most 100,000", sheet.Len())
	}
	if err := xml.Unmarshal(sheet.Bytes(), new(struct{})); err != nil {
		t.Errorf("the contact sheet is not well-formed: %v", err)
	}
	golden(t, "contact-sheet.svg", sheet.Bytes())
}

func BenchmarkPicture(b *testing.B) {
	s := saleOf(1, 10_000)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		Picture(s, sale.ItemID(1+i%s.Stock))
	}
}
