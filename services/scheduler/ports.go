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

// Ports are the servers as a scheduler needs them. Every call may be repeated.
type Ports struct {
	Ledger  Ledger
	Rows    Rows
	Removed Removed
	Store   Store
	Streams Streams
	Parts   Parts
	Renewal Renewal
	Space   Space
	Sizes   Sizes
}

// Ledger is what it says beside the rows of sales.
type Ledger interface {
	Installation(ctx context.Context) (sale.UUID, error)
	// NextSlot is how long it is until the next slot begins.
	NextSlot(ctx context.Context, every time.Duration) (time.Duration, error)
	// UnsoldSales are those that are opening or still sell.
	UnsoldSales(ctx context.Context) ([]sale.ID, error)
}

// Rows are those of sales.
type Rows interface {
	// OpenSlot makes the row of the slot's sale, unless it is there.
	// ledger.ErrClocks and ErrWentBack: it made none.
	OpenSlot(ctx context.Context, t ledger.Template) (made bool, err error)
	// Adopt makes a row as an opening record says; ledger.ErrTaken: it is another's.
	Adopt(ctx context.Context, of sale.Sale) error
	// MarkOpen opens a sale with its first cursor.
	MarkOpen(ctx context.Context, id sale.ID, genesis allocation.Cursor, streamCreated time.Time) error
	// Sales are those of lower numbers, 0: all, newest first.
	Sales(ctx context.Context, before sale.ID, limit int) ([]ledger.SaleRow, error)
}

// Removed is what the ledger says of the streams of no sale.
type Removed interface {
	UnsoldParts(ctx context.Context) ([]ledger.UnsoldPart, error)
	AttemptCursor(ctx context.Context, of wire.AttemptStream) (ledger.AttemptCursor, error)
	// RemoveUnsold records that one is removed, if it is recorded and old.
	RemoveUnsold(ctx context.Context, part int, last uint64, created, now time.Time, horizon time.Duration) (bool, error)
}

// Store is NATS's, with all that is in it.
type Store interface {
	// Directory opens the directory of sales, or makes it.
	Directory(ctx context.Context) (Directory, error)
	// Sales are those that have a stream.
	Sales(ctx context.Context) ([]sale.ID, error)
	// Opening reads an opening record; stream.ErrLost: there is none.
	Opening(ctx context.Context, id sale.ID) (stream.Opening, error)
}

// Directory is where edges and allocators learn of sales.
type Directory interface {
	Listing
	// Claim makes the store this installation's; stream.ErrForeign: it is another's.
	Claim(ctx context.Context, installation sale.UUID) error
	// ServerTime is NATS's, and the process's at that time.
	ServerTime(ctx context.Context) (server, local time.Time, err error)
}

// Listing is what the directory lists. Put may be called by several tasks at once.
type Listing interface {
	Put(ctx context.Context, e wire.Entry) error
	Count(ctx context.Context) (int, error)
	Entries(ctx context.Context) (map[sale.ID]wire.Entry, error)
}

// Streams are the two of a sale, in the order in which they are made. One that is
// there stays as it is.
type Streams interface {
	CreateCheckouts(ctx context.Context, id sale.ID) error
	CreatePurchases(ctx context.Context, id sale.ID) error
	// PublishOpening stores the opening record, unless the stream has a message.
	PublishOpening(ctx context.Context, of sale.Sale) error
	// OpeningOf reads the opening record of this sale. stream.ErrLost: there is none;
	// stream.ErrForeign: it is another's, and returned where it can be read.
	OpeningOf(ctx context.Context, of sale.Sale) (stream.Opening, error)
}

// Parts are the streams of attempts of no sale. The last one takes attempts.
type Parts interface {
	UnsoldParts(ctx context.Context) ([]int, error)
	UnsoldPart(ctx context.Context, part int) (stream.Info, error)
}

// Renewal makes a new part, and lets an old one go: closed, then removed.
type Renewal interface {
	CreateUnsold(ctx context.Context, part int) error
	CloseUnsold(ctx context.Context, part int) error
	RemoveUnsold(ctx context.Context, part int) error
}

// Space is that of NATS's store.
type Space interface {
	Space(ctx context.Context) (stream.Space, error)
	// Full calls handle with the subject of each stream that a publisher has found
	// full, until stop is called. It may miss some.
	Full(handle func(subject string)) (stop func(), err error)
}

// Sizes are those of all streams.
type Sizes interface {
	Sizes(ctx context.Context) ([]stream.Size, error)
	Size(ctx context.Context, name string) (stream.Size, error)
	// Resize sets what a stream reserves; stream.ErrNoRoom: the store has no room.
	Resize(ctx context.Context, s stream.Size, size int64) error
	// Replicate gives a stream the replicas that it lacks, and tells whether it did.
	Replicate(ctx context.Context, s *stream.Size) (raised bool, err error)
}
