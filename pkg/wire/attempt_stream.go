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

// Number numbers all messages that may hold attempts of one sale: first those of its
// own stream, by their sequences, then, part by part, those of no sale, which have the
// attempts that came after the sale was closed. A number stays the same when early
// parts are removed.
func (s AttemptStream) Number(sequence uint64) uint64 {
	if s.Sale == 0 {
		return (uint64(s.Part)+1)*messagesPerPart + sequence
	}
	return sequence
}

// Numbered reverses Number. The part is -1 for a message of the sale's own stream.
func Numbered(number uint64) (part int, sequence uint64) {
	return int(number/messagesPerPart) - 1, number % messagesPerPart
}
