package wire

import (
	"fmt"

	"notsale/pkg/sale"
)

// AttemptStream is one stream of checkout attempts: a sale's, or a part of those of no
// sale. When a part is full or a day old, the next one begins.
type AttemptStream struct {
	Sale sale.ID // 0: no sale
	Part int     // 0 for a sale's
}

// String returns the name: CHECKOUTS_7, CHECKOUTS_0, CHECKOUTS_0_1, CHECKOUTS_0_2.
func (s AttemptStream) String() string {
	if s.Part > 0 {
		return fmt.Sprintf("CHECKOUTS_%d_%d", s.Sale, s.Part)
	}
	return fmt.Sprintf("CHECKOUTS_%d", s.Sale)
}

// messagesPerPart is more than one stream ever has, so that Number is unique.
const messagesPerPart = 1 << 40

// Number returns the place of a message among all those of no sale, part by part,
// which stays the same when early parts are removed; of a sale's stream it is the
// sequence.
func (s AttemptStream) Number(sequence uint64) uint64 {
	if s.Sale == 0 {
		return (uint64(s.Part)+1)*messagesPerPart + sequence
	}
	return sequence
}

// Numbered is what Number was made of. The part is -1 for a message of a
// sale's stream.
func Numbered(number uint64) (part int, sequence uint64) {
	return int(number/messagesPerPart) - 1, number % messagesPerPart
}
