package scheduler

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
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
			k.sum()
			if got := (sizes{k.room(purchases) >> 20, k.room(attempts) >> 20, k.room(unsold) >> 20}); got != c.room {
				t.Errorf("%+v, want %+v", got, c.room)
			}
		})
	}
}

// The room is what it is when each stream is looked at with all others, also
// after streams were read again, resized and forgotten.
func TestRoomIsThatOfAllStreamsTogether(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 0))
		k := randomKeeper(rng, 1+rng.IntN(40))
		for name, s := range k.known {
			switch rng.IntN(3) {
			case 0:
				delete(k.known, name)
			case 1:
				s.Size = randomSize(rng, name)
			}
		}
		k.sum()
		k.log, k.ports.Sizes = slog.New(slog.DiscardHandler), roomForAll{}
		for _, s := range k.known {
			if rng.IntN(3) == 0 {
				if err := k.resize(t.Context(), s, rng.Int64N(1<<30)); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, s := range k.known {
			if got, want := k.room(s), k.roomLookedUp(s); got != want {
				t.Fatalf("seed %d: %d bytes of room for %+v, want %d", seed, got, s.Size, want)
			}
		}
	}
}

// roomForAll resizes whatever it is asked to.
type roomForAll struct{ allSizes }

type allSizes = Sizes

func (roomForAll) Resize(context.Context, stream.Size, int64) error { return nil }

// roomLookedUp is room without sums.
func (k *keeper) roomLookedUp(s *kept) int64 {
	free := max(0, k.space.Room()-nextSale)
	taken, own, needs := s.MaxBytes, k.need(s), k.sellsOut()
	left, unsold := k.space.Limit/attemptShare, k.space.Limit/unsoldShare
	for _, other := range k.known {
		if other != s {
			needs += k.need(other)
		}
		if other.Kind != stream.Attempts {
			continue
		}
		left -= other.MaxBytes
		if other.Sale == 0 {
			unsold -= other.MaxBytes
		}
		if s.Kind == stream.Attempts && other != s {
			taken += other.MaxBytes
		}
	}
	room := max(0, free-min(needs, (free+taken)/2), min(own, free))
	switch {
	case s.Kind != stream.Attempts:
		return room
	case s.Sale == 0:
		left = min(left, unsold, stream.UnsoldBytes-s.MaxBytes)
	}
	return max(0, min(room, left))
}

func randomKeeper(rng *rand.Rand, streams int) *keeper {
	k := &keeper{cfg: DefaultConfig(), known: map[string]*kept{}, unsold: map[sale.ID]bool{}}
	k.space.Limit = rng.Int64N(4 << 30)
	for i := range streams {
		s := &kept{Size: randomSize(rng, fmt.Sprint(i))}
		k.known[s.Name] = s
		k.unsold[s.Sale] = rng.IntN(4) > 0
		k.space.Reserved += s.MaxBytes
	}
	return k
}

func randomSize(rng *rand.Rand, name string) stream.Size {
	kinds := []stream.Kind{stream.Purchases, stream.Attempts, stream.Listing}
	return stream.Size{
		Name: name, Kind: kinds[rng.IntN(len(kinds))], Sale: sale.ID(rng.IntN(4)),
		MaxBytes: rng.Int64N(64 << 20), Sealed: rng.IntN(5) == 0,
	}
}

// A year of unsold sales: the room of each of their streams.
func BenchmarkRoomOfAYear(b *testing.B) {
	k := randomKeeper(rand.New(rand.NewPCG(1, 0)), 2*8760)
	for b.Loop() {
		k.sum()
		for _, s := range k.known {
			_ = k.room(s)
		}
	}
}
