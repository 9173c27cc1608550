package auditor

import (
	"bytes"
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
)

// Books is the ledger, as an audit reads it.
type Books interface {
	Sale(ctx context.Context, id sale.ID) (ledger.SaleRow, error)
	Cursor(ctx context.Context, id sale.ID) (ledger.Position, error)
	Decisions(ctx context.Context, id sale.ID, after, upTo int64) iter.Seq2[allocation.Decision, error]
	Commits(ctx context.Context, id sale.ID) iter.Seq2[ledger.CommitRow, error]
	Holes(ctx context.Context, id sale.ID) iter.Seq2[ledger.HoleRow, error]
	Items(ctx context.Context, of sale.Sale) iter.Seq2[ledger.ItemRow, error]
	Attempts(ctx context.Context, id sale.ID) iter.Seq2[ledger.RecordedAttempt, error]
}

// Tape is a sale's streams, as an audit reads them.
type Tape interface {
	Opening(ctx context.Context, id sale.ID) (stream.Opening, error)
	// Messages yields the messages from first to last; where the stream ends
	// before, it ends.
	Messages(ctx context.Context, id sale.ID, first, last uint64) iter.Seq2[stream.Message, error]
	// AttemptMessages is Messages for the sale's stream of attempts.
	AttemptMessages(ctx context.Context, id sale.ID, first, last uint64) iter.Seq2[stream.Message, error]
}

// Progress is told how many of how many messages were replayed.
type Progress func(done, total uint64)

// Audit replays a sale and compares it with the ledger, up to the cursor that
// stands there when it begins.
func Audit(ctx context.Context, books Books, tape Tape, id sale.ID, progress Progress) (*Report, error) {
	a := &audit{ctx: ctx, books: books, tape: tape, id: id, progress: progress, report: &Report{Sale: id, Findings: []Finding{}}}
	if err := a.open(); err != nil {
		return nil, err
	}
	defer a.stopReading()
	if err := a.replay(); errors.Is(err, errBroken) {
		return a.report, nil
	} else if err != nil {
		return nil, err
	}
	if err := a.finish(); err != nil {
		return nil, err
	}
	return a.report, nil
}

// errBroken ends a replay that cannot be continued, after its finding.
var errBroken = errors.New("auditor: no history leads on from here")

// audit is one audit under way.
type audit struct {
	ctx      context.Context
	books    Books
	tape     Tape
	id       sale.ID
	progress Progress
	report   *Report

	row     ledger.SaleRow
	pos     ledger.Position
	opening stream.Opening
	holes   []ledger.HoleRow
	engine  *allocation.Engine
	owners  map[sale.ItemID]allocation.Decision

	nextDecision func() (allocation.Decision, error, bool)
	decision     allocation.Decision // next row of decisions
	haveDecision bool
	nextCommit   func() (ledger.CommitRow, error, bool)
	commit       ledger.CommitRow // next row of commits
	haveCommit   bool
	marks        []allocation.Mark // packs since the last commit
	stops        []func()
}

func (a *audit) stopReading() {
	for _, stop := range a.stops {
		stop()
	}
}

// open reads what the audit begins with.
func (a *audit) open() error {
	var err error
	if a.row, err = a.books.Sale(a.ctx, a.id); err != nil {
		return err
	}
	if a.pos, err = a.books.Cursor(a.ctx, a.id); err != nil {
		return fmt.Errorf("sale %d has no cursor: %w", a.id, err)
	}
	if a.opening, err = a.tape.Opening(a.ctx, a.id); err != nil {
		return err
	}
	for h, err := range a.books.Holes(a.ctx, a.id) {
		if err != nil {
			return err
		}
		a.holes = append(a.holes, h)
	}
	if a.opening.Sale.Rules != sale.RulesVersion {
		return fmt.Errorf("%w: the sale has rules version %d", wire.ErrVersion, a.opening.Sale.Rules)
	}
	a.compareSale()
	a.owners = map[sale.ItemID]allocation.Decision{}
	a.engine = allocation.New(a.opening.Sale, a.opening.Message.Hash(), a.opening.Message.Time)
	var stop func()
	a.nextDecision, stop = iter.Pull2(a.books.Decisions(a.ctx, a.id, 0, a.pos.Cursor.Position))
	a.stops = append(a.stops, stop)
	a.nextCommit, stop = iter.Pull2(a.books.Commits(a.ctx, a.id))
	a.stops = append(a.stops, stop)
	return errors.Join(a.advanceDecision(), a.advanceCommit())
}

