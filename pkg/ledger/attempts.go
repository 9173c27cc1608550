package ledger

import (
	"context"
	_ "embed" // the statements
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"notsale/pkg/allocation"
	"notsale/pkg/sale"
	"notsale/pkg/wire"
)

var (
	//go:embed queries/record_attempts.sql
	sqlRecordAttempts string
	//go:embed queries/reopen_attempts.sql
	sqlReopenAttempts string
	//go:embed queries/recorded_attempts.sql
	sqlRecordedAttempts string
	//go:embed queries/remove_attempts.sql
	sqlRemoveAttempts string
)

// ErrMoved says that the cursor of a stream of attempts does not stand where its
// reader believed: another recorder has moved it, or the database was restored.
var ErrMoved = errors.New("ledger: the cursor of these attempts stands elsewhere")

// RecordedAttempt is an attempt with the edge that sent it.
type RecordedAttempt struct {
	wire.Attempt
	Edge string
}

// AttemptCursor is how far a stream of attempts is recorded.
type AttemptCursor struct {
	Sequence uint64 // of the last recorded message; 0: none
	Time     sale.Instant
	Hash     allocation.Hash // SHA-256 of its bytes
	Created  sale.Instant    // of the stream
}

// AttemptCursor returns how far a stream of attempts is recorded, or ErrNotFound
// where nothing of it is.
func (l *Ledger) AttemptCursor(ctx context.Context, of wire.AttemptStream) (AttemptCursor, error) {
	var (
		sequence    int64
		at, created time.Time
		hash        []byte
	)
	err := l.pool.QueryRow(ctx, `SELECT sequence, message_time, message_hash, stream_created FROM attempt_cursors WHERE sale_id = $1 AND part = $2`,
		int64(of.Sale), of.Part).Scan(&sequence, &at, &hash, &created)
	if errors.Is(err, pgx.ErrNoRows) {
		return AttemptCursor{}, ErrNotFound
	}
	if err != nil {
		return AttemptCursor{}, fmt.Errorf("ledger: reading how far %s is recorded: %w", of, err)
	}
	c := AttemptCursor{Sequence: uint64(sequence), Time: sale.InstantOf(at), Created: sale.InstantOf(created)}
	copy(c.Hash[:], hash)
	return c, nil
}

// RecordAttempts stores the attempts that stand between two places of a stream
// and moves its cursor from one to the other; an attempt that is there already
// stays as it is. It returns how many were new. ErrMoved: the cursor is not at
// from, and nothing was written.
func (l *Ledger) RecordAttempts(ctx context.Context, of wire.AttemptStream, from, to AttemptCursor, attempts []RecordedAttempt) (stored int64, err error) {
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
	var moved bool
	err = l.pool.QueryRow(ctx, sqlRecordAttempts, int64(of.Sale), of.Part,
		int64(from.Sequence), from.Time.Time(), from.Hash[:], from.Created.Time(), int64(to.Sequence), to.Time.Time(), to.Hash[:],
		ids, sales, at, users, items, outcomes, codes, expires, edges).Scan(&moved, &stored)
	if err == nil && !moved {
		err = ErrMoved
	}
	if err != nil {
		return 0, fmt.Errorf("ledger: storing %d checkout attempts of %s: %w", n, of, err)
	}
	return stored, nil
}

// ReopenAttempts records that a stream of attempts is not the one any more that
// was recorded, and moves its cursor before the first message of the stream that
// was made at created. ErrMoved: the cursor is not at from, nothing was written.
func (l *Ledger) ReopenAttempts(ctx context.Context, of wire.AttemptStream, from AttemptCursor, created sale.Instant) error {
	var none AttemptCursor
	tag, err := l.pool.Exec(ctx, sqlReopenAttempts, int64(of.Sale), of.Part, int64(from.Sequence), from.Time.Time(), from.Hash[:], from.Created.Time(),
		none.Time.Time(), none.Hash[:], created.Time())
	if err == nil && tag.RowsAffected() == 0 {
		err = ErrMoved
	}
	if err != nil {
		return fmt.Errorf("ledger: reading %s again: %w", of, err)
	}
	return nil
}

