package ledger

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/jackc/pgx/v5"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/sale"
)

// ErrFenced says that another allocator has the sale: nothing was written, and
// nothing that this one decided since its last commit counts.
var ErrFenced = errors.New("ledger: another allocator has the sale")

// Position of an allocator in a sale: the cursor with what only the ledger
// knows of it.
type Position struct {
	Cursor        allocation.Cursor
	Epoch         int64
	Mine          bool      // this ledger's name is the holder's
	StreamCreated time.Time // creation time of the stream that the cursor speaks of
}

// Cursor returns how far the sale is decided, or ErrNotFound.
func (l *Ledger) Cursor(ctx context.Context, id sale.ID) (Position, error) {
	p, err := scanCursor(l.pool.QueryRow(ctx, sqlCursor, int64(id), l.name))
	if errors.Is(err, pgx.ErrNoRows) {
		return Position{}, ErrNotFound
	}
	if err != nil {
		return Position{}, fmt.Errorf("ledger: reading the cursor of sale %d: %w", id, err)
	}
	return p, nil
}

// Settled is Cursor after a commit whose outcome is unknown, by the epoch's
// allocator: what it returns has been made as durable as a commit is, and
// nothing of that allocator's is under way any more.
func (l *Ledger) Settled(ctx context.Context, id sale.ID, epoch int64) (Position, error) {
	p, err := scanCursor(l.pool.QueryRow(ctx, sqlCursorSettle, int64(id), l.name, epoch))
	if errors.Is(err, pgx.ErrNoRows) {
		return l.Cursor(ctx, id) // another has the sale
	}
	if err != nil {
		return Position{}, fmt.Errorf("ledger: settling the cursor of sale %d: %w", id, err)
	}
	return p, nil
}

func scanCursor(row pgx.Row) (p Position, err error) {
	var (
		sequence          int64
		chain, hash       []byte
		packTime, nowTime time.Time
	)
	c := &p.Cursor
	err = row.Scan(&p.Epoch, &p.Mine, &c.Generation, &sequence, &c.Position, &c.Sold,
		&chain, &hash, &packTime, &nowTime, &p.StreamCreated)
	c.Sequence = uint64(sequence)
	copy(c.Chain[:], chain)
	copy(c.PackHash[:], hash)
	c.PackTime, c.Now = sale.InstantOf(packTime), sale.InstantOf(nowTime)
	return p, err
}

// OpenPositions returns how far each open sale is decided of whose stream a
// message was applied that is no older than this. Its age is by the database's
// clock and NATS's, which differ little, or there is an alarm.
func (l *Ledger) OpenPositions(ctx context.Context, age time.Duration) (map[sale.ID]int64, error) {
	rows, err := l.pool.Query(ctx, sqlOpenPositions, age)
	if err != nil {
		return nil, fmt.Errorf("ledger: reading positions: %w", err)
	}
	positions := map[sale.ID]int64{}
	var (
		id       sale.ID
		position int64
	)
	_, err = pgx.ForEachRow(rows, []any{&id, &position}, func() error {
		positions[id] = position
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("ledger: reading positions: %w", err)
	}
	return positions, nil
}

// Commit writes a batch, durably and whole, if the epoch still holds and the
// cursor stands where the batch begins; else it writes nothing and returns
// ErrFenced. After any other error the outcome is unknown.
func (l *Ledger) Commit(ctx context.Context, id sale.ID, epoch int64, b *allocation.Batch) error {
	c, d := &b.After, columns(b.Decisions)
	var got int64
	err := l.pool.QueryRow(ctx, sqlCommit, int64(id), epoch, b.Before.Generation, int64(b.Before.Sequence),
		c.Generation, int64(c.Sequence), c.Position, c.Sold, c.Chain[:], c.PackHash[:], c.PackTime.Time(), c.Now.Time(),
		d.positions, d.codes, d.items, d.users, d.reasons, d.times, l.name, encodeMarks(b.Packs)).Scan(&got)
	if errors.Is(err, pgx.ErrNoRows) {
		return ErrFenced
	}
	if err != nil {
		return fmt.Errorf("ledger: committing sale %d up to sequence %d: %w", id, c.Sequence, err)
	}
	return nil
}

// markSize is the length of one pack's mark in commits.packs: time and half of
// the hash.
const (
	markSize = 8 + markHash
	markHash = 16
)

func encodeMarks(packs []allocation.Mark) []byte {
	text := make([]byte, 0, markSize*len(packs))
	for i := range packs {
		text = binary.BigEndian.AppendUint64(text, uint64(packs[i].Time))
		text = append(text, packs[i].Hash[:markHash]...)
	}
	return text
}

// Applied reports whether the message with this mark is the one that the
// ledger applied last at the sequence. False, too, where none was.
func (l *Ledger) Applied(ctx context.Context, id sale.ID, sequence uint64, m allocation.Mark) (bool, error) {
	var last int64
	var packs []byte
	err := l.pool.QueryRow(ctx, sqlPackAt, int64(id), int64(sequence)).Scan(&last, &packs)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("ledger: reading the commit of sequence %d of sale %d: %w", sequence, id, err)
	}
	from := len(packs) - markSize*int(uint64(last)-sequence+1)
	if from < 0 {
		return false, nil
	}
	return bytes.Equal(packs[from:from+markSize], encodeMarks([]allocation.Mark{m})), nil
}

