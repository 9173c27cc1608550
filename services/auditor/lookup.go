package auditor

import (
	"context"
	"math"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/wire"
)

// NewLookup returns a lookup that reads through the rows of one sale: for an
// archive, which has no index.
func NewLookup(l Ledger, id sale.ID) Lookup { return scanning{l, id} }

type scanning struct {
	Ledger

	sale sale.ID
}

func (d scanning) DecisionOf(ctx context.Context, id code.ID) (sale.ID, allocation.Decision, error) {
	for row, err := range d.Decisions(ctx, d.sale, 0, math.MaxInt64) {
		if err != nil || row.Code == id {
			return d.sale, row, err
		}
	}
	return 0, allocation.Decision{}, ledger.ErrNotFound
}

func (d scanning) AttemptOf(ctx context.Context, id sale.ID, given code.ID) (ledger.RecordedAttempt, error) {
	for row, err := range d.Attempts(ctx, id) {
		if err != nil || row.Code == given {
			return row, err
		}
	}
	return ledger.RecordedAttempt{}, ledger.ErrNotFound
}

func (d scanning) Outcomes(ctx context.Context, id sale.ID, user sale.UserID) (map[wire.Outcome]int, error) {
	outcomes := map[wire.Outcome]int{}
	for row, err := range d.Attempts(ctx, id) {
		if err != nil {
			return nil, err
		}
		if row.User == string(user) {
			outcomes[row.Outcome]++
		}
	}
	return outcomes, nil
}
