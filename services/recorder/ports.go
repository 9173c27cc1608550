package recorder

import (
	"context"

	"notsale/pkg/follow"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/wire"
)

// Ports are the servers as a recorder needs them.
type Ports struct {
	Ledger  Ledger
	Known   Known
	Streams Streams
}

// Ledger takes attempts and the cursors of their streams.
type Ledger interface {
	// AttemptCursor is how far a stream is recorded; ledger.ErrNotFound: nothing of it.
	AttemptCursor(ctx context.Context, of wire.AttemptStream) (ledger.AttemptCursor, error)
	// RecordAttempts stores the attempts between two cursors; ledger.ErrMoved: the
	// ledger's is not the first of them, and nothing was stored.
	RecordAttempts(ctx context.Context, of wire.AttemptStream, from, to ledger.AttemptCursor, attempts []ledger.RecordedAttempt) (stored int64, err error)
	// ReopenAttempts records that a stream has lost what was recorded.
	ReopenAttempts(ctx context.Context, of wire.AttemptStream, from ledger.AttemptCursor, created sale.Instant) error
}

// Known is what the ledger says of the streams that ought to be there.
type Known interface {
	Sale(ctx context.Context, id sale.ID) (ledger.SaleRow, error)
	UnsoldParts(ctx context.Context) ([]ledger.UnsoldPart, error)
}

// Streams are those of attempts.
type Streams interface {
	Of(stream wire.AttemptStream) follow.Stream
	// UnsoldParts are the streams of no sale that are there.
	UnsoldParts(ctx context.Context) ([]int, error)
	// Watch tells of each sale of the directory, and of each change, until it fails.
	Watch(ctx context.Context, update func(wire.Entry)) error
	// Clean deletes what recorders of earlier versions have left of a stream: their
	// consumer, and its row in the ledger.
	Clean(ctx context.Context, of wire.AttemptStream) error
}
