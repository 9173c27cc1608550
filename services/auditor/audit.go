package auditor

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"math"

	"notsale/pkg/allocation"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
	"notsale/services/auditor/statement"
)

// Ledger is the ledger, as an audit reads it: a database, or an archive.
type Ledger interface {
	// Snapshot returns the sale's rows, but for those below, at one instant.
	Snapshot(ctx context.Context, id sale.ID) (ledger.Snapshot, error)
	// Decisions yields the decisions above a position, up to another, in order.
	Decisions(ctx context.Context, id sale.ID, after, upTo int64) iter.Seq2[allocation.Decision, error]
	// Commits yields the commits by generation and sequence; those that were
	// made since the snapshot may come too.
	Commits(ctx context.Context, id sale.ID) iter.Seq2[ledger.CommitRow, error]
	// Attempts yields the sale's checkout attempts by id.
	Attempts(ctx context.Context, id sale.ID) iter.Seq2[ledger.RecordedAttempt, error]
	// Recorded returns how far the streams of the sale's attempts are recorded. Those
	// that it names are among Attempts that are read afterwards.
	Recorded(ctx context.Context, id sale.ID) (ledger.Recorded, error)
}

// Streams is a sale's streams, as an audit reads them: in NATS, or in an archive.
type Streams interface {
	Opening(ctx context.Context, id sale.ID) (stream.Opening, error)
	// Messages yields the messages from first to last; where the stream ends
	// before, it ends.
	Messages(ctx context.Context, id sale.ID, first, last uint64) iter.Seq2[stream.Message, error]
	// AttemptMessages is Messages for the sale's stream of attempts, or for those of
	// no sale (0). The sequence of a message is its wire.AttemptStream.Number.
	AttemptMessages(ctx context.Context, id sale.ID, first, last uint64) iter.Seq2[stream.Message, error]
	// LastAttempt returns the last message of the sale's stream of attempts.
	LastAttempt(ctx context.Context, id sale.ID) (uint64, error)
}

// Watcher is told what an audit replays, in order. It must not keep what it is
// given. Opened may come again: the audit has begun anew.
type Watcher interface {
	Opened(o *stream.Opening, s *ledger.Snapshot)
	Packed(m *stream.Message, p *allocation.Pack, b *allocation.Batch)
	Committed(c *ledger.CommitRow) // of the packs since the commit before
	Lost(h *ledger.HoleRow, unproved []allocation.Decision)
}

// Progress is told how many of how many messages were replayed.
type Progress func(done, total uint64)

// Options say how an audit is carried out; the zero value will do.
type Options struct {
	Progress Progress             // may be nil
	Watcher  Watcher              // may be nil
	Against  *statement.Statement // published before: the replay must confirm it; nil: none is known
	// Share is the part of the time in which the audit works, so that a sale
	// under way has the machine; 0: OpenShare while the sale sells, else all.
	Share float64
	// RequestsOnly leaves the checkout attempts out.
	RequestsOnly bool
}

// maxTries is how often an audit begins anew because a hole was found in the
// stream while it ran.
const maxTries = 3

// Audit replays a sale and compares it with the ledger, up to the cursor that
// the ledger has when it begins.
func Audit(ctx context.Context, l Ledger, streams Streams, id sale.ID, o Options) (*Report, error) {
	for tries := 1; ; tries++ {
		report, err := once(ctx, l, streams, id, o)
		if err != nil || report.Clean() || tries == maxTries {
			return report, err
		}
		s, err := l.Snapshot(ctx, id)
		if err != nil || s.Position.Cursor.Generation == report.began {
			return report, err
		}
	}
}

func once(ctx context.Context, l Ledger, streams Streams, id sale.ID, o Options) (*Report, error) {
	a := &audit{ctx: ctx, ledger: l, streams: streams, id: id, o: o, report: &Report{Sale: id, Findings: []Finding{}}}
	if err := a.open(); err != nil {
		return nil, err
	}
	defer a.decision.stop()
	defer a.commit.stop()
	if err := a.replay(); err != nil {
		return nil, err
	}
	if err := a.finish(); err != nil {
		return nil, err
	}
	if o.RequestsOnly {
		return a.report, nil
	}
	return a.report, a.attempts()
}

