package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"notsale/pkg/sale"
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

// Recorded returns up to which message a sale's stream of attempts is recorded
// for certain, 0 if that is not known.
func (l *Ledger) Recorded(ctx context.Context, id sale.ID) (uint64, error) {
	var sequence int64
	err := l.pool.QueryRow(ctx, `SELECT sequence FROM recorded WHERE sale_id = $1`, int64(id)).Scan(&sequence)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return 0, fmt.Errorf("ledger: reading how far attempts are recorded: %w", err)
	}
	return uint64(sequence), nil
}

// MarkRecorded says that a sale's stream of attempts is recorded up to the
// message. The mark never goes back.
func (l *Ledger) MarkRecorded(ctx context.Context, id sale.ID, sequence uint64) error {
	if _, err := l.pool.Exec(ctx, sqlMarkRecorded, int64(id), int64(sequence)); err != nil {
		return fmt.Errorf("ledger: marking how far attempts are recorded: %w", err)
	}
	return nil
}

// AllRecorded is Recorded for all streams that have a mark.
func (l *Ledger) AllRecorded(ctx context.Context) (map[sale.ID]uint64, error) {
	rows, err := l.pool.Query(ctx, `SELECT sale_id, sequence FROM recorded`)
	if err != nil {
		return nil, fmt.Errorf("ledger: reading how far attempts are recorded: %w", err)
	}
	marks := map[sale.ID]uint64{}
	var id, sequence int64
	_, err = pgx.ForEachRow(rows, []any{&id, &sequence}, func() error {
		marks[sale.ID(id)] = uint64(sequence)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("ledger: reading how far attempts are recorded: %w", err)
	}
	return marks, nil
}
