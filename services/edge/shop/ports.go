package shop

import (
	"context"
	"io"

	"notsale/pkg/ledger"
	"notsale/pkg/rejection"
	"notsale/pkg/sale"
	"notsale/pkg/wire"
)

// Ports are the servers as a shop needs them.
type Ports struct {
	Cache     Cache
	Ledger    Ledger
	Publisher Publisher
	Directory Directory
	Random    io.Reader // of ids and nonces, as crypto/rand's
}

// Cache is the rejection cache.
type Cache interface {
	// Ask answers questions in their order. On an error nothing is known.
	Ask(ctx context.Context, questions []rejection.Question) ([]rejection.Answer, error)
}

// Ledger is what was decided, and which sales there are.
type Ledger interface {
	// Verdicts answers questions in their order; limits: users at their limit are
	// looked for, too.
	Verdicts(ctx context.Context, questions []ledger.Question, limits bool) ([]ledger.Verdict, error)
	// SalesOf returns the sales that have these UUIDs or items.
	SalesOf(ctx context.Context, uuids []sale.UUID, items []sale.ItemID) ([]ledger.SaleRow, error)
	// Sales returns sales below a number, newest first, at most so many; 0: all.
	Sales(ctx context.Context, before sale.ID, limit int) ([]ledger.SaleRow, error)
}

// Publisher stores messages in the streams of a sale. stream.ErrAmbiguous: perhaps
// it did; after any other error it did not.
type Publisher interface {
	PublishPack(ctx context.Context, id sale.ID, data []byte) error
	// PublishAttempts stores attempts of a sale, or of none: 0.
	PublishAttempts(ctx context.Context, id sale.ID, data []byte) error
	// MaxMessage is the largest message that is taken, in bytes; 0: not known yet.
	MaxMessage() int
}

// Directory is the list of sales in NATS.
type Directory interface {
	// Watch calls put with each entry and with each that changes, and listed when it
	// has come to the end of what there was, until ctx ends or it fails.
	Watch(ctx context.Context, put func(wire.Entry), listed func()) error
	// Connected reports whether there is a connection with NATS.
	Connected() bool
}
