package shop

import (
	lru "github.com/hashicorp/golang-lru/v2"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/sale"
)

// remembered is how many decisions an edge remembers: more than a crowd repeats
// within minutes, in at most 30 MB.
const remembered = 1 << 17

// memory is what this edge has seen decided. It is only a hint to read the
// ledger, never an answer: a ledger that was restored may not know it any more.
// Safe for any number of callers.
type memory struct {
	seen *lru.Cache[seenKey, struct{}]
}

// seenKey is a code that was decided, an item that was sold, or a sale of which
// every item was; the other fields are zero.
type seenKey struct {
	code code.ID
	item sale.ItemID
	sale sale.UUID
}

func newMemory() *memory {
	seen, err := lru.New[seenKey, struct{}](remembered)
	if err != nil { // only for sizes below 1
		panic(err)
	}
	return &memory{seen}
}

// decided notes that a code was.
func (m *memory) decided(id code.ID) { m.seen.Add(seenKey{code: id}, struct{}{}) }

// learned notes what an answer says of an item and its sale.
func (m *memory) learned(of sale.UUID, item sale.ItemID, reason allocation.Reason) {
	switch reason { //nolint:exhaustive // the others say nothing of them
	case allocation.Granted, allocation.ItemTaken:
		m.seen.Add(seenKey{item: item}, struct{}{})
	case allocation.SoldOut:
		m.seen.Add(seenKey{sale: of}, struct{}{})
	}
}

func (m *memory) decidedCode(id code.ID) bool    { return m.seen.Contains(seenKey{code: id}) }
func (m *memory) soldItem(item sale.ItemID) bool { return m.seen.Contains(seenKey{item: item}) }
func (m *memory) soldOut(id sale.UUID) bool      { return m.seen.Contains(seenKey{sale: id}) }
