package ledger

import (
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"math"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype/zeronull"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/sale"
)

// CommitRow is one row of commits, as it stands.
type CommitRow struct {
	Generation int64
	Sequence   uint64
	Position   int64
	Chain      []byte
	Packs      []byte
	Epoch      int64
	At         time.Time `db:"committed_at"`
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

// Commits yields a sale's commits by generation and sequence, in pages, so that
// no session is busy while the loop's body runs; rows that are added meanwhile
// may come too. After an error it ends; so do the others.
func (l *Ledger) Commits(ctx context.Context, id sale.ID) iter.Seq2[CommitRow, error] {
	last := CommitRow{Generation: math.MinInt64}
	return pages(auditPage, func(page []CommitRow) (_ []CommitRow, err error) {
		defer during(&err, "reading commits of sale %d", id)
		if len(page) > 0 {
			last = page[len(page)-1]
		}
		return all(ctx, l.pool, "audit_commits",
			params{"sale": id, "generation": last.Generation, "sequence": last.Sequence, "most": auditPage}, pgx.RowToStructByName[CommitRow])
	})
}

// auditPage is how many rows an audit reads at a time.
const auditPage = 10_000

// pages yields the rows of pages of a size, until one has fewer. read returns the
// page after the one that it is given, in whose room it may stand.
func pages[T any](size int, read func([]T) ([]T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var page []T
		for more := true; more; more = len(page) == size {
			var err error
			if page, err = read(page); err != nil {
				yield(*new(T), err)
				return
			}
			for i := range page {
				if !yield(page[i], nil) {
					return
				}
			}
		}
	}
}

func scanHole(row pgx.CollectableRow) (h HoleRow, err error) {
	return h, into{
		"generation": &h.Generation, "matching_sequence": &h.Matching, "resume_sequence": &h.Resume, "epoch": &h.Epoch, "found_at": &h.FoundAt,
		"cursor_sequence": &h.CursorSequence, "cursor_position": &h.CursorPosition, "cursor_chain": &h.CursorChain, "cursor_time": (*instant)(&h.CursorTime),
	}.scan(row)
}

func scanItem(row pgx.CollectableRow) (i ItemRow, err error) {
	return i, into{
		"item_id": &i.Item, "sale_id": &i.Sale, "user_id": &i.User, "code_id": &i.Code, "position": &i.Position, "sold_at": (*instant)(&i.SoldAt),
	}.scan(row)
}

// Strays returns rows, at most so many, that name a sale which does not exist:
// no audit of a sale would meet them. Position is the number they name.
func (l *Ledger) Strays(ctx context.Context, most int) (_ []RowKey, err error) {
	defer during(&err, "looking for rows of no sale")
	return all(ctx, l.pool, "audit_strays", params{"most": most}, pgx.RowToStructByName[RowKey])
}

// attemptsPage is how many attempts are read at a time: a few megabytes, long
// before the server ends the statement.
const attemptsPage = 5000

// Attempts yields a sale's checkout attempts (0: those of no sale) by id,
// one session being busy until the loop ends.
func (l *Ledger) Attempts(ctx context.Context, id sale.ID) iter.Seq2[RecordedAttempt, error] {
	return func(yield func(RecordedAttempt, error) bool) {
		stopped := false
		err := l.pool.inTransaction(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx transaction) error {
			if _, err := done(ctx, tx, "audit_attempts", params{"sale": id}); err != nil {
				return err
			}
			for a, err := range pages(attemptsPage, func([]RecordedAttempt) ([]RecordedAttempt, error) {
				rows, _ := tx.Query(ctx, fmt.Sprintf("FETCH %d FROM attempts", attemptsPage)) // its error is the rows'
				return pgx.CollectRows(rows, scanAttempt)
			}) {
				if err != nil {
					return err
				}
				if stopped = !yield(a, nil); stopped {
					break
				}
			}
			return nil
		})
		if during(&err, "reading attempts of sale %d", id); err != nil && !stopped {
			yield(RecordedAttempt{}, err)
		}
	}
}

func scanAttempt(row pgx.CollectableRow) (a RecordedAttempt, err error) {
	return a, into{
		"attempt_id": &a.ID, "sale_id": &a.Sale, "attempted_at": (*instant)(&a.At), "user_param": &a.User, "item_param": &a.Item,
		"outcome": &a.Outcome, "code_id": (*zeronull.UUID)(&a.Code), "expires_at": (*instant)(&a.Expires), "edge": &a.Edge,
	}.scan(row)
}
