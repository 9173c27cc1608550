package ledger

import (
	"context"
	_ "embed" // the statements
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/sale"
)

var (
	//go:embed queries/verdicts.sql
	sqlVerdicts string
	//go:embed queries/committed.sql
	sqlCommitted string
)

// Question asks what is known for good of a request. A checkout has no code.
type Question struct {
	Sale sale.UUID
	Item sale.ItemID
	User sale.UserID
	Code code.ID
}

// Verdict is what is known for good of a request.
type Verdict struct {
	Decision *allocation.Decision // the code's recorded one; nil: there is none
	// Reason is why a request without a decision will never be granted, even if
	// it waits in the stream; Granted: it may be.
	Reason allocation.Reason
}

// Verdicts answers the questions in their order, from one snapshot and in one
// round trip. Grants among them are confirmed, as by Confirmed. That users are at
// their limit it says only where limits is set, because that reads the items of
// each sale asked about.
func (l *Ledger) Verdicts(ctx context.Context, questions []Question, limits bool) ([]Verdict, error) {
	n := len(questions)
	sales, items, users, codes := make([][16]byte, n), make([]int64, n), make([]string, n), make([][16]byte, n)
	for i := range questions {
		q := &questions[i]
		sales[i], items[i], users[i], codes[i] = q.Sale, int64(q.Item), string(q.User), q.Code
	}
	var verdicts []Verdict
	rows, err := l.pool.Query(ctx, sqlVerdicts, sales, items, users, codes, limits)
	if err == nil {
		verdicts, err = pgx.CollectRows(rows, scanVerdict) // which ends with the statement's commit
	}
	if err == nil && len(verdicts) != n {
		err = fmt.Errorf("%d answers", len(verdicts))
	}
	if err != nil {
		return nil, fmt.Errorf("ledger: reading %d decisions: %w", n, err)
	}
	return verdicts, nil
}

func scanVerdict(row pgx.CollectableRow) (v Verdict, err error) {
	var (
		soldOut, atLimit, taken bool
		position, item          *int64
		id                      *[16]byte
		user                    *string
		reason                  allocation.Reason
		at                      time.Time
	)
	err = row.Scan(&soldOut, &atLimit, &taken, &position, &id, &item, &user, &reason, &at)
	switch {
	case err != nil:
	case position != nil:
		v.Decision = &allocation.Decision{
			Position: *position, Code: *id, Item: sale.ItemID(*item), User: sale.UserID(*user), Reason: reason, At: sale.InstantOf(at),
		}
	case soldOut:
		v.Reason = allocation.SoldOut
	case atLimit:
		v.Reason = allocation.LimitReached
	case taken:
		v.Reason = allocation.ItemTaken
	}
	return v, err
}

// Committed reports whether a commit of the sale left its cursor at just this
// place. A ledger that was restored does not know those that it lost.
func (l *Ledger) Committed(ctx context.Context, id sale.ID, generation int64, sequence uint64, chain allocation.Hash) (known bool, err error) {
	err = l.pool.QueryRow(ctx, sqlCommitted, int64(id), generation, int64(sequence), chain[:]).Scan(&known)
	if err != nil {
		return false, fmt.Errorf("ledger: looking for a commit of sale %d: %w", id, err)
	}
	return known, nil
}
