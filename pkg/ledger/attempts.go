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

// ErrRestarted says that the database server was started anew since a mark was
// read: it may have been restored from a backup.
var ErrRestarted = errors.New("ledger: the database server was started anew")

// Recorded returns up to which message a sale's stream of attempts is recorded
// for certain, 0 if that is not known, and when the server was started.
func (l *Ledger) Recorded(ctx context.Context, id sale.ID) (sequence uint64, started time.Time, err error) {
	var n int64
	err = l.pool.QueryRow(ctx, `SELECT COALESCE((SELECT sequence FROM recorded WHERE sale_id = $1), 0), pg_postmaster_start_time()`, int64(id)).Scan(&n, &started)
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("ledger: reading how far attempts are recorded: %w", err)
	}
	return uint64(n), started, nil
}

// MarkRecorded says that a sale's stream of attempts is recorded up to the
// message, by a server that was started then; else ErrRestarted. The mark never
// goes back.
func (l *Ledger) MarkRecorded(ctx context.Context, id sale.ID, sequence uint64, started time.Time) error {
	tag, err := l.pool.Exec(ctx, sqlMarkRecorded, int64(id), int64(sequence), started)
	if err != nil {
		return fmt.Errorf("ledger: marking how far attempts are recorded: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return ErrRestarted
	}
	return nil
}

// AllRecorded is Recorded for all streams that have a mark.
func (l *Ledger) AllRecorded(ctx context.Context) (marks map[sale.ID]uint64, started time.Time, err error) {
	rows, err := l.pool.Query(ctx, `SELECT sale_id, sequence, pg_postmaster_start_time() FROM recorded UNION ALL SELECT -1, 0, pg_postmaster_start_time()`)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("ledger: reading how far attempts are recorded: %w", err)
	}
	marks = map[sale.ID]uint64{}
	var id, sequence int64
	_, err = pgx.ForEachRow(rows, []any{&id, &sequence, &started}, func() error {
		marks[sale.ID(id)] = uint64(sequence)
		return nil
	})
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("ledger: reading how far attempts are recorded: %w", err)
	}
	return marks, started, nil
}
