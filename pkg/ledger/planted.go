package ledger

import (
	"context"
	"strings"

	"notsale/pkg/planted"
	"notsale/pkg/sale"
)

// Two planted bugs of the commit; see package planted.

// plant adds the statements that have the bugs.
func plant(qs map[string]query) {
	qs["commit without fence"] = numbered(strings.Replace(queryText("commit"), "epoch = @epoch AND holder = @holder", "@epoch::bigint > 0 AND @holder::text <> ''", 1))
	qs["record_attempts twice"] = numbered(strings.Replace(queryText("record_attempts"), "SELECT a.attempt_id", "SELECT gen_random_uuid()", 1))
}

// commitStatement is the one statement of a commit. planted.FenceSkipped takes
// the fence out of it.
func commitStatement() string {
	if planted.Bug == planted.FenceSkipped {
		return "commit without fence"
	}
	return "commit"
}

// insertApart is planted.TwoTransactions: decisions and owners by themselves.
func (l *Ledger) insertApart(ctx context.Context, id sale.ID, d *decisionColumns) (err error) {
	defer during(&err, "storing decisions of sale %d", id)
	_, err = done(ctx, l.pool, "planted_insert", params{
		"sale": id, "positions": d.positions, "codes": d.codes, "items": d.items, "users": d.users, "reasons": d.reasons, "times": d.times,
	})
	return err
}

// attemptsStatement stores attempts. planted.AttemptTwice gives them new ids.
func attemptsStatement() string {
	if planted.Bug == planted.AttemptTwice {
		return "record_attempts twice"
	}
	return "record_attempts"
}
