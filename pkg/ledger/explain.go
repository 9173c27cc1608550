package ledger

import (
	"context"
	_ "embed" // the statements
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/sale"
	"notsale/pkg/wire"
)

var (
	//go:embed queries/explain_sold_out.sql
	sqlExplainSoldOut string
	//go:embed queries/explain_limit_reached.sql
	sqlExplainLimitReached string
	//go:embed queries/explain_item_taken.sql
	sqlExplainItemTaken string
	//go:embed queries/explain_attempt.sql
	sqlExplainAttempt string
	//go:embed queries/explain_outcomes.sql
	sqlExplainOutcomes string
)

// Fact is a final fact against a request, and where in the queue it came about.
// It names nobody, so that whoever holds the code may see it.
type Fact struct {
	Reason   allocation.Reason // SoldOut, LimitReached or ItemTaken
	Position int64             // of the grant that made it true
	At       sale.Instant      // of that grant
	Count    int               // items that are sold, that the user has, or 1
}

// Explanation says why a code did not get its item, as far as the ledger knows.
type Explanation struct {
	// Decision is the recorded one; nil: there is none, because the request was
	// refused from the cache, waits in the stream, or was never sent.
	Decision *allocation.Decision
	// Facts is the one that a recorded refusal rests on, none for other
	// decisions; and without a decision all that stand, in the order in which
	// the engine would look at them. Each proves that the code was not granted.
	Facts []Fact
}

// explainable are the reasons that rest on a fact about others' requests, in
// the engine's order.
var explainable = []allocation.Reason{allocation.SoldOut, allocation.LimitReached, allocation.ItemTaken}

// Explain returns the decision of a code of the sale and what it rests on. It
// reads a row by its key, and for SoldOut and LimitReached the sale's items.
func (l *Ledger) Explain(ctx context.Context, of *sale.Sale, v *code.Verified) (Explanation, error) {
	var x Explanation
	reasons := explainable
	_, d, err := l.DecisionOf(ctx, v.ID)
	switch {
	case err == nil:
		x.Decision, reasons = &d, []allocation.Reason{d.Reason}
	case !errors.Is(err, ErrNotFound):
		return Explanation{}, err
	}
	for _, reason := range reasons {
		f, err := l.fact(ctx, of, v, reason)
		if err != nil {
			return Explanation{}, err
		}
		if f.Position > 0 {
			x.Facts = append(x.Facts, f)
		}
	}
	return x, nil
}

// fact returns the fact behind a reason, or one without a position where none
// stands.
func (l *Ledger) fact(ctx context.Context, of *sale.Sale, v *code.Verified, reason allocation.Reason) (Fact, error) {
	var row pgx.Row
	switch reason { //nolint:exhaustive // the others rest on no fact about others
	case allocation.SoldOut:
		row = l.pool.QueryRow(ctx, sqlExplainSoldOut, int64(of.ID), int64(of.FirstItem), int64(of.LastItem()), [16]byte(v.ID))
	case allocation.LimitReached:
		row = l.pool.QueryRow(ctx, sqlExplainLimitReached, int64(of.FirstItem), int64(of.LastItem()), string(v.User), of.UserLimit, [16]byte(v.ID))
	case allocation.ItemTaken:
		row = l.pool.QueryRow(ctx, sqlExplainItemTaken, int64(v.Item), [16]byte(v.ID))
	default:
		return Fact{}, nil
	}
	f := Fact{Reason: reason}
	var at time.Time
	err := row.Scan(&f.Count, &f.Position, &at)
	if errors.Is(err, pgx.ErrNoRows) {
		return Fact{}, nil
	}
	if err != nil {
		return Fact{}, fmt.Errorf("ledger: explaining %v in sale %d: %w", reason, of.ID, err)
	}
	f.At = sale.InstantOf(at)
	return f, nil
}

// AttemptOf returns the checkout attempt of the sale that was given the code,
// or ErrNotFound. It looks through the sale's attempts: not for an answer that
// a shopper waits for.
func (l *Ledger) AttemptOf(ctx context.Context, id sale.ID, given code.ID) (RecordedAttempt, error) {
	rows, err := l.pool.Query(ctx, sqlExplainAttempt, int64(id), [16]byte(given))
	var a RecordedAttempt
	if err == nil {
		a, err = pgx.CollectOneRow(rows, scanAttempt)
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return RecordedAttempt{}, ErrNotFound
	}
	if err != nil {
		return RecordedAttempt{}, fmt.Errorf("ledger: looking for the checkout of a code in sale %d: %w", id, err)
	}
	return a, nil
}

// Outcomes counts a user's checkout attempts in the sale by what became of
// them. It looks through the sale's attempts, as AttemptOf does.
func (l *Ledger) Outcomes(ctx context.Context, id sale.ID, user sale.UserID) (map[wire.Outcome]int, error) {
	rows, err := l.pool.Query(ctx, sqlExplainOutcomes, int64(id), string(user))
	counts, outcome, n := map[wire.Outcome]int{}, wire.Outcome(""), 0
	if err == nil {
		_, err = pgx.ForEachRow(rows, []any{&outcome, &n}, func() error {
			counts[outcome] = n
			return nil
		})
	}
	if err != nil {
		return nil, fmt.Errorf("ledger: counting a user's checkouts in sale %d: %w", id, err)
	}
	return counts, nil
}
