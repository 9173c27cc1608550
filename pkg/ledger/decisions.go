package ledger

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"iter"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype/zeronull"

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
func (l *Ledger) Cursor(ctx context.Context, id sale.ID) (_ Position, err error) {
	defer during(&err, "reading the cursor of sale %d", id)
	return one(ctx, l.pool, "cursor", params{"sale": id, "holder": l.name}, scanCursor)
}

// Settled is Cursor after a commit whose outcome is unknown, by the epoch's
// allocator: what it returns has been made as durable as a commit is, and
// nothing of that allocator's is under way any more.
func (l *Ledger) Settled(ctx context.Context, id sale.ID, epoch int64) (p Position, err error) {
	defer during(&err, "settling the cursor of sale %d", id)
	p, err = one(ctx, l.pool, "cursor_settle", params{"sale": id, "holder": l.name, "epoch": epoch}, scanCursor)
	if errors.Is(err, ErrNotFound) {
		return l.Cursor(ctx, id) // another has the sale
	}
	return p, err
}

func scanCursor(row pgx.CollectableRow) (p Position, err error) {
	c := &p.Cursor
	return p, into{
		"epoch": &p.Epoch, "mine": &p.Mine, "stream_created": &p.StreamCreated,
		"generation": &c.Generation, "sequence": &c.Sequence, "position": &c.Position, "sold": &c.Sold, "chain": (*hash)(&c.Chain),
		"pack_hash": (*hash)(&c.PackHash), "pack_time": (*instant)(&c.PackTime), "engine_time": (*instant)(&c.Now),
	}.scan(row)
}

// OpenPositions returns how far each open sale is decided of whose stream a
// message was applied that is no older than this. Its age is by the database's
// clock and NATS's, which differ little, or there is an alarm.
func (l *Ledger) OpenPositions(ctx context.Context, age time.Duration) (_ map[sale.ID]int64, err error) {
	defer during(&err, "reading positions")
	rows, err := all(ctx, l.pool, "open_positions", params{"age": age}, pgx.RowToStructByName[struct {
		Sale     sale.ID `db:"sale_id"`
		Position int64
	}])
	positions := make(map[sale.ID]int64, len(rows))
	for _, row := range rows {
		positions[row.Sale] = row.Position
	}
	return positions, err
}

