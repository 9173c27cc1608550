package ledger

import (
	"context"
	_ "embed"
	"fmt"
	"strings"

	"notsale/pkg/planted"
	"notsale/pkg/sale"
)

// Two planted bugs of the commit; see package planted.

//go:embed queries/planted_insert.sql
var sqlPlantedInsert string

// commitStatement is the one statement of a commit. planted.FenceSkipped takes
// the fence out of it.
func commitStatement() string {
	if planted.Bug == planted.FenceSkipped {
		return strings.Replace(sqlCommit, "epoch = $2 AND holder = $19", "$2::bigint > 0 AND $19::text <> ''", 1)
	}
	return sqlCommit
}

// insertApart is planted.TwoTransactions: decisions and owners by themselves.
func (l *Ledger) insertApart(ctx context.Context, id sale.ID, d *decisionColumns) error {
	_, err := l.pool.Exec(ctx, sqlPlantedInsert, int64(id), d.positions, d.codes, d.items, d.users, d.reasons, d.times)
	if err != nil {
		return fmt.Errorf("ledger: storing decisions of sale %d: %w", id, err)
	}
	return nil
}

// attemptsStatement stores attempts. planted.AttemptTwice gives them new ids.
func attemptsStatement() string {
	if planted.Bug == planted.AttemptTwice {
		return strings.Replace(sqlRecordAttempts, "SELECT a.attempt_id", "SELECT gen_random_uuid()", 1)
	}
	return sqlRecordAttempts
}
