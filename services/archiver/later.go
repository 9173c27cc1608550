package archiver

import (
	"context"
	"iter"
	"math"

	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
	"notsale/services/auditor"
)

// TapeOf is the streams in which all of a sale's attempts are.
func TapeOf(row *ledger.SaleRow, own auditor.Tape, live *stream.Client) auditor.Tape {
	if row.State.Closed() {
		return &LaterTape{Tape: own, Live: live}
	}
	return own
}

// LaterTape is the streams of a closed sale with what came since: attempts that
// were made after its own stream was closed are in the streams of no sale.
type LaterTape struct {
	auditor.Tape // the sale's own streams, in NATS or in an archive

	Live *stream.Client
}

// AttemptMessages yields the sale's own messages, then those of the streams of no
// sale, whose numbers are higher.
func (t *LaterTape) AttemptMessages(ctx context.Context, id sale.ID, first, last uint64) iter.Seq2[stream.Message, error] {
	return func(yield func(stream.Message, error) bool) {
		for _, messages := range [...]iter.Seq2[stream.Message, error]{
			t.Tape.AttemptMessages(ctx, id, first, last), t.Live.AttemptMessages(ctx, 0, first, last),
		} {
			for m, err := range messages {
				if !yield(m, err) || err != nil {
					return
				}
			}
		}
	}
}

// OwnBooks is the ledger of a closed sale, without the attempts that came since.
type OwnBooks struct {
	auditor.Books

	own map[sale.UUID]bool
}

// NewOwnBooks reads which attempts the sale's own stream has.
func NewOwnBooks(ctx context.Context, books auditor.Books, tape auditor.Tape, id sale.ID) (*OwnBooks, error) {
	b := &OwnBooks{Books: books, own: map[sale.UUID]bool{}}
	for m, err := range tape.AttemptMessages(ctx, id, 1, math.MaxUint64) {
		if err != nil {
			return nil, err
		}
		_, list, _ := wire.DecodeAttempts(m.Data) // what cannot be read was not recorded
		for i := range list {
			b.own[list[i].ID] = true
		}
	}
	return b, nil
}

// Snapshot is the same whether the sale is being archived, or will be, or was:
// so is its archive.
func (b *OwnBooks) Snapshot(ctx context.Context, id sale.ID) (ledger.Snapshot, error) {
	s, err := b.Books.Snapshot(ctx, id)
	if s.Sale.State.Closed() {
		s.Sale.State = sale.SoldOut
	}
	return s, err
}

// Attempts yields the rows whose attempts are in the sale's own stream.
func (b *OwnBooks) Attempts(ctx context.Context, id sale.ID) iter.Seq2[ledger.RecordedAttempt, error] {
	return func(yield func(ledger.RecordedAttempt, error) bool) {
		for row, err := range b.Books.Attempts(ctx, id) {
			if (err != nil || b.own[row.ID]) && !yield(row, err) {
				return
			}
		}
	}
}
