package ledger

import (
	"context"
	"encoding/binary"
	"errors"
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

// Snapshot is what the ledger says of one sale at one instant. It leaves out what
// never changes once it is written, and so can be read later: decisions and commits
// up to the cursor, and attempts.
type Snapshot struct {
	Sale     SaleRow
	Position Position
	Holes    []HoleRow // by generation
	Items    []ItemRow // by item
	Beyond   []RowKey  // rows that no commit up to the cursor wrote, at most maxBeyond
}

// RowKey names a row of a table.
type RowKey struct {
	Table, Key string
	Position   int64
}

// maxBeyond bounds how many rows beyond the cursor a snapshot names.
const maxBeyond = 1000

// Snapshot reads a sale in one transaction, which sees one instant. ErrNotFound:
// there is no such sale, or it was never opened.
func (l *Ledger) Snapshot(ctx context.Context, id sale.ID) (s Snapshot, err error) {
	err = l.pool.inTransaction(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx transaction) error {
		return s.read(ctx, tx, l.name, id)
	})
	if errors.Is(err, ErrNotFound) {
		return Snapshot{}, fmt.Errorf("%w: sale %d, or its cursor", ErrNotFound, id)
	}
	during(&err, "reading sale %d for an audit", id)
	return s, err
}

func (s *Snapshot) read(ctx context.Context, tx transaction, name string, id sale.ID) (err error) {
	if s.Sale, err = one(ctx, tx, "sale", params{"sale": id}, scanSale); err != nil {
		return err
	}
	if s.Position, err = one(ctx, tx, "cursor", params{"sale": id, "holder": name}, scanCursor); err != nil {
		return err
	}
	if s.Holes, err = all(ctx, tx, "audit_holes", params{"sale": id}, scanHole); err != nil {
		return err
	}
	first, last := s.Sale.Sale.FirstItem, s.Sale.Sale.LastItem()
	if s.Items, err = all(ctx, tx, "audit_items", params{"sale": id, "first": first, "last": last}, scanItem); err != nil {
		return err
	}
	c := &s.Position.Cursor
	s.Beyond, err = all(ctx, tx, "audit_beyond",
		params{"sale": id, "position": c.Position, "generation": c.Generation, "sequence": c.Sequence, "most": maxBeyond}, pgx.RowToStructByName[RowKey])
	return err
}

// CommitRow is one row of commits, unchecked.
type CommitRow struct {
	Generation int64
	Sequence   uint64
	Position   int64
	Chain      []byte
	Packs      []byte
	Epoch      int64
	At         time.Time `db:"committed_at"`
}

// Marks decodes the column packs: the messages that the commit decided, each hash cut
// to 16 bytes as by Short. ok is false if it cannot be decoded.
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

// Short cuts a message's hash as the column packs does.
func Short(m allocation.Mark) allocation.Mark {
	clear(m.Hash[markHash:])
	return m
}

// HoleRow is one row of holes, unchecked.
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

// ItemRow is one row of items, unchecked.
type ItemRow struct {
	Item     sale.ItemID
	Sale     sale.ID
	User     sale.UserID
	Code     code.ID
	Position int64
	SoldAt   sale.Instant
}

// Commits yields a sale's commits by generation and sequence. It reads them in pages,
// so that no session is busy while the loop's body runs; rows that are added
// meanwhile may be among them. After an error it ends.
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

// pages yields the rows of pages, until one has fewer rows than size. read returns
// the page after the one that it is given, whose memory it may use again.
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

// Strays returns at most so many rows of sales that do not exist, which no audit of a
// sale would see. Their Position is the sale's number.
func (l *Ledger) Strays(ctx context.Context, most int) (_ []RowKey, err error) {
	defer during(&err, "looking for rows of no sale")
	return all(ctx, l.pool, "audit_strays", params{"most": most}, pgx.RowToStructByName[RowKey])
}

// attemptsPage is how many attempts are read at a time: a few megabytes, which takes
// much less than a statement may.
const attemptsPage = 5000

// Attempts yields a sale's checkout attempts (0: those of no sale) by id. It keeps a
// session until the loop ends. After an error it ends.
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
