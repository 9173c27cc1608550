package ledger

import (
	"context"
	_ "embed" // the statements
	"encoding/binary"
	"fmt"
	"iter"
	"math"
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
	//go:embed queries/audit_strays.sql
	sqlAuditStrays string
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

// Commits yields a sale's commits by generation and sequence, in pages, so that
// no session is busy while the loop's body runs; rows that are added meanwhile
// may come too. After an error it ends; so do the others.
func (l *Ledger) Commits(ctx context.Context, id sale.ID) iter.Seq2[CommitRow, error] {
	return func(yield func(CommitRow, error) bool) {
		generation, sequence := int64(math.MinInt64), int64(0)
		for {
			rows, err := l.pool.Query(ctx, sqlAuditCommits, int64(id), generation, sequence, auditPage)
			var page []CommitRow
			if err == nil {
				page, err = pgx.CollectRows(rows, scanCommit)
			}
			if err != nil {
				yield(CommitRow{}, fmt.Errorf("ledger: reading commits of sale %d: %w", id, err))
				return
			}
			for i := range page {
				if !yield(page[i], nil) {
					return
				}
			}
			if len(page) < auditPage {
				return
			}
			last := &page[len(page)-1]
			generation, sequence = last.Generation, int64(last.Sequence)
		}
	}
}

// auditPage is how many rows an audit reads at a time.
const auditPage = 10_000

func scanCommit(row pgx.CollectableRow) (c CommitRow, err error) {
	err = row.Scan(&c.Generation, &c.Sequence, &c.Position, &c.Chain, &c.Packs, &c.Epoch, &c.At)
	return c, err
}

func scanHole(row pgx.CollectableRow) (h HoleRow, err error) {
	var at time.Time
	err = row.Scan(&h.Generation, &h.Matching, &h.CursorSequence, &h.CursorPosition, &h.CursorChain, &h.Resume, &h.Epoch, &h.FoundAt, &at)
	h.CursorTime = sale.InstantOf(at)
	return h, err
}

func scanItem(row pgx.CollectableRow) (i ItemRow, err error) {
	var id [16]byte
	var at time.Time
	err = row.Scan(&i.Item, &i.Sale, &i.User, &id, &i.Position, &at)
	i.Code, i.SoldAt = id, sale.InstantOf(at)
	return i, err
}

// Strays returns rows, at most so many, that name a sale which does not exist:
// no audit of a sale would meet them. Position is the number they name.
func (l *Ledger) Strays(ctx context.Context, most int) ([]RowKey, error) {
	rows, err := l.pool.Query(ctx, sqlAuditStrays, most)
	var strays []RowKey
	if err == nil {
		strays, err = pgx.CollectRows(rows, pgx.RowToStructByPos[RowKey])
	}
	if err != nil {
		return nil, fmt.Errorf("ledger: looking for rows of no sale: %w", err)
	}
	return strays, nil
}

// attemptsPage is how many attempts are read at a time: a few megabytes, long
// before the server ends the statement.
const attemptsPage = 5000

// Attempts yields a sale's checkout attempts (0: those of no sale) by id,
// one session being busy until the loop ends.
func (l *Ledger) Attempts(ctx context.Context, id sale.ID) iter.Seq2[RecordedAttempt, error] {
	return func(yield func(RecordedAttempt, error) bool) {
		stopped := false
		err := pgx.BeginTxFunc(ctx, l.pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, "DECLARE attempts CURSOR FOR "+sqlAuditAttempts, int64(id))
			for err == nil && !stopped {
				var page []RecordedAttempt
				if page, err = fetchAttempts(ctx, tx); len(page) == 0 {
					return err
				}
				for i := 0; i < len(page) && !stopped; i++ {
					stopped = !yield(page[i], nil)
				}
			}
			return err
		})
		if err != nil && !stopped {
			yield(RecordedAttempt{}, fmt.Errorf("ledger: reading attempts of sale %d: %w", id, err))
		}
	}
}

func fetchAttempts(ctx context.Context, tx pgx.Tx) ([]RecordedAttempt, error) {
	rows, err := tx.Query(ctx, fmt.Sprintf("FETCH %d FROM attempts", attemptsPage))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanAttempt)
}

func scanAttempt(row pgx.CollectableRow) (a RecordedAttempt, err error) {
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
}
