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
// what this one has decided since its last commit does not count.
var ErrFenced = errors.New("ledger: another allocator has the sale")

// Position is how far a sale is decided, and by whom: the cursor with what only the
// ledger knows about it.
type Position struct {
	Cursor        allocation.Cursor
	Epoch         int64
	Mine          bool      // this ledger's name is the holder's
	StreamCreated time.Time // when the cursor's stream was created
}

// Cursor returns how far the sale is decided, or ErrNotFound.
func (l *Ledger) Cursor(ctx context.Context, id sale.ID) (_ Position, err error) {
	defer during(&err, "reading the cursor of sale %d", id)
	return one(ctx, l.pool, "cursor", params{"sale": id, "holder": l.name}, scanCursor)
}

// Settled is Cursor for the epoch's allocator after a commit whose outcome is
// unknown. It waits for whatever that allocator has under way, and makes what it
// returns as durable as a commit.
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

// OpenPositions returns the position of each open sale whose last decided message
// is not older than age. The age compares the database's clock with NATS's; if these
// differ much, there is an alarm.
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

// Commit writes a batch, durably and as a whole, if this allocator's epoch still
// holds and the cursor is where the batch begins; else it writes nothing and returns
// ErrFenced. After any other error it is unknown whether it was written.
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

// markSize is the length of one message's entry in commits.packs: its time, and half
// of its hash.
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

// Applied reports whether this message is the one that was last decided at the
// sequence. If none was, it returns false.
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
// begins after it, fenced as Commit is. After any error but ErrFenced it is unknown
// whether it was written.
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

// DecisionPage returns the sale's decisions above a position up to another, in
// order, at most so many; if it returns fewer, there are no more. It writes them into
// room's memory where that is large enough. Decisions up to a cursor never change, so
// the pages of several calls fit together.
func (l *Ledger) DecisionPage(ctx context.Context, id sale.ID, after, upTo int64, most int, room []allocation.Decision) (_ []allocation.Decision, err error) {
	defer during(&err, "reading decisions of sale %d after position %d", id, after)
	return appended(ctx, l.pool, room[:0], "decisions", params{"sale": id, "after": after, "up_to": upTo, "most": most}, scanDecision)
}

// decisionPage is how many decisions one statement reads, which takes some 30 ms
// however large the sale is.
const decisionPage = 10_000

// Decisions yields the sale's decisions above a position up to another, in order.
// It reads them in pages, so that no session is busy while the loop's body runs;
// decisions that are added meanwhile may be among them. After an error it ends.
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

// Confirmed waits until a synchronous standby, where there is to be one, has all
// that was read before this call. A commit whose wait for the standby was cancelled
// can already be read, but nobody may be told of it before that.
func (l *Ledger) Confirmed(ctx context.Context) (err error) {
	defer during(&err, "confirming what was read")
	_, err = done(ctx, l.pool, "confirm", nil)
	return err
}

// DecisionOf returns the recorded decision of a code and its sale, or
// ErrNotFound. One that grants is confirmed.
func (l *Ledger) DecisionOf(ctx context.Context, id code.ID) (in sale.ID, d allocation.Decision, err error) {
	defer during(&err, "reading a decision")
	d, err = one(ctx, l.pool, "decision_by_code", params{"code": id}, func(row pgx.CollectableRow) (d allocation.Decision, err error) {
		columns := decision(&d)
		columns["sale_id"] = &in
		return d, columns.scan(row)
	})
	if err == nil && d.Reason == allocation.Granted {
		err = l.Confirmed(ctx)
	}
	return in, d, err
}
