package allocation_test

import (
	"reflect"
	"slices"
	"testing"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/sale"
)

// packsFrom reads packs out of arbitrary bytes, four a request: code, item and
// user, expiry, and whether a new pack begins at a later or earlier time.
func packsFrom(data []byte, s sale.Sale) []allocation.Pack {
	packs := []allocation.Pack{{Sequence: 2, Time: 10, Edge: "e"}}
	for ; len(data) >= 4; data = data[4:] {
		last := &packs[len(packs)-1]
		last.Requests = append(last.Requests, allocation.Request{
			Number: uint64(len(last.Requests)), Code: code.ID{data[0] % 32}, Expires: sale.Instant(data[2]),
			Item: sale.ItemID(int(data[0]) % (s.Stock + 2)), User: sale.UserID([]string{"a", "b", "c"}[data[0]%3]),
		})
		if data[3]%3 == 0 {
			packs = append(packs, allocation.Pack{Sequence: last.Sequence + 1, Time: sale.Instant(data[3]), Hash: allocation.Hash{data[1]}, Edge: "e"})
		}
	}
	return packs
}

// FuzzReplay: whatever the packs hold, deciding them one by one, all at once,
// and again from a restored engine gives the same, within the limits.
func FuzzReplay(f *testing.F) {
	f.Add([]byte("flash sale of a few items, all at once"), uint8(3), uint8(2))
	f.Add([]byte{1, 1, 99, 0, 1, 1, 99, 3, 2, 2, 5, 6, 33, 0, 255, 9}, uint8(1), uint8(1))
	f.Fuzz(func(t *testing.T, data []byte, stock, limit uint8) {
		s := testSale(int(stock)%6+1, int(limit)%3+1)
		packs := packsFrom(data, s)
		whole := allocation.New(s, allocation.Hash{}, 0)
		all := whole.Begin()
		for _, p := range packs {
			whole.Apply(p, all)
		}
		half := allocation.New(s, allocation.Hash{}, 0)
		b := half.Begin()
		for _, p := range packs[:len(packs)/2] {
			half.Apply(p, b)
		}
		restored, err := allocation.Restore(s, half.Cursor(), each(b.Decisions), 0)
		if err != nil {
			t.Fatal(err)
		}
		rest := restored.Begin()
		for _, p := range packs[len(packs)/2:] {
			restored.Apply(p, rest)
		}
		got := slices.Concat(b.Decisions, rest.Decisions)
		if !reflect.DeepEqual(got, all.Decisions) || restored.Cursor() != whole.Cursor() {
			t.Fatalf("in two parts %+v\nat once %+v", got, all.Decisions)
		}
		checkLimits(t, s, all.Decisions)
	})
}

func checkLimits(t *testing.T, s sale.Sale, decisions []allocation.Decision) {
	items, users := map[sale.ItemID]bool{}, map[sale.UserID]int{}
	for _, d := range decisions {
		if d.Reason != allocation.Granted {
			continue
		}
		if items[d.Item] || !s.Contains(d.Item) {
			t.Fatalf("item %d sold twice, or of no sale", d.Item)
		}
		items[d.Item] = true
		if users[d.User]++; users[d.User] > s.UserLimit {
			t.Fatalf("user %s over the limit", d.User)
		}
	}
}