// audit is one audit under way.
type audit struct {
	ctx     context.Context
	ledger  Ledger
	streams Streams
	id      sale.ID
	o       Options
	pace    pace
	report  *Report

	snapshot   ledger.Snapshot
	generation int64 // to which the replay goes, as the cursor says, or else the commits
	upTo       end
	unsound    map[int64]bool     // holes, by generation, of which not even the row is right
	stopped    *allocation.Cursor // where the replay could not go on; nil: nowhere

	opening stream.Opening
	engine  *allocation.Engine
	owners  map[sale.ItemID]allocation.Decision
	reached bool // what was published, in the replay

	decision rows[allocation.Decision]
	commit   rows[ledger.CommitRow]
	last     end               // of the last commit
	packs    []allocation.Mark // packs since then
}

// rows are the rows of a table, one after the other.
type rows[T any] struct {
	next T
	more bool // there is one
	pull func() (T, error, bool)
	stop func()
}

func (r *rows[T]) read(all iter.Seq2[T, error]) error {
	r.pull, r.stop = iter.Pull2(all)
	return r.advance()
}

func (r *rows[T]) advance() (err error) {
	r.next, err, r.more = r.pull()
	return err
}

// end is where a commit ended.
type end struct {
	sequence uint64
	position int64
	chain    allocation.Hash
}

func endOf(c *allocation.Cursor) end {
	return end{sequence: c.Sequence, position: c.Position, chain: c.Chain}
}

// open reads what the audit begins with.
func (a *audit) open() error {
	var err error
	if a.snapshot, err = a.ledger.Snapshot(a.ctx, a.id); err != nil {
		return err
	}
	if a.opening, err = a.streams.Opening(a.ctx, a.id); err != nil {
		return err
	}
	if !allocation.KnownRules(a.opening.Sale.Rules) {
		return fmt.Errorf("%w: the sale has rules version %d, which this program does not know", wire.ErrVersion, a.opening.Sale.Rules)
	}
	a.pace = newPace(a.o.Share, a.snapshot.Sale.State)
	a.report.began = a.snapshot.Position.Cursor.Generation
	a.compareSale()
	if a.o.Watcher != nil {
		a.o.Watcher.Opened(&a.opening, &a.snapshot)
	}
	a.owners = map[sale.ItemID]allocation.Decision{}
	a.engine = allocation.New(a.opening.Sale, a.opening.Message.Hash(), a.opening.Message.Time)
	genesis := a.engine.Cursor()
	a.last = endOf(&genesis)
	a.comparePublished(&genesis)
	if err := a.settle(); err != nil {
		return err
	}
	return errors.Join(a.decision.read(AllDecisions(a.ctx, a.ledger, a.id, a.upTo.position, decisionPage)), a.commit.read(a.ledger.Commits(a.ctx, a.id)))
}

// decisionPage is how many positions are read at a time, so that no session of
// the database is busy while a paced audit rests.
const decisionPage = 10_000

// AllDecisions yields the rows of decisions up to a position. It reads so many
// positions at a time.
func AllDecisions(ctx context.Context, l Ledger, id sale.ID, upTo, size int64) iter.Seq2[allocation.Decision, error] {
	return func(yield func(allocation.Decision, error) bool) {
		for after := int64(0); after < upTo; {
			page, empty := after+min(size, upTo-after), true
			for d, err := range l.Decisions(ctx, id, after, page) {
				if empty = false; !yield(d, err) || err != nil {
					return
				}
			}
			if after = page; empty { // a cursor may say any number
				size *= 2
			}
		}
	}
}

// compareSale compares the row of sales with the opening record.
func (a *audit) compareSale() {
	r, l, s := a.report, a.snapshot.Sale.Sale, a.opening.Sale
	r.UUID, r.Installation, r.Stock = s.UUID, s.Installation, s.Stock
	at := Finding{Table: "sales", Row: a.id.String(), Sequence: 1}
	compare(r, at, "sale_uuid", l.UUID, s.UUID)
	compare(r, at, "installation", l.Installation, s.Installation)
	compare(r, at, "opens_at", sale.InstantOf(l.OpensAt), sale.InstantOf(s.OpensAt))
	compare(r, at, "stock", l.Stock, s.Stock)
	compare(r, at, "user_limit", l.UserLimit, s.UserLimit)
	compare(r, at, "first_item", l.FirstItem, s.FirstItem)
	compare(r, at, "seed", l.Seed, s.Seed)
	compare(r, at, "rules", l.Rules, s.Rules)
	compare(r, at, "sale_id", l.ID, s.ID)
}