// Commit writes a batch, durably and whole, if the epoch still holds and the
// cursor stands where the batch begins; else it writes nothing and returns
// ErrFenced. After any other error the outcome is unknown.
func (l *Ledger) Commit(ctx context.Context, id sale.ID, epoch int64, b *allocation.Batch) (err error) {
	c, d := &b.After, columns(b.Decisions)
	defer during(&err, "committing sale %d up to sequence %d", id, c.Sequence)
	committed, err := done(ctx, l.pool, "commit", params{
		"sale": id, "epoch": epoch, "holder": l.name, "before_generation": b.Before.Generation, "before_sequence": b.Before.Sequence,
		"generation": c.Generation, "sequence": c.Sequence, "position": c.Position, "sold": c.Sold, "chain": c.Chain[:],
		"pack_hash": c.PackHash[:], "pack_time": c.PackTime.Time(), "engine_time": c.Now.Time(), "packs": encodeMarks(b.Packs),
		"positions": d.positions, "codes": d.codes, "items": d.items, "users": d.users, "reasons": d.reasons, "times": d.times,
	})
	if err == nil && !committed {
		err = ErrFenced
	}
	return err
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
func (l *Ledger) Applied(ctx context.Context, id sale.ID, sequence uint64, m allocation.Mark) (applied bool, err error) {
	defer during(&err, "reading the commit of sequence %d of sale %d", sequence, id)
	commit, err := one(ctx, l.pool, "pack_at", params{"sale": id, "sequence": sequence}, pgx.RowToStructByName[struct {
		Sequence uint64
		Packs    []byte
	}])
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	packs := commit.Packs
	from := len(packs) - markSize*int(commit.Sequence-sequence+1)
	if err != nil || from < 0 {
		return false, err
	}
	return bytes.Equal(packs[from:from+markSize], encodeMarks([]allocation.Mark{m})), nil
}

// OpenGeneration records a hole and moves the cursor into the generation that
// it opens, fenced as Commit is. After any error but ErrFenced the outcome is
// unknown.
func (l *Ledger) OpenGeneration(ctx context.Context, id sale.ID, epoch int64, h *allocation.Hole) (err error) {
	defer during(&err, "recording a hole in sale %d", id)
	c := h.Reopen()
	var created *time.Time
	if h.StreamCreated != 0 {
		created = new(h.StreamCreated.Time())
	}
	opened, err := done(ctx, l.pool, "open_generation", params{
		"sale": id, "epoch": epoch, "holder": l.name, "before_generation": h.Lost.Generation, "before_sequence": h.Lost.Sequence,
		"generation": c.Generation, "sequence": c.Sequence, "chain": c.Chain[:], "pack_hash": c.PackHash[:], "pack_time": c.PackTime.Time(),
		"position": h.Lost.Position, "lost_chain": h.Lost.Chain[:], "engine_time": h.Lost.Now.Time(), "resume": h.Resume(), "stream_created": created,
	})
	if err == nil && !opened {
		err = ErrFenced
	}
	return err
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
func (l *Ledger) DecisionPage(ctx context.Context, id sale.ID, after, upTo int64, most int, room []allocation.Decision) (_ []allocation.Decision, err error) {
	defer during(&err, "reading decisions of sale %d after position %d", id, after)
	return appended(ctx, l.pool, room[:0], "decisions", params{"sale": id, "after": after, "up_to": upTo, "most": most}, scanDecision)
}

// decisionPage is how many decisions a statement reads, so that none grows with
// the sale: some 30 ms.
const decisionPage = 10_000

// Decisions yields the sale's decisions above a position, up to another, in
// order, in pages, so that no session is busy while the loop's body runs; those
// that are added meanwhile may come too. After an error it ends.
func (l *Ledger) Decisions(ctx context.Context, id sale.ID, after, upTo int64) iter.Seq2[allocation.Decision, error] {
	return pages(decisionPage, func(page []allocation.Decision) ([]allocation.Decision, error) {
		if len(page) > 0 {
			after = page[len(page)-1].Position
		}
		return l.DecisionPage(ctx, id, after, upTo, decisionPage, page)
	})
}

func scanDecision(row pgx.CollectableRow) (d allocation.Decision, err error) {
	return d, decision(&d).scan(row)
}

func decision(d *allocation.Decision) into {
	return into{
		"position": (*zeronull.Int8)(&d.Position), "code_id": (*zeronull.UUID)(&d.Code), "item_id": (*zeronull.Int8)(&d.Item),
		"user_id": (*zeronull.Text)(&d.User), "reason": &d.Reason, "decided_at": (*instant)(&d.At),
	}
}

// Confirmed makes sure that what was read before this call is not lost with the
// server: that a synchronous standby has it, where there is to be one. A commit
// whose wait was cancelled can be read, and must not be told, before that.
func (l *Ledger) Confirmed(ctx context.Context) (err error) {
	defer during(&err, "confirming what was read")
	_, err = done(ctx, l.pool, "confirm", nil)
	return err
}

// DecisionOf returns the recorded decision of a code and its sale, or
// ErrNotFound. One that grants is confirmed.
func (l *Ledger) DecisionOf(ctx context.Context, id code.ID) (of sale.ID, d allocation.Decision, err error) {
	defer during(&err, "reading a decision")
	d, err = one(ctx, l.pool, "decision_by_code", params{"code": id}, func(row pgx.CollectableRow) (d allocation.Decision, err error) {
		columns := decision(&d)
		columns["sale_id"] = &of
		return d, columns.scan(row)
	})
	if err == nil && d.Reason == allocation.Granted {
		err = l.Confirmed(ctx)
	}
	return of, d, err
}
