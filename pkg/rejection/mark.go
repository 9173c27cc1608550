package rejection

import (
	"encoding/binary"

	"notsale/pkg/allocation"
)

// Mark is the place in a sale's history up to which facts were learned: a
// commit of the ledger. A ledger that was restored to before it, or in which
// something else was decided since, does not know it. The zero one stands for
// none.
type Mark struct {
	Generation int64
	Sequence   uint64
	Chain      allocation.Hash
}

// MarkOf returns the mark of a batch that ends at the cursor.
func MarkOf(c *allocation.Cursor) Mark {
	return Mark{Generation: c.Generation, Sequence: c.Sequence, Chain: c.Chain}
}

const markSize = 8 + 8 + len(allocation.Hash{})

func (m Mark) encode() []byte {
	if m == (Mark{}) {
		return nil
	}
	b := make([]byte, 0, markSize)
	b = binary.BigEndian.AppendUint64(b, uint64(m.Generation))
	b = binary.BigEndian.AppendUint64(b, m.Sequence)
	return append(b, m.Chain[:]...)
}

// decodeMark reads what encode writes; anything else is no mark.
func decodeMark(text string) (m Mark) {
	if len(text) != markSize {
		return Mark{}
	}
	b := []byte(text)
	m.Generation, m.Sequence = int64(binary.BigEndian.Uint64(b)), binary.BigEndian.Uint64(b[8:])
	copy(m.Chain[:], b[16:])
	return m
}
