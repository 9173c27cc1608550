package scheduler

import (
	"context"
	"time"

	"notsale/pkg/allocation"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
)

// Books is the ledger, as a scheduler uses it. Every call may be repeated.
type Books interface {
	Installation(ctx context.Context) (sale.UUID, error)
	OpenSlot(ctx context.Context, t ledger.Template) (made bool, err error)
	Adopt(ctx context.Context, of sale.Sale) error
	Sales(ctx context.Context, before sale.ID, limit int) ([]ledger.SaleRow, error)
	MarkOpen(ctx context.Context, id sale.ID, genesis allocation.Cursor, streamCreated time.Time) error
	NextSlot(ctx context.Context, every time.Duration) (time.Duration, error)
	UnsoldBooks
}

// Streams is NATS, as a scheduler uses it. Every call may be repeated.
type Streams interface {
	UnsoldStreams
	CreateSale(ctx context.Context, s sale.Sale) (stream.Opening, error)
	Sales(ctx context.Context) ([]sale.ID, error)
	Opening(ctx context.Context, id sale.ID) (stream.Opening, error)
	Directory(ctx context.Context) (Directory, error)
}

// Directory is where edges and allocators learn of sales.
type Directory interface {
	Claim(ctx context.Context, installation sale.UUID) error
	Put(ctx context.Context, e wire.Entry) error // may be called by several goroutines
	Count(ctx context.Context) (int, error)
	Entries(ctx context.Context) (map[sale.ID]wire.Entry, error)
	ServerTime(ctx context.Context) (server, local time.Time, err error)
}
