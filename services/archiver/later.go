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
// were made after its own stream was closed are in the stream of no sale.
type LaterTape struct {
	auditor.Tape // the sale's own streams, in NATS or in an archive

	Live *stream.Client
}

// AttemptMessages yields the sale's own messages, then those of the stream of no
// sale, with sequences that go on.
func (t *LaterTape) AttemptMessages(ctx context.Context, id sale.ID, first, last uint64) iter.Seq2[stream.Message, error] {
	return func(yield func(stream.Message, error) bool) {
		_, end, err := t.Tape.AttemptFloor(ctx, id)
		if err != nil {
			yield(stream.Message{}, err)
			return
		}
		for m, err := range t.Tape.AttemptMessages(ctx, id, first, min(last, end)) {
			if !yield(m, err) || err != nil {
				return
			}
		}
		if last <= end {
			return
		}
		from, upTo := max(first, end+1)-end, last
		if last != math.MaxUint64 {
			upTo = last - end
		}
		for m, err := range t.Live.AttemptMessages(ctx, 0, from, upTo) {
			m.Sequence += end
			if !yield(m, err) || err != nil {
				return
			}
		}
	}
}

// AttemptFloor returns how far both are recorded.
func (t *LaterTape) AttemptFloor(ctx context.Context, id sale.ID) (floor, last uint64, err error) {
	own, end, err := t.Tape.AttemptFloor(ctx, id)
	if err != nil {
		return 0, 0, err
	}
	if own < end {
		return own, end, nil
	}
	floor, last, err = t.Live.AttemptFloor(ctx, 0)
	return end + floor, end + last, err
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
