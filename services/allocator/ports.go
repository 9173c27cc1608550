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

// Leases are this allocator's leases in the ledger, and the sales that others
// decide.
type Leases interface {
	// Renew keeps this allocator's leases, and returns them.
	Renew(ctx context.Context, ttl time.Duration) ([]ledger.Lease, error)
	// Take takes at most limit free sales, except those to skip.
	Take(ctx context.Context, ttl time.Duration, skip []sale.ID, limit int) ([]ledger.Lease, error)
	// Release gives a lease back.
	Release(ctx context.Context, lease ledger.Lease) error
	// OpenPositions returns the position of each open sale that somebody asked about
	// within this age.
	OpenPositions(ctx context.Context, age time.Duration) (map[sale.ID]int64, error)
}

// History is what the ledger holds of a sale.
type History interface {
	Sale(ctx context.Context, id sale.ID) (ledger.SaleRow, error)
	Cursor(ctx context.Context, id sale.ID) (ledger.Position, error)
	// DecisionPage returns the decisions after a position up to another, in order, at
	// most so many. It uses room's memory for them where that is large enough.
	DecisionPage(ctx context.Context, id sale.ID, after, upTo int64, most int, room []allocation.Decision) ([]allocation.Decision, error)
	// Committed reports whether the ledger has a commit that ended so.
	Committed(ctx context.Context, id sale.ID, generation int64, sequence uint64, chain allocation.Hash) (bool, error)
}

// Commits writes to the ledger, fenced by the lease: after ErrFenced nothing was
// written; after any other error that is unknown.
type Commits interface {
	Commit(ctx context.Context, id sale.ID, epoch int64, b *allocation.Batch) error
	// Settled waits until no commit of this lease is under way any more, and returns
	// the cursor.
	Settled(ctx context.Context, id sale.ID, epoch int64) (ledger.Position, error)
	// Applied reports whether a message is the one that was decided at its sequence.
	Applied(ctx context.Context, id sale.ID, sequence uint64, m allocation.Mark) (bool, error)
	OpenGeneration(ctx context.Context, id sale.ID, epoch int64, h *allocation.Hole) error
}

// Streams are the sales' streams of purchase requests. stream.ErrLost: there is no
// such stream.
type Streams interface {
	Opening(ctx context.Context, id sale.ID) (stream.Opening, error)
	Of(id sale.ID) follow.Stream
}

// News tells whether NATS answers, and when sales open.
type News interface {
	Ping(ctx context.Context) error
	// Changed calls handle when there may be a free sale, until stop is called. It may
	// miss some.
	Changed(handle func()) (stop func(), err error)
}

// Cache is the rejection cache.
type Cache interface {
	Mark(ctx context.Context, id sale.UUID) (rejection.Mark, error)
	Learn(ctx context.Context, id sale.UUID, from, upTo rejection.Mark, f *allocation.Facts) (rejection.Mark, error)
	Forget(ctx context.Context, id sale.UUID) error
}

// Edges take the replies to the requests that they sent. A shopper who gets none
// asks again.
type Edges interface {
	Reply(edge string, data []byte) error
	MaxMessage() int
}