func (a *audit) advanceDecision() (err error) {
	a.decision, err, a.haveDecision = a.nextDecision()
	return err
}

func (a *audit) advanceCommit() (err error) {
	a.commit, err, a.haveCommit = a.nextCommit()
	return err
}

// compareSale compares the row of sales with the opening record.
func (a *audit) compareSale() {
	r, l, s := a.report, a.row.Sale, a.opening.Sale
	r.UUID = s.UUID
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

// replay applies the stream, generation by generation.
func (a *audit) replay() error {
	for i := 0; ; i++ {
		// What stands in the stream at a sequence belongs to the newest
		// generation that reads it, so a generation is replayed up to where the
		// earliest loss after it begins.
		last := a.pos.Cursor.Sequence
		for _, h := range a.holes[i:] {
			last = min(last, h.Matching)
		}
		if err := a.stretch(a.engine.Cursor().Sequence+1, last); err != nil {
			return err
		}
		if i == len(a.holes) {
			return nil
		}
		if err := a.cross(&a.holes[i]); err != nil {
			return err
		}
	}
}

// stretch applies the messages from first to last.
func (a *audit) stretch(first, last uint64) error {
	next := first
	for m, err := range a.tape.Messages(a.ctx, a.id, first, last) {
		if err != nil {
			return err
		}
		edge, requests, err := wire.DecodePack(m.Data)
		if errors.Is(err, wire.ErrVersion) {
			return err
		}
		if err != nil {
			edge, requests = "", []allocation.Request{{}}
		}
		if err := a.apply(allocation.Pack{Sequence: m.Sequence, Time: m.Time, Hash: m.Hash(), Edge: edge, Requests: requests}); err != nil {
			return err
		}
		next++
		if a.progress != nil {
			a.progress(m.Sequence, a.pos.Cursor.Sequence)
		}
	}
	if next <= last {
		a.report.add(Finding{
			Kind: LostStream, Table: "cursors", Row: a.id.String(), Field: "sequence", Sequence: next,
			Ledger: fmt.Sprint(a.pos.Cursor.Sequence), Stream: fmt.Sprint(next - 1),
		})
	}
	return nil
}

// apply decides one pack and compares what follows from it.
func (a *audit) apply(p allocation.Pack) error {
	b := a.engine.Begin()
	a.engine.Apply(p, b)
	a.report.Packs++
	a.report.Requests += b.After.Position - b.Before.Position
	for i := range b.Decisions {
		d := &b.Decisions[i]
		if d.Reason == allocation.Granted {
			a.owners[d.Item] = *d
		}
		if err := a.meet(d, p.Sequence); err != nil {
			return err
		}
	}
	a.marks = append(a.marks, ledger.Short(b.Packs[0]))
	return a.meetCommit(b.After)
}

// meet compares a decision with the next row of decisions.
func (a *audit) meet(d *allocation.Decision, sequence uint64) error {
	a.report.Decisions++
	for a.haveDecision && a.decision.Position < d.Position {
		a.report.add(Finding{Kind: Unfounded, Table: "decisions", Row: fmt.Sprint(a.decision.Position), Position: a.decision.Position})
		if err := a.advanceDecision(); err != nil {
			return err
		}
	}
	at := Finding{Table: "decisions", Row: fmt.Sprint(d.Position), Sequence: sequence, Position: d.Position}
	if !a.haveDecision || a.decision.Position > d.Position {
		at.Kind = Missing
		a.report.add(at)
		return nil
	}
	l := &a.decision
	compare(a.report, at, "code_id", l.Code, d.Code)
	compare(a.report, at, "item_id", l.Item, d.Item)
	compare(a.report, at, "user_id", l.User, d.User)
	compare(a.report, at, "reason", l.Reason, d.Reason)
	compare(a.report, at, "decided_at", l.At, d.At)
	return a.advanceDecision()
}

// meetCommit compares the next row of commits, if its batch ends here.
func (a *audit) meetCommit(c allocation.Cursor) error {
	for a.haveCommit && a.commit.Generation == c.Generation && a.commit.Sequence <= c.Sequence {
		l := &a.commit
		at := Finding{Table: "commits", Row: fmt.Sprintf("%d/%d", l.Generation, l.Sequence), Sequence: l.Sequence, Position: l.Position}
		a.report.Commits++
		if l.Sequence < c.Sequence { // it would have ended before
			at.Kind = Unfounded
			a.report.add(at)
		} else {
			compare(a.report, at, "position", l.Position, c.Position)
			compare(a.report, at, "chain", hex.EncodeToString(l.Chain), hex.EncodeToString(c.Chain[:]))
			a.compareMarks(at, l)
		}
		if err := a.advanceCommit(); err != nil {
			return err
		}
	}
	return nil
}

func (a *audit) compareMarks(at Finding, l *ledger.CommitRow) {
	marks, ok := l.Marks()
	if !ok || len(marks) != len(a.marks) {
		compare(a.report, at, "packs", len(marks), len(a.marks))
	} else {
		for i := range marks {
			compare(a.report, at, "packs", marks[i], a.marks[i])
		}
	}
	a.marks = a.marks[:0]
}

// cross goes over a hole: what lies in it is taken from the ledger, as far as
// the rules allow it.
func (a *audit) cross(h *ledger.HoleRow) error {
	r := a.report
	r.Holes++
	at := Finding{Table: "holes", Row: fmt.Sprint(h.Generation), Sequence: h.Resume, Position: h.CursorPosition}
	before := a.engine.Cursor()
	compare(r, at, "generation", h.Generation, before.Generation+1)
	compare(r, at, "resume_sequence", h.Resume, h.Matching+1)
	lost := allocation.Cursor{
		Generation: before.Generation, Sequence: h.CursorSequence, Position: h.CursorPosition, Sold: before.Sold,
		PackHash: before.PackHash, PackTime: before.PackTime, Now: h.CursorTime,
	}
	copy(lost.Chain[:], h.CursorChain)
	var unproved []allocation.Decision
	for a.haveDecision && a.decision.Position <= h.CursorPosition {
		d := a.decision
		unproved = append(unproved, d)
		if d.Reason == allocation.Granted {
			lost.Sold++
			a.owners[d.Item] = d
		}
		if err := a.advanceDecision(); err != nil {
			return err
		}
	}
	r.Unproved += int64(len(unproved))
	if err := a.skipCommits(h, at); err != nil {
		return err
	}
	if err := a.engine.Extend(lost, each(unproved)); err != nil {
		at.Kind, at.Ledger = Impossible, err.Error()
		r.add(at)
		return errBroken
	}
	hole := allocation.Hole{Generation: h.Generation, Matching: h.Matching, Lost: lost}
	m, err := a.one(h.Matching)
	if err != nil {
		return err
	}
	hole.Mark = m
	a.engine.Reopen(&hole)
	a.marks = a.marks[:0]
	return nil
}

// skipCommits passes over the rows of the generation that ended, the last of
// which must be the one at which the hole was found.
func (a *audit) skipCommits(h *ledger.HoleRow, at Finding) error {
	for a.haveCommit && a.commit.Generation < h.Generation {
		a.report.Commits++
		if a.commit.Sequence == h.CursorSequence && a.commit.Generation == h.Generation-1 {
			compare(a.report, at, "cursor_position", h.CursorPosition, a.commit.Position)
			if !bytes.Equal(a.commit.Chain, h.CursorChain) {
				compare(a.report, at, "cursor_chain", hex.EncodeToString(h.CursorChain), hex.EncodeToString(a.commit.Chain))
			}
		}
		if err := a.advanceCommit(); err != nil {
			return err
		}
	}
	return nil
}

// one returns the mark of one message of the stream.
func (a *audit) one(sequence uint64) (allocation.Mark, error) {
	for m, err := range a.tape.Messages(a.ctx, a.id, sequence, sequence) {
		return allocation.Mark{Time: m.Time, Hash: m.Hash()}, err
	}
	return allocation.Mark{}, nil
}

func each(ds []allocation.Decision) iter.Seq2[allocation.Decision, error] {
	return func(yield func(allocation.Decision, error) bool) {
		for _, d := range ds {
			if !yield(d, nil) {
				return
			}
		}
	}
}

// finish compares what is left when the stream is at its end.
func (a *audit) finish() error {
	r, c, l := a.report, a.engine.Cursor(), a.pos.Cursor
	r.Generation, r.Sequence, r.Position, r.Sold, r.Chain = c.Generation, c.Sequence, c.Position, c.Sold, hex.EncodeToString(c.Chain[:])
	for a.haveDecision {
		r.add(Finding{Kind: Unfounded, Table: "decisions", Row: fmt.Sprint(a.decision.Position), Position: a.decision.Position})
		if err := a.advanceDecision(); err != nil {
			return err
		}
	}
	for a.haveCommit {
		if a.commit.Position <= l.Position { // later ones were made while the audit ran
			r.add(Finding{
				Kind: Unfounded, Table: "commits", Row: fmt.Sprintf("%d/%d", a.commit.Generation, a.commit.Sequence),
				Sequence: a.commit.Sequence, Position: a.commit.Position,
			})
		}
		if err := a.advanceCommit(); err != nil {
			return err
		}
	}
	at := Finding{Table: "cursors", Row: a.id.String(), Sequence: c.Sequence, Position: c.Position}
	compare(r, at, "generation", l.Generation, c.Generation)
	compare(r, at, "sequence", l.Sequence, c.Sequence)
	compare(r, at, "position", l.Position, c.Position)
	compare(r, at, "sold", l.Sold, c.Sold)
	compare(r, at, "chain", hex.EncodeToString(l.Chain[:]), hex.EncodeToString(c.Chain[:]))
	compare(r, at, "pack_hash", hex.EncodeToString(l.PackHash[:]), hex.EncodeToString(c.PackHash[:]))
	compare(r, at, "pack_time", l.PackTime, c.PackTime)
	compare(r, at, "engine_time", l.Now, c.Now)
	return errors.Join(a.items(), a.attempts())
}

// items compares the rows of items with the owners that the replay gives.
func (a *audit) items() error {
	seen := 0
	for row, err := range a.books.Items(a.ctx, a.opening.Sale) {
		if err != nil {
			return err
		}
		if row.Position > a.pos.Cursor.Position {
			continue // sold while the audit ran
		}
		at := Finding{Table: "items", Row: row.Item.String(), Position: row.Position}
		d, sold := a.owners[row.Item]
		if !sold {
			at.Kind = Unfounded
			a.report.add(at)
			continue
		}
		seen++
		compare(a.report, at, "sale_id", row.Sale, a.id)
		compare(a.report, at, "user_id", row.User, d.User)
		compare(a.report, at, "code_id", row.Code, d.Code)
		compare(a.report, at, "position", row.Position, d.Position)
		compare(a.report, at, "sold_at", row.SoldAt, d.At)
		delete(a.owners, row.Item)
	}
	for item := a.opening.Sale.FirstItem; item <= a.opening.Sale.LastItem(); item++ {
		if d, left := a.owners[item]; left {
			a.report.add(Finding{Kind: Missing, Table: "items", Row: item.String(), Position: d.Position})
		}
	}
	return nil
}

// attempts compares checkout_attempts with the stream of attempts. Attempts
// that are not yet recorded are no finding while the recorder has work left;
// the caller sees that from the streams' state.
func (a *audit) attempts() error {
	type kept struct {
		wire.Attempt

		edge     string
		sequence uint64
	}
	stored := map[sale.UUID]kept{}
	for m, err := range a.tape.AttemptMessages(a.ctx, a.id, 1, math.MaxUint64) {
		if err != nil {
			return err
		}
		edge, list, err := wire.DecodeAttempts(m.Data)
		if err != nil {
			continue // the recorder passed over it, too
		}
		for i := range list {
			if _, twice := stored[list[i].ID]; !twice {
				stored[list[i].ID] = kept{list[i], edge, m.Sequence}
			}
		}
	}
	a.report.Attempts = int64(len(stored))
	for row, err := range a.books.Attempts(a.ctx, a.id) {
		if err != nil {
			return err
		}
		at := Finding{Table: "checkout_attempts", Row: row.ID.String()}
		s, ok := stored[row.ID]
		if !ok {
			at.Kind = Unfounded
			a.report.add(at)
			continue
		}
		at.Sequence = s.sequence
		a.compareAttempt(at, &row, &s.Attempt, s.edge)
		delete(stored, row.ID)
	}
	for id, s := range stored {
		a.report.add(Finding{Kind: Missing, Table: "checkout_attempts", Row: id.String(), Sequence: s.sequence})
	}
	return nil
}

func (a *audit) compareAttempt(at Finding, l *ledger.RecordedAttempt, s *wire.Attempt, edge string) {
	compare(a.report, at, "attempted_at", l.At, s.At)
	compare(a.report, at, "user_param", l.User, s.User)
	compare(a.report, at, "item_param", l.Item, s.Item)
	compare(a.report, at, "outcome", l.Outcome, s.Outcome)
	compare(a.report, at, "code_id", l.Code, s.Code)
	compare(a.report, at, "expires_at", l.Expires, s.Expires)
	compare(a.report, at, "edge", l.Edge, edge)
}