// compareState compares the sale's state with what is sold.
func (a *audit) compareState(c *allocation.Cursor) {
	state, stock := a.snapshot.Sale.State, a.opening.Sale.Stock
	if !possible(state, c.Sold == stock) {
		a.report.add(Finding{
			Kind: Differs, Table: "sales", Row: a.id.String(), Field: "state", Sequence: c.Sequence, Position: c.Position,
			Ledger: string(state), Stream: fmt.Sprintf("%d of %d sold", c.Sold, stock),
		})
	}
}

// possible reports whether a sale that has a cursor can be in the state: the
// commit that sells the last item says so.
func possible(state sale.State, soldOut bool) bool {
	if soldOut {
		return state == sale.SoldOut || state.Closed()
	}
	return state == sale.Open
}

// replay applies the stream, generation by generation.
func (a *audit) replay() error {
	holes := a.snapshot.Holes
	for i := 0; ; i++ {
		// A message of the stream belongs to the newest
		// generation that reads it, so a generation is replayed up to where the
		// earliest loss after it begins.
		last := a.upTo.sequence
		for _, h := range holes[i:] {
			last = min(last, h.Matching)
		}
		if err := a.replayMessages(a.engine.Cursor().Sequence+1, last); err != nil {
			return err
		}
		if i == len(holes) {
			return nil
		}
		if err := a.passHole(&holes[i]); err != nil || a.stopped != nil {
			return err
		}
	}
}

// replayMessages applies the messages from first to last.
func (a *audit) replayMessages(first, last uint64) error {
	next := first
	for m, err := range a.streams.Messages(a.ctx, a.id, first, last) {
		if err != nil {
			return err
		}
		a.pace.work()
		if err := a.apply(&m); err != nil {
			return err
		}
		next++
		if a.o.Progress != nil {
			a.o.Progress(m.Sequence, a.snapshot.Position.Cursor.Sequence)
		}
		if err := a.pace.rest(a.ctx); err != nil {
			return err
		}
	}
	if next <= last && a.engine.Cursor().Chain != a.upTo.chain { // else the sequence is wrong, not the stream
		a.report.add(Finding{
			Kind: LostStream, Table: "cursors", Row: a.id.String(), Field: "sequence", Sequence: next,
			Ledger: fmt.Sprint(a.snapshot.Position.Cursor.Sequence), Stream: fmt.Sprint(next - 1),
		})
	}
	return nil
}

// apply decides one pack and compares what follows from it.
func (a *audit) apply(m *stream.Message) error {
	p, err := wire.ReadPack(m.Sequence, m.Time, m.Data)
	if err != nil {
		return err
	}
	b := a.engine.Begin()
	a.engine.Apply(p, b)
	if a.o.Watcher != nil {
		a.o.Watcher.Packed(m, &p, b)
	}
	a.report.Packs++
	a.report.Requests += b.After.Position - b.Before.Position
	for i := range b.Decisions {
		d := &b.Decisions[i]
		if d.Reason == allocation.Granted {
			a.owners[d.Item] = *d
		}
		if err := a.compareDecision(d, p.Sequence); err != nil {
			return err
		}
	}
	a.packs = append(a.packs, ledger.Short(b.Packs[0]))
	a.comparePublished(&b.After)
	return a.compareCommits(&b.After)
}

// compareDecision compares a decision with the next row of decisions.
func (a *audit) compareDecision(d *allocation.Decision, sequence uint64) error {
	a.report.Decisions++
	if err := a.dropDecisions(d.Position); err != nil {
		return err
	}
	l := &a.decision.next
	if a.decision.more && *l == *d {
		return a.decision.advance()
	}
	at := Finding{Table: "decisions", Row: fmt.Sprint(d.Position), Sequence: sequence, Position: d.Position}
	if !a.decision.more || l.Position > d.Position {
		a.report.add(at.as(Missing))
		return nil
	}
	compare(a.report, at, "code_id", l.Code, d.Code)
	compare(a.report, at, "item_id", l.Item, d.Item)
	compare(a.report, at, "user_id", l.User, d.User)
	compare(a.report, at, "reason", l.Reason, d.Reason)
	compare(a.report, at, "decided_at", l.At, d.At)
	return a.decision.advance()
}

