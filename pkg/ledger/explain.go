package ledger

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/sale"
	"notsale/pkg/wire"
)

// Fact is a final fact against a request, and which grant made it true. It names
// nobody, so that the holder of the code may see it.
type Fact struct {
	Reason   allocation.Reason // one of allocation.OfOthers
	Position int64             // of the grant that made it true
	At       sale.Instant      // of that grant
	Count    int               // items that are sold, that the user has, or 1
}

// Explanation says why a code did not get its item, as far as the ledger knows.
type Explanation struct {
	// Decision is the recorded one; nil: there is none, because the request was
	// refused from the cache, waits in the stream, or was never sent.
	Decision *allocation.Decision
	// Facts has the fact behind a recorded refusal, and none for other decisions.
	// Without a decision it has all facts against the request, in the order in which
	// the engine checks them. Each proves that the code was not granted.
	Facts []Fact
}

// Explain returns the decision of a code of the sale and the facts behind it. It
// reads a row by its key, and for facts about the sale or the user the sale's items.
func (l *Ledger) Explain(ctx context.Context, s *sale.Sale, v *code.Verified) (Explanation, error) {
	var x Explanation
	reasons := allocation.OfOthers()
	_, d, err := l.DecisionOf(ctx, v.ID)
	switch {
	case err == nil:
		x.Decision, reasons = &d, []allocation.Reason{d.Reason}
	case !errors.Is(err, ErrNotFound):
		return Explanation{}, err
	}
	for _, reason := range reasons {
		f, err := l.fact(ctx, s, v, reason)
		if err != nil {
			return Explanation{}, err
		}
		if f.Position > 0 {
			x.Facts = append(x.Facts, f)
		}
	}
	return x, nil
}

// fact returns the fact behind a reason; its position is 0 if there is none.
func (l *Ledger) fact(ctx context.Context, s *sale.Sale, v *code.Verified, reason allocation.Reason) (f Fact, err error) {
	defer during(&err, "explaining %v in sale %d", reason, s.ID)
	var sql string
	p := params{"code": v.ID, "first": s.FirstItem, "last": s.LastItem()}
	switch reason.Scope() {
	case allocation.ScopeSale:
		sql, p["sale"] = "explain_sold_out", s.ID
	case allocation.ScopeUser:
		sql, p["user"], p["limit"] = "explain_limit_reached", v.User, s.UserLimit
	case allocation.ScopeItem:
		sql, p = "explain_item_taken", params{"code": v.ID, "item": v.Item}
	case allocation.ScopeCode: // it depends on no other request
		return Fact{}, nil
	}
	f, err = one(ctx, l.pool, sql, p, func(row pgx.CollectableRow) (Fact, error) {
		f := Fact{Reason: reason}
		return f, into{"count": &f.Count, "position": &f.Position, "sold_at": (*instant)(&f.At)}.scan(row)
	})
	if errors.Is(err, ErrNotFound) {
		return Fact{}, nil
	}
	return f, err
}

// AttemptOf returns the checkout attempt of the sale that was answered with the
// code, or ErrNotFound. It reads all attempts of the sale, which takes too long for a
// shopper to wait.
func (l *Ledger) AttemptOf(ctx context.Context, id sale.ID, given code.ID) (_ RecordedAttempt, err error) {
	defer during(&err, "looking for the checkout of a code in sale %d", id)
	return one(ctx, l.pool, "explain_attempt", params{"sale": id, "code": given}, scanAttempt)
}

// Outcomes counts a user's checkout attempts in the sale by their outcome. It reads
// all attempts of the sale, as AttemptOf does.
func (l *Ledger) Outcomes(ctx context.Context, id sale.ID, user sale.UserID) (_ map[wire.Outcome]int, err error) {
	defer during(&err, "counting a user's checkouts in sale %d", id)
	rows, err := all(ctx, l.pool, "explain_outcomes", params{"sale": id, "user": user}, pgx.RowToStructByName[struct {
		Outcome wire.Outcome
		Count   int
	}])
	counts := make(map[wire.Outcome]int, len(rows))
	for _, row := range rows {
		counts[row.Outcome] = row.Count
	}
	return counts, err
}