// Recorded says how far the streams that may hold attempts of one sale are
// recorded.
type Recorded struct {
	Own   uint64         // last recorded message of the sale's own stream
	Parts map[int]uint64 // of each part of the streams of no sale
	Gone  sale.Instant   // attempts up to then may have no message any more; 0: all have
}

// Has reports whether a message, by its wire.AttemptStream.Number, is recorded.
func (r *Recorded) Has(number uint64) bool {
	part, sequence := wire.Numbered(number)
	if part < 0 {
		return sequence <= r.Own
	}
	return sequence <= r.Parts[part]
}

// Recorded returns how far the streams are recorded that may hold attempts of a
// sale (0: of none).
func (l *Ledger) Recorded(ctx context.Context, id sale.ID) (Recorded, error) {
	rows, err := l.pool.Query(ctx, sqlRecordedAttempts, int64(id))
	if err != nil {
		return Recorded{}, fmt.Errorf("ledger: reading how far attempts are recorded: %w", err)
	}
	r := Recorded{Parts: map[int]uint64{}}
	var (
		of       wire.AttemptStream
		sequence int64
		gone     *time.Time
	)
	_, err = pgx.ForEachRow(rows, []any{&of.Sale, &of.Part, &sequence, &gone}, func() error {
		if of.Sale == 0 {
			r.Parts[of.Part] = max(r.Parts[of.Part], uint64(sequence))
		} else {
			r.Own = max(r.Own, uint64(sequence))
		}
		if gone != nil {
			r.Gone = max(r.Gone, sale.InstantOf(*gone))
		}
		return nil
	})
	if err != nil {
		return Recorded{}, fmt.Errorf("ledger: reading how far attempts are recorded: %w", err)
	}
	return r, nil
}

// UnsoldPart is a part of the streams of no sale, as the ledger knows it.
type UnsoldPart struct {
	Part    int
	Removed bool
}

// UnsoldParts returns the parts of the streams of no sale of which anything is
// recorded, in order.
func (l *Ledger) UnsoldParts(ctx context.Context) ([]UnsoldPart, error) {
	rows, err := l.pool.Query(ctx, `SELECT part, removed_at IS NOT NULL FROM attempt_cursors WHERE sale_id = 0 ORDER BY part`)
	if err != nil {
		return nil, fmt.Errorf("ledger: reading the streams of no sale: %w", err)
	}
	parts, err := pgx.CollectRows(rows, pgx.RowToStructByPos[UnsoldPart])
	if err != nil {
		return nil, fmt.Errorf("ledger: reading the streams of no sale: %w", err)
	}
	return parts, nil
}

// clockTolerance is how far this clock and NATS's may be apart where both decide
// what is old.
const clockTolerance = time.Minute

// RemoveUnsold says of a part of the streams of no sale that it is removed, and
// reports whether it may be: it is recorded to its end, both for longer than the
// horizon. last is its last message, created when it was made, now the time by
// NATS's clock, which must agree with the ledger's.
func (l *Ledger) RemoveUnsold(ctx context.Context, part int, last uint64, created, now time.Time, horizon time.Duration) (bool, error) {
	tag, err := l.pool.Exec(ctx, sqlRemoveAttempts, part, int64(last), sale.InstantOf(created).Time(), horizon, now, clockTolerance)
	if err != nil {
		return false, fmt.Errorf("ledger: removing part %d of the streams of no sale: %w", part, err)
	}
	return tag.RowsAffected() == 1, nil
}

// ForgetMark deletes what recorders of earlier versions left of a sale's stream
// of attempts.
func (l *Ledger) ForgetMark(ctx context.Context, id sale.ID) error {
	if _, err := l.pool.Exec(ctx, `DELETE FROM recorded WHERE sale_id = $1`, int64(id)); err != nil {
		return fmt.Errorf("ledger: deleting an old mark: %w", err)
	}
	return nil
}