// dropDecisions reports the rows before a position that nothing has given.
func (a *audit) dropDecisions(before int64) error {
	for a.decision.more && a.decision.next.Position < before {
		a.report.add(Finding{Kind: Unfounded, Table: "decisions", Row: fmt.Sprint(a.decision.next.Position), Position: a.decision.next.Position})
		if err := a.decision.advance(); err != nil {
			return err
		}
	}
	return nil
}

// finish compares what is left when the replay has ended.
func (a *audit) finish() error {
	r, c := a.report, a.engine.Cursor()
	if a.stopped != nil {
		c = *a.stopped
	} else {
		r.Chain = hex.EncodeToString(c.Chain[:])
		if err := a.finishRows(&c); err != nil {
			return err
		}
	}
	r.Generation, r.Sequence, r.Position, r.Sold = c.Generation, c.Sequence, c.Position, c.Sold
	a.beyond()
	for _, err := range a.streams.Messages(a.ctx, a.id, a.snapshot.Position.Cursor.Sequence+1, math.MaxUint64) {
		if err != nil {
			return err
		}
		r.Waiting++
	}
	a.items(c.Position)
	a.engine, a.owners = nil, nil // a million decisions are 100 MB, which the attempts can have
	return nil
}

// finishRows compares the rows that are left, and the cursor with the engine's.
func (a *audit) finishRows(c *allocation.Cursor) error {
	if err := a.dropDecisions(math.MaxInt64); err != nil {
		return err
	}
	if err := a.finishCommits(); err != nil {
		return err
	}
	r, l := a.report, a.snapshot.Position.Cursor
	at := Finding{Table: "cursors", Row: a.id.String(), Sequence: c.Sequence, Position: c.Position}
	compare(r, at, "generation", l.Generation, c.Generation)
	compare(r, at, "sequence", l.Sequence, c.Sequence)
	compare(r, at, "position", l.Position, c.Position)
	compare(r, at, "sold", l.Sold, c.Sold)
	compare(r, at, "chain", hex.EncodeToString(l.Chain[:]), hex.EncodeToString(c.Chain[:]))
	compare(r, at, "pack_hash", hex.EncodeToString(l.PackHash[:]), hex.EncodeToString(c.PackHash[:]))
	compare(r, at, "pack_time", l.PackTime, c.PackTime)
	compare(r, at, "engine_time", l.Now, c.Now)
	a.compareState(c)
	a.missedPublished(c)
	return nil
}

// items compares the rows of items with the owners that the replay gives, up to
// the position where it has ended.
func (a *audit) items(upTo int64) {
	for i := range a.snapshot.Items {
		row := &a.snapshot.Items[i]
		switch d, sold := a.owners[row.Item]; {
		case row.Sale != a.id && !a.opening.Sale.Contains(row.Item): // of another sale: the row of sales claims too many items
		case sold:
			a.compareItem(row, &d, 0)
			delete(a.owners, row.Item)
		case a.stopped == nil || row.Position <= upTo:
			a.report.add(Finding{Kind: Unfounded, Table: "items", Row: row.Item.String(), Position: row.Position})
		}
	}
	for item := a.opening.Sale.FirstItem; item <= a.opening.Sale.LastItem(); item++ {
		if d, left := a.owners[item]; left {
			a.compareItem(nil, &d, 0)
		}
	}
}

// compareItem compares the row of an item with the decision that granted it,
// which lies in a hole or, where that is 0, in none. No row: nil.
func (a *audit) compareItem(row *ledger.ItemRow, d *allocation.Decision, hole int64) {
	at := Finding{Table: "items", Row: d.Item.String(), Position: d.Position, Hole: hole}
	if row == nil {
		a.report.add(at.as(Missing))
		return
	}
	compare(a.report, at, "sale_id", row.Sale, a.id)
	compare(a.report, at, "user_id", row.User, d.User)
	compare(a.report, at, "code_id", row.Code, d.Code)
	compare(a.report, at, "position", row.Position, d.Position)
	compare(a.report, at, "sold_at", row.SoldAt, d.At)
}
