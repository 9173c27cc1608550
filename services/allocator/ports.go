package allocator

import (
	"context"
	"time"

	"notsale/pkg/allocation"
	"notsale/pkg/follow"
	"notsale/pkg/ledger"
	"notsale/pkg/rejection"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
)

// Ports are the servers as an allocator needs them.
type Ports struct {
	Leases  Leases
	History History
	Commits Commits
	Streams Streams
	News    News
	Cache   Cache
	Edges   Edges
}

// Leases is what the ledger says of this allocator's leases, and of the sales that
// others decide.
type Leases interface {
	// Renew keeps this allocator's leases, and returns them.
	Renew(ctx context.Context, ttl time.Duration) ([]ledger.Lease, error)
	// Take takes free sales but for those to skip, at most limit.
	Take(ctx context.Context, ttl time.Duration, skip []sale.ID, limit int) ([]ledger.Lease, error)
	// Release gives a lease back.
	Release(ctx context.Context, lease ledger.Lease) error
	// OpenPositions is how far the open sales are decided of which anybody wanted
	// anything for so long.
	OpenPositions(ctx context.Context, age time.Duration) (map[sale.ID]int64, error)
}

// History is what the ledger says of a sale.
type History interface {
	Sale(ctx context.Context, id sale.ID) (ledger.SaleRow, error)
	Cursor(ctx context.Context, id sale.ID) (ledger.Position, error)
	// DecisionPage is the next of those after a position up to another, at most so
	// many, in the room where it is large enough.
	DecisionPage(ctx context.Context, id sale.ID, after, upTo int64, most int, room []allocation.Decision) ([]allocation.Decision, error)
	// Committed tells whether a commit is in the ledger.
	Committed(ctx context.Context, id sale.ID, generation int64, sequence uint64, chain allocation.Hash) (bool, error)
}

// Commits takes decisions, fenced: ErrFenced means that nothing was written; after
// any other error it is unknown whether it was.
type Commits interface {
	Commit(ctx context.Context, id sale.ID, epoch int64, b *allocation.Batch) error
	// Settled is the cursor once nothing of this lease is under way any more.
	Settled(ctx context.Context, id sale.ID, epoch int64) (ledger.Position, error)
	// Applied tells whether a message is the one that was decided at its sequence.
	Applied(ctx context.Context, id sale.ID, sequence uint64, m allocation.Mark) (bool, error)
	OpenGeneration(ctx context.Context, id sale.ID, epoch int64, h *allocation.Hole) error
}

// Streams are those of the sales' requests. stream.ErrLost: it is not there.
type Streams interface {
	Opening(ctx context.Context, id sale.ID) (stream.Opening, error)
	Of(id sale.ID) follow.Stream
}

// News tells whether NATS answers, and when sales are opened.
type News interface {
	Ping(ctx context.Context) error
	// Changed calls handle when there may be a sale that is free, until stop is
	// called. It may miss some.
	Changed(handle func()) (stop func(), err error)
}

// Cache is the rejection cache's facts of a sale.
type Cache interface {
	Mark(ctx context.Context, id sale.UUID) (rejection.Mark, error)
	Learn(ctx context.Context, id sale.UUID, from, upTo rejection.Mark, f *allocation.Facts) (rejection.Mark, error)
	Forget(ctx context.Context, id sale.UUID) error
}

// Edges are told what was decided of the requests that they sent. Whoever was not
// told asks again.
type Edges interface {
	Reply(edge string, data []byte) error
	MaxMessage() int
}
