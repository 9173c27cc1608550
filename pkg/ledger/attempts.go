package ledger

import (
	"context"
	"fmt"
	"time"

	"notsale/pkg/wire"
)

// RecordedAttempt is an attempt with the edge that sent it.
type RecordedAttempt struct {
	wire.Attempt
	Edge string
}

// InsertAttempts stores attempts; those that are there already stay as they
// are. It returns how many were new.
func (l *Ledger) InsertAttempts(ctx context.Context, attempts []RecordedAttempt) (int64, error) {
	n := len(attempts)
	ids, codes := make([][16]byte, n), make([][16]byte, n)
	sales := make([]int64, n)
	at, expires := make([]time.Time, n), make([]time.Time, n)
	users, items, outcomes, edges := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	for i := range attempts {
		a := &attempts[i]
		ids[i], codes[i], sales[i] = a.ID, a.Code, int64(a.Sale)
		at[i], expires[i] = a.At.Time(), a.Expires.Time()
		users[i], items[i], outcomes[i], edges[i] = a.User, a.Item, string(a.Outcome), a.Edge
	}
	tag, err := l.pool.Exec(ctx, attemptsStatement(), ids, sales, at, users, items, outcomes, codes, expires, edges)
	if err != nil {
		return 0, fmt.Errorf("ledger: storing %d checkout attempts: %w", n, err)
	}
	return tag.RowsAffected(), nil
}
