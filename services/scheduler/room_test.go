package scheduler

import (
	"fmt"
	"testing"

	"notsale/pkg/sale"
	"notsale/pkg/stream"
)

// Room is kept for the next sale's opening, then for purchases; where a store is
// mostly free nobody is refused, however many sales are idle.
func TestRoomOfStreams(t *testing.T) {
	t.Parallel()
	type sizes struct{ purchases, attempts, unsold int64 } // MB of the newest sale's streams, and that of no sale
	for name, c := range map[string]struct {
		limit, idle int64 // MB; sales that still sell, whose two streams have 1 MB each
		has, room   sizes
	}{
		"an empty store":                   {20 << 10, 0, sizes{32, 32, 32}, sizes{20374, 10176, 224}},
		"only for the next sale's opening": {6, 0, sizes{1, 2, 1}, sizes{0, 0, 0}},
		"and for this sale's purchases":    {8, 0, sizes{1, 2, 1}, sizes{2, 0, 0}},
		"checkouts leave purchases theirs": {64, 0, sizes{8, 14, 8}, sizes{24, 10, 8}},
		"a thousand idle sales":            {8 << 10, 1000, sizes{32, 32, 32}, sizes{3031, 2515, 224}},
		"of which a flood leaves half":     {8 << 10, 1000, sizes{32, 2547, 32}, sizes{1773, 0, 0}},
		"also one of purchases":            {8 << 10, 1000, sizes{3063, 32, 32}, sizes{0, 999, 224}},
		"sold-out sales have all but this": {1 << 10, 0, sizes{590, 390, 32}, sizes{2, 2, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := &keeper{cfg: DefaultConfig(), known: map[string]*kept{}, space: stream.Space{Limit: c.limit << 20}}
			add := func(kind stream.Kind, id sale.ID, mb int64) *kept {
				s := &kept{Size: stream.Size{Kind: kind, Sale: id, MaxBytes: mb << 20}}
				k.known[fmt.Sprint(kind, id)] = s
				k.space.Reserved += s.MaxBytes
				return s
			}
			for id := range sale.ID(c.idle) {
				add(stream.Purchases, id+2, 1)
				add(stream.Attempts, id+2, 1)
			}
			purchases, attempts, unsold := add(stream.Purchases, 1, c.has.purchases), add(stream.Attempts, 1, c.has.attempts), add(stream.Attempts, 0, c.has.unsold)
			if got := (sizes{k.room(purchases) >> 20, k.room(attempts) >> 20, k.room(unsold) >> 20}); got != c.room {
				t.Errorf("%+v, want %+v", got, c.room)
			}
		})
	}
}
