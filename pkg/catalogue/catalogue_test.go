package catalogue

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"notsale/pkg/effort"
	"notsale/pkg/sale"
)

// seeds are unlike one another: none, small, neighbours, all bits.
var seeds = []uint64{0, 1, 2, 0xdeadbeefcafef00d, 1<<64 - 1}

func saleOf(seed uint64, stock int) *sale.Sale {
	return &sale.Sale{ID: 1, FirstItem: 1, Stock: stock, Seed: seed}
}

// items yields every item of a sale.
func items(s *sale.Sale) func(yield func(sale.ItemID) bool) {
	return func(yield func(sale.ItemID) bool) {
		for item := s.FirstItem; item <= s.LastItem(); item++ {
			if !yield(item) {
				return
			}
		}
	}
}

// golden compares got with a file of testdata, or writes it with NOTSALE_UPDATE=1.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if effort.Update() {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s differs: a replay of an old sale would no longer show what its shoppers saw", path)
	}
}

func TestNamesOfASaleAreDistinct(t *testing.T) {
	t.Parallel()
	for _, seed := range seeds {
		s := saleOf(seed, 10_000)
		seen := make(map[string]sale.ItemID, s.Stock)
		for item := range items(s) {
			name := Name(s, item)
			if other, ok := seen[name]; ok {
				t.Fatalf("seed %d: items %d and %d are both %q", seed, other, item, name)
			}
			seen[name] = item
		}
	}
}

func TestDesignsOfTheLargestSaleAreDistinct(t *testing.T) {
	t.Parallel()
	s := saleOf(7, sale.MaxStock)
	seen := make([]bool, 1<<hallmarkBits)
	for item := range items(s) {
		d := designOf(s, item)
		if seen[d] {
			t.Fatalf("item %d repeats design %d", item, d)
		}
		seen[d] = true
	}
	if last := designOf(s, s.LastItem()); last.edition() != 16 {
		t.Errorf("the last item is of edition %d, want 16", last.edition())
	}
}

func TestEveryDesignHasItsOwnName(t *testing.T) {
	t.Parallel()
	seen := make(map[string]design, 1<<designBits)
	for d := range design(1 << designBits) {
		name := d.name()
		if other, ok := seen[name]; ok {
			t.Fatalf("designs %d and %d are both %q", other, d, name)
		}
		seen[name] = d
	}
}

func TestEditionsFollowWhenWordsRunOut(t *testing.T) {
	t.Parallel()
	s := saleOf(3, 1<<designBits+1)
	if name := Name(s, 1<<designBits); strings.Contains(name, "No.") {
		t.Errorf("the last item of the first edition is %q", name)
	}
	if name := Name(s, 1<<designBits+1); !strings.HasSuffix(name, " No. 2") {
		t.Errorf("the first item of the second edition is %q", name)
	}
}

func TestSeedsAssignNamesDifferently(t *testing.T) {
	t.Parallel()
	a, b := saleOf(1, 10_000), saleOf(2, 10_000)
	same := 0
	for item := range items(a) {
		if Name(a, item) == Name(b, item) {
			same++
		}
	}
	if same > 10 { // chance gives 10,000 / 65,536 of them
		t.Errorf("%d of %d items have the same name under two seeds", same, a.Stock)
	}
}

func TestNameDependsOnThePlaceInTheSaleOnly(t *testing.T) {
	t.Parallel()
	a, b := saleOf(1, 100), saleOf(1, 100)
	b.FirstItem = 50_001
	if x, y := Name(a, 17), Name(b, 50_017); x != y {
		t.Errorf("the 17th item is %q in one sale and %q in the other", x, y)
	}
}

func TestItemsOfOtherSalesPanic(t *testing.T) {
	t.Parallel()
	s := saleOf(1, 10)
	s.FirstItem = 11
	for _, item := range []sale.ItemID{0, 10, 21, -1} {
		for what, call := range map[string]func(){
			"Name":    func() { Name(s, item) },
			"Picture": func() { Picture(s, item) },
		} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("%s(%d) did not panic", what, item)
					}
				}()
				call()
			}()
		}
	}
}

func TestPermuteIsOneToOne(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		edition := rapid.Uint32Range(0, 15).Draw(t, "edition")
		x := rapid.Uint32Range(0, 1<<designBits-1).Draw(t, "x")
		y := rapid.Uint32Range(0, 1<<designBits-1).Draw(t, "y")
		px, py := permute(seed, edition, x), permute(seed, edition, y)
		if px >= 1<<designBits {
			t.Fatalf("permute leaves its range: %d", px)
		}
		if (x == y) != (px == py) {
			t.Fatalf("permute maps %d and %d to %d and %d", x, y, px, py)
		}
	})
}

func TestNamesAreForEver(t *testing.T) {
	t.Parallel()
	var got strings.Builder
	for _, seed := range seeds {
		s := saleOf(seed, sale.MaxStock)
		for _, item := range []sale.ItemID{1, 2, 3, 9_999, 10_000, 65_536, 65_537, sale.MaxStock} {
			fmt.Fprintf(&got, "seed %d item %d: %s\n", seed, item, Name(s, item))
		}
	}
	golden(t, "names.txt", []byte(got.String()))
}

func BenchmarkName(b *testing.B) {
	s := saleOf(1, 10_000)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		Name(s, sale.ItemID(1+i%s.Stock))
	}
}
