package ledger

import (
	"context"
	_ "embed" // the statements
	"encoding/binary"
	"fmt"
	"iter"
	"time"

	"github.com/jackc/pgx/v5"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/sale"
)

var (
	//go:embed queries/audit_commits.sql
	sqlAuditCommits string
	//go:embed queries/audit_holes.sql
	sqlAuditHoles string
	//go:embed queries/audit_items.sql
	sqlAuditItems string
	//go:embed queries/audit_attempts.sql
	sqlAuditAttempts string
)

// CommitRow is one row of commits, as it stands.
type CommitRow struct {
	Generation int64
	Sequence   uint64
	Position   int64
	Chain      []byte
	Packs      []byte
	Epoch      int64
	At         time.Time
}

// Marks splits the row's packs into their marks, of which a hash has its first
// 16 bytes only. ok is false where the column cannot be split.
func (c *CommitRow) Marks() (marks []allocation.Mark, ok bool) {
	if len(c.Packs)%markSize != 0 {
		return nil, false
	}
	for text := c.Packs; len(text) > 0; text = text[markSize:] {
		m := allocation.Mark{Time: sale.Instant(binary.BigEndian.Uint64(text))}
		copy(m.Hash[:], text[8:markSize])
		marks = append(marks, m)
	}
	return marks, true
}

// Short returns a mark as a commits row keeps it.
func Short(m allocation.Mark) allocation.Mark {
	clear(m.Hash[markHash:])
	return m
}

// HoleRow is one row of holes, as it stands.
type HoleRow struct {
	Generation     int64
	Matching       uint64
	CursorSequence uint64
	CursorPosition int64
	CursorChain    []byte
	Resume         uint64
	Epoch          int64
	FoundAt        time.Time
	CursorTime     sale.Instant // engine time at the cursor
}

// ItemRow is one row of items, as it stands.
type ItemRow struct {
	Item     sale.ItemID
	Sale     sale.ID
	User     sale.UserID
	Code     code.ID
	Position int64
	SoldAt   sale.Instant
}

// Commits yields a sale's commits by generation and sequence. After an error
// it ends; so do the others.
func (l *Ledger) Commits(ctx context.Context, id sale.ID) iter.Seq2[CommitRow, error] {
	return read(ctx, l, sqlAuditCommits, []any{int64(id)}, func(row pgx.CollectableRow) (c CommitRow, err error) {
		err = row.Scan(&c.Generation, &c.Sequence, &c.Position, &c.Chain, &c.Packs, &c.Epoch, &c.At)
		return c, err
	})
}

// Holes yields a sale's holes by generation.
func (l *Ledger) Holes(ctx context.Context, id sale.ID) iter.Seq2[HoleRow, error] {
	return read(ctx, l, sqlAuditHoles, []any{int64(id)}, func(row pgx.CollectableRow) (h HoleRow, err error) {
		var at time.Time
		err = row.Scan(&h.Generation, &h.Matching, &h.CursorSequence, &h.CursorPosition, &h.CursorChain, &h.Resume, &h.Epoch, &h.FoundAt, &at)
		h.CursorTime = sale.InstantOf(at)
		return h, err
	})
}

// Items yields the rows of items that name the sale or one of its items.
func (l *Ledger) Items(ctx context.Context, of sale.Sale) iter.Seq2[ItemRow, error] {
	return read(ctx, l, sqlAuditItems, []any{int64(of.ID), int64(of.FirstItem), int64(of.LastItem())}, func(row pgx.CollectableRow) (i ItemRow, err error) {
		var id [16]byte
		var at time.Time
		err = row.Scan(&i.Item, &i.Sale, &i.User, &id, &i.Position, &at)
		i.Code, i.SoldAt = id, sale.InstantOf(at)
		return i, err
	})
}

// Attempts yields a sale's checkout attempts by id (0: those of no sale).
func (l *Ledger) Attempts(ctx context.Context, id sale.ID) iter.Seq2[RecordedAttempt, error] {
	return read(ctx, l, sqlAuditAttempts, []any{int64(id)}, func(row pgx.CollectableRow) (a RecordedAttempt, err error) {
		var (
			attempt     [16]byte
			issued      *[16]byte
			at, expires *time.Time
		)
		err = row.Scan(&attempt, &a.Sale, &at, &a.User, &a.Item, &a.Outcome, &issued, &expires, &a.Edge)
		a.ID = attempt
		if at != nil {
			a.At = sale.InstantOf(*at)
		}
		if issued != nil {
			a.Code = *issued
		}
		if expires != nil {
			a.Expires = sale.InstantOf(*expires)
		}
		return a, err
	})
}

// read yields the rows of a statement, one session being busy until the loop
// ends.
func read[T any](ctx context.Context, l *Ledger, statement string, args []any, scan pgx.RowToFunc[T]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		rows, err := l.pool.Query(ctx, statement, args...)
		if err != nil {
			yield(zero, fmt.Errorf("ledger: reading for an audit: %w", err))
			return
		}
		defer rows.Close()
		for rows.Next() {
			row, err := scan(rows)
			if err != nil {
				yield(zero, fmt.Errorf("ledger: reading for an audit: %w", err))
				return
			}
			if !yield(row, nil) {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(zero, fmt.Errorf("ledger: reading for an audit: %w", err))
		}
	}
}
