package archiver

import (
	"context"
	"iter"
	"math"

	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/wire"
	"notsale/services/auditor"
)

// OwnLedger is the ledger of a closed sale, as its archive has it: the same whether
// the sale is being archived, or will be, or was, and without attempts whose
// messages the sale's stream has lost.
type OwnLedger struct {
	auditor.Ledger

	own map[sale.UUID]bool
}

// NewOwnLedger reads which attempts the sale's own stream has.
func NewOwnLedger(ctx context.Context, books auditor.Ledger, tape auditor.Streams, id sale.ID) (*OwnLedger, error) {
	b := &OwnLedger{Ledger: books, own: map[sale.UUID]bool{}}
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

// Snapshot has the state of a sale that was not closed yet.
func (b *OwnLedger) Snapshot(ctx context.Context, id sale.ID) (ledger.Snapshot, error) {
	s, err := b.Ledger.Snapshot(ctx, id)
	if s.Sale.State.Closed() {
		s.Sale.State = sale.SoldOut
	}
	return s, err
}

// Attempts yields the rows whose attempts are in the sale's own stream.
func (b *OwnLedger) Attempts(ctx context.Context, id sale.ID) iter.Seq2[ledger.RecordedAttempt, error] {
	return func(yield func(ledger.RecordedAttempt, error) bool) {
		for row, err := range b.Ledger.Attempts(ctx, id) {
			if (err != nil || b.own[row.ID]) && !yield(row, err) {
				return
			}
		}
	}
}