// OpenGeneration records a hole and moves the cursor into the generation that
// it opens, fenced as Commit is. After any error but ErrFenced the outcome is
// unknown.
func (l *Ledger) OpenGeneration(ctx context.Context, id sale.ID, epoch int64, h *allocation.Hole) error {
	c := h.Reopen()
	var created *time.Time
	if h.StreamCreated != 0 {
		at := h.StreamCreated.Time()
		created = &at
	}
	var got int64
	err := l.pool.QueryRow(ctx, sqlOpenGeneration, int64(id), epoch, l.name, h.Lost.Generation, int64(h.Lost.Sequence),
		c.Generation, int64(c.Sequence), c.Chain[:], c.PackHash[:], c.PackTime.Time(),
		h.Lost.Position, h.Lost.Chain[:], int64(h.Resume()), created, h.Lost.Now.Time()).Scan(&got)
	if errors.Is(err, pgx.ErrNoRows) {
		return ErrFenced
	}
	if err != nil {
		return fmt.Errorf("ledger: recording a hole in sale %d: %w", id, err)
	}
	return nil
}

type decisionColumns struct {
	positions, items []int64
	codes            [][16]byte
	users            []string
	reasons          []int16
	times            []time.Time
}

func columns(ds []allocation.Decision) decisionColumns {
	n := len(ds)
	c := decisionColumns{
		positions: make([]int64, n), items: make([]int64, n), codes: make([][16]byte, n),
		users: make([]string, n), reasons: make([]int16, n), times: make([]time.Time, n),
	}
	for i := range ds {
		d := &ds[i]
		c.positions[i], c.items[i], c.codes[i] = d.Position, int64(d.Item), d.Code
		c.users[i], c.reasons[i], c.times[i] = string(d.User), int16(d.Reason), d.At.Time()
	}
	return c
}

// DecisionPage returns the sale's decisions above a position, up to another, in
// order, at most so many: fewer are all that there are. It appends them to room,
// which it empties first. What stands up to a cursor never changes, so that the
// pages of several calls are one history.
func (l *Ledger) DecisionPage(ctx context.Context, id sale.ID, after, upTo int64, most int, room []allocation.Decision) ([]allocation.Decision, error) {
	rows, err := l.pool.Query(ctx, sqlDecisions, int64(id), after, upTo, most)
	page := room[:0]
	if err == nil {
		page, err = pgx.AppendRows(page, rows, func(row pgx.CollectableRow) (allocation.Decision, error) { return scanDecision(row) })
	}
	if err != nil {
		return nil, fmt.Errorf("ledger: reading decisions of sale %d after position %d: %w", id, after, err)
	}
	return page, nil
}

// decisionPage is how many decisions a statement reads, so that none grows with
// the sale: some 30 ms.
const decisionPage = 10_000

// Decisions yields the sale's decisions above a position, up to another, in
// order, in pages, so that no session is busy while the loop's body runs; those
// that are added meanwhile may come too. After an error it ends.
func (l *Ledger) Decisions(ctx context.Context, id sale.ID, after, upTo int64) iter.Seq2[allocation.Decision, error] {
	return func(yield func(allocation.Decision, error) bool) {
		var page []allocation.Decision
		for {
			var err error
			if page, err = l.DecisionPage(ctx, id, after, upTo, decisionPage, page); err != nil {
				yield(allocation.Decision{}, err)
				return
			}
			for i := range page {
				if !yield(page[i], nil) {
					return
				}
			}
			if len(page) < decisionPage {
				return
			}
			after = page[len(page)-1].Position
		}
	}
}

func scanDecision(row pgx.Row, before ...any) (allocation.Decision, error) {
	var (
		d    allocation.Decision
		id   *[16]byte
		item *int64
		user *string
		at   time.Time
	)
	if err := row.Scan(append(before, &d.Position, &id, &item, &user, &d.Reason, &at)...); err != nil {
		return d, fmt.Errorf("ledger: reading a decision: %w", err)
	}
	d.At = sale.InstantOf(at)
	if id != nil {
		d.Code = *id
	}
	if item != nil {
		d.Item = sale.ItemID(*item)
	}
	if user != nil {
		d.User = sale.UserID(*user)
	}
	return d, nil
}

// Confirmed makes sure that what was read before this call is not lost with the
// server: that a synchronous standby has it, where there is to be one. A commit
// whose wait was cancelled can be read, and must not be told, before that.
func (l *Ledger) Confirmed(ctx context.Context) error {
	if _, err := l.pool.Exec(ctx, sqlConfirm); err != nil {
		return fmt.Errorf("ledger: confirming what was read: %w", err)
	}
	return nil
}

// DecisionOf returns the recorded decision of a code and its sale, or
// ErrNotFound. One that grants is confirmed.
func (l *Ledger) DecisionOf(ctx context.Context, id code.ID) (sale.ID, allocation.Decision, error) {
	var of sale.ID
	d, err := scanDecision(l.pool.QueryRow(ctx, sqlDecisionByCode, [16]byte(id)), &of)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, allocation.Decision{}, ErrNotFound
	}
	if err == nil && d.Reason == allocation.Granted {
		err = l.Confirmed(ctx)
	}
	return of, d, err
}
