package ledger

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/sale"
)

// Question asks what is known for good about a request. A checkout has no code.
type Question struct {
	Sale sale.UUID
	Item sale.ItemID
	User sale.UserID
	Code code.ID
}

// Verdict is what is known for good about a request.
type Verdict struct {
	Decision *allocation.Decision // the recorded one of the code; nil: there is none
	// Reason is why a request without a decision will never be granted, even if it is
	// already in the stream; Granted: it may be.
	Reason allocation.Reason
}

// Verdicts answers the questions in their order, from one snapshot and in one
// round trip. Grants among the answers are confirmed, as by Confirmed. It looks for
// users at their limit only if limits is set, because that reads all items of each
// sale asked about.
func (l *Ledger) Verdicts(ctx context.Context, questions []Question, limits bool) (verdicts []Verdict, err error) {
	n := len(questions)
	defer during(&err, "reading %d decisions", n)
	sales, items, users, codes := make([][16]byte, n), make([]int64, n), make([]string, n), make([][16]byte, n)
	for i := range questions {
		q := &questions[i]
		sales[i], items[i], users[i], codes[i] = q.Sale, int64(q.Item), string(q.User), q.Code
	}
	verdicts, err = all(ctx, l.pool, "verdicts", params{"sales": sales, "items": items, "users": users, "codes": codes, "limits": limits}, scanVerdict)
	if err == nil && len(verdicts) != n {
		err = fmt.Errorf("%d answers", len(verdicts))
	}
	return verdicts, err
}

func scanVerdict(row pgx.CollectableRow) (v Verdict, err error) {
	var soldOut, atLimit, taken bool
	var d allocation.Decision
	columns := decision(&d)
	columns["sold_out"], columns["limit_reached"], columns["taken"] = &soldOut, &atLimit, &taken
	switch err = columns.scan(row); {
	case err != nil:
	case d.Position != 0:
		v.Decision = &d
	case soldOut:
		v.Reason = allocation.SoldOut
	case atLimit:
		v.Reason = allocation.LimitReached
	case taken:
		v.Reason = allocation.ItemTaken
	}
	return v, err
}

// Committed reports whether a commit of the sale ended with just this cursor. A
// ledger that was restored does not know the commits that it lost.
func (l *Ledger) Committed(ctx context.Context, id sale.ID, generation int64, sequence uint64, chain allocation.Hash) (known bool, err error) {
	defer during(&err, "looking for a commit of sale %d", id)
	return one(ctx, l.pool, "committed", params{"sale": id, "generation": generation, "sequence": sequence, "chain": chain[:]}, pgx.RowTo[bool])
}
