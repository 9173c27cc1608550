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

// NewDesk returns a desk that reads through the books of one sale: for an
// archive, which has no index.
func NewDesk(books Books, id sale.ID) Desk { return readingDesk{books, id} }

type readingDesk struct {
	Books

	sale sale.ID
}

func (d readingDesk) DecisionOf(ctx context.Context, id code.ID) (sale.ID, allocation.Decision, error) {
	for row, err := range d.Decisions(ctx, d.sale, 0, math.MaxInt64) {
		if err != nil || row.Code == id {
			return d.sale, row, err
		}
	}
	return 0, allocation.Decision{}, ledger.ErrNotFound
}

func (d readingDesk) AttemptOf(ctx context.Context, id sale.ID, given code.ID) (ledger.RecordedAttempt, error) {
	for row, err := range d.Attempts(ctx, id) {
		if err != nil || row.Code == given {
			return row, err
		}
	}
	return ledger.RecordedAttempt{}, ledger.ErrNotFound
}

func (d readingDesk) Outcomes(ctx context.Context, id sale.ID, user sale.UserID) (map[wire.Outcome]int, error) {
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
