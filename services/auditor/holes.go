package auditor

import (
	"fmt"
	"iter"
	"math"
	"slices"
	"strconv"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/wire"
)

// crossing is the way over a hole. The messages in it are lost, so nothing in it
// can be proved: its rows are taken from the ledger, and counted as unproved. They
// are checked against each other, the rules, the attempts and the rows around
// them. Which of two rows that do not agree is wrong nobody can tell, and all that
// comes after rests on them: there the replay ends.
type crossing struct {
	*audit

	hole   *ledger.HoleRow
	times  []commitTimes
	issued map[code.ID]wire.Attempt // checkouts that gave the codes
	failed bool                     // rows do not agree
}

// commitTimes is at which engine times the packs of a lost commit were decided.
type commitTimes struct {
	upTo  int64 // position
	times []sale.Instant
}

func atHole(h *ledger.HoleRow) Finding {
	return Finding{Table: "holes", Row: fmt.Sprint(h.Generation), Sequence: h.Resume, Position: h.CursorPosition}
}

// cross goes over a hole.
func (a *audit) cross(h *ledger.HoleRow) error {
	a.report.Holes++
	x := crossing{audit: a, hole: h}
	before := a.engine.Cursor()
	a.report.lost = append(a.report.lost, unproved{hole: h.Generation, after: before.Position, upTo: h.CursorPosition})
	now, err := x.commits(before.Now)
	if err != nil {
		return err
	}
	decisions, err := x.decisions()
	if err != nil {
		return err
	}
	if a.o.Watcher != nil {
		a.o.Watcher.Crossed(h, decisions)
	}
	end := allocation.Cursor{
		Generation: before.Generation, Sequence: h.CursorSequence, Position: h.CursorPosition, Sold: a.engine.Cursor().Sold,
		Chain: chainOf(h.CursorChain), PackHash: before.PackHash, PackTime: before.PackTime, Now: now,
	}
	if x.failed {
		return errBroken
	}
	if err := a.engine.Extend(end, each(nil)); err != nil {
		x.impossible(atHole(h), "", err.Error(), "")
		return errBroken
	}
	return a.reopen(h, end)
}

// reopen moves the engine into the generation after a hole.
func (a *audit) reopen(h *ledger.HoleRow, lost allocation.Cursor) error {
	hole := allocation.Hole{Generation: lost.Generation + 1, Matching: h.Matching, Lost: lost}
	for m, err := range a.tape.Messages(a.ctx, a.id, h.Matching, h.Matching) {
		if err != nil {
			return err
		}
		hole.Mark = allocation.Mark{Time: m.Time, Hash: m.Hash()}
	}
	a.engine.Reopen(&hole)
	reopened := a.engine.Cursor()
	a.last, a.marks = endOf(&reopened), a.marks[:0]
	return nil
}

// differs reports a row of the hole that does not agree with another one.
func (x *crossing) differs(at Finding, field, is, want string) {
	if is != want {
		at.Kind, at.Field, at.Ledger, at.Stream, at.Hole = Differs, field, is, want, x.hole.Generation
		x.report.add(at)
		x.failed = true
	}
}

func (x *crossing) impossible(at Finding, field, is, want string) {
	at.Kind, at.Field, at.Ledger, at.Stream, at.Hole = Impossible, field, is, want, x.hole.Generation
	x.report.add(at)
	x.failed = true
}

// missing reports a commit of the generation that ended which is not there.
func (x *crossing) missing(generation int64, sequence uint64) {
	if sequence > x.hole.Matching {
		x.report.missingCommit(generation, sequence, x.hole.Generation)
		x.failed = true
		return
	}
	x.report.missingCommit(generation, sequence, 0)
}

// commits goes over the rows of commits whose packs are lost: they must lead to
// where the hole says that the generation ended. It returns the engine time there.
func (x *crossing) commits(now sale.Instant) (sale.Instant, error) {
	h, generation := x.hole, x.engine.Cursor().Generation
	for x.haveCommit && x.commit.Generation <= generation {
		l := x.commit
		x.report.Commits++
		switch at := atCommit(&l); {
		case l.Generation < generation || l.Sequence > h.CursorSequence:
			at.Kind = Unfounded
			x.report.add(at)
		case !x.failed:
			now = x.lostCommit(at, &l, now)
		}
		if err := x.advanceCommit(); err != nil {
			return now, err
		}
	}
	if x.failed {
		return now, nil
	}
	if x.last.sequence < h.CursorSequence {
		x.missing(generation, h.CursorSequence)
		return h.CursorTime, nil
	}
	x.differs(atHole(h), "cursor_sequence", fmt.Sprint(h.CursorSequence), fmt.Sprint(x.last.sequence))
	x.differs(atHole(h), "cursor_position", fmt.Sprint(h.CursorPosition), fmt.Sprint(x.last.position))
	x.differs(atHole(h), "cursor_chain", fmt.Sprintf("%x", h.CursorChain), fmt.Sprintf("%x", x.last.chain))
	x.differs(atHole(h), "cursor_time", h.CursorTime.String(), now.String())
	return now, nil
}

// lostCommit compares a row with the one before, and with the packs before the
// hole, and takes it in.
func (x *crossing) lostCommit(at Finding, l *ledger.CommitRow, now sale.Instant) sale.Instant {
	marks, ok := l.Marks()
	expected := l.Sequence - x.last.sequence
	switch n := uint64(len(marks)); {
	case !ok || n == 0 || n > expected:
		x.differs(at, "packs", fmt.Sprintf("%d bytes", len(l.Packs)), fmt.Sprintf("%d packs", expected))
	case n < expected:
		x.missing(l.Generation, l.Sequence-n)
	default:
		x.comparePacks(at, marks, x.marks)
	}
	if len(l.Chain) != len(allocation.Hash{}) {
		x.differs(at, "chain", fmt.Sprintf("%d bytes", len(l.Chain)), fmt.Sprintf("%d bytes", len(allocation.Hash{})))
	}
	// Each pack has a request at least.
	least, most := x.last.position+int64(len(marks)), x.hole.CursorPosition-int64(x.hole.CursorSequence-l.Sequence)
	if l.Position < least || l.Position > most {
		x.impossible(at, "position", fmt.Sprint(l.Position), fmt.Sprintf("%d to %d", least, most))
	}
	c := commitTimes{upTo: l.Position}
	for _, m := range marks {
		if now = max(now, m.Time); x.opening.Sale.Rules > 1 { // under version 1 the highest time so far decides
			now = m.Time
		}
		c.times = append(c.times, now)
	}
	x.times = append(x.times, c)
	x.last, x.marks = endOfRow(l), x.marks[:0]
	return now
}

func endOfRow(l *ledger.CommitRow) end {
	return end{sequence: l.Sequence, position: l.Position, chain: chainOf(l.Chain)}
}

// chainOf returns a stored chain; zero if it is none.
func chainOf(stored []byte) (chain allocation.Hash) {
	if len(stored) == len(chain) {
		copy(chain[:], stored)
	}
	return chain
}

// decisions takes the lost decisions from the ledger, and returns what the engine
// says of them.
func (x *crossing) decisions() (decided []allocation.Decision, err error) {
	var rows []allocation.Decision
	for x.haveDecision && x.decision.Position <= x.hole.CursorPosition {
		rows = append(rows, x.decision)
		if x.report.Unproved++; x.decision.Reason == allocation.Granted {
			x.report.UnprovedSold++
		}
		if err := x.advanceDecision(); err != nil {
			return nil, err
		}
	}
	if x.failed {
		return nil, nil
	}
	if err := x.findIssued(rows); err != nil {
		return nil, err
	}
	for i := range rows {
		found := x.report.Total
		if d, ok := x.decide(&rows[i]); ok {
			decided = append(decided, d)
		}
		if x.failed = x.report.Total > found; x.failed {
			break
		}
	}
	return decided, nil
}

// findIssued looks for the checkouts that gave the codes. One may be missing: the
// stream of attempts may have lost its tail, too. Where the ledger has another
// attempt than the stream, that is a finding of its own.
func (x *crossing) findIssued(rows []allocation.Decision) error {
	wanted, stored := map[code.ID]bool{}, map[sale.UUID]ledger.RecordedAttempt{}
	for i := range rows {
		wanted[rows[i].Code] = !rows[i].Code.IsZero()
	}
	x.issued = map[code.ID]wire.Attempt{}
	c := comparison{audit: x.audit}
	_, err := c.each(x.ctx, 1, math.MaxUint64, func(_ uint64, r ledger.RecordedAttempt) {
		if _, twice := stored[r.ID]; !twice && r.Outcome == wire.Issued && wanted[r.Code] {
			stored[r.ID], x.issued[r.Code] = r, r.Attempt
		}
	})
	if err != nil {
		return err
	}
	for row, err := range x.books.Attempts(x.ctx, x.id) {
		if err != nil {
			return err
		}
		if s, known := stored[row.ID]; known && s != row {
			delete(x.issued, s.Code)
		}
	}
	return nil
}

// decide puts a lost request to the engine, in a pack of its own, and compares.
func (x *crossing) decide(row *allocation.Decision) (d allocation.Decision, ok bool) {
	at := Finding{Table: "decisions", Row: fmt.Sprint(row.Position), Position: row.Position, Hole: x.hole.Generation}
	c := x.engine.Cursor()
	reached := c.Position
	c.Position = row.Position - 1
	if err := x.engine.Extend(c, each(nil)); err != nil {
		x.impossible(at, "position", fmt.Sprint(row.Position), fmt.Sprintf("above %d", reached))
		return d, false
	}
	b := x.engine.Begin()
	x.engine.Apply(allocation.Pack{Sequence: c.Sequence + 1, Time: row.At, Requests: []allocation.Request{{
		Code: row.Code, Item: row.Item, User: row.User, Expires: x.claims(at, row),
	}}}, b)
	if len(b.Decisions) == 0 {
		x.impossible(at, "code_id", row.Code.String(), "an earlier decision for it")
		return d, false
	}
	d = b.Decisions[0]
	compare(x.report, at, "reason", row.Reason, d.Reason)
	if i := slices.IndexFunc(x.times, func(c commitTimes) bool { return c.upTo >= row.Position }); i >= 0 && !slices.Contains(x.times[i].times, row.At) {
		compare(x.report, at, "decided_at", row.At.String(), fmt.Sprint(x.times[i].times))
	}
	if d.Reason == allocation.Granted {
		x.owners[d.Item] = d
	}
	return d, true
}

// claims compares a row with the checkout that gave its code, if that is known,
// and returns when the code expired. Without it, the reason tells.
func (x *crossing) claims(at Finding, d *allocation.Decision) (expires sale.Instant) {
	if d.Code.IsZero() != (d.Item == 0) || d.Code.IsZero() != (d.User == "") {
		at.Kind, at.Field = Impossible, "code_id, item_id, user_id"
		at.Ledger, at.Stream = "some of a request", "all three, or none where it could not be read"
		x.report.add(at)
	}
	attempt, known := x.issued[d.Code]
	switch {
	case known:
		compare(x.report, at, "item_id", strconv.FormatInt(int64(d.Item), 10), attempt.Item)
		compare(x.report, at, "user_id", string(d.User), attempt.User)
		return attempt.Expires
	case d.Reason == allocation.CodeExpired:
		return d.At - 1
	}
	return math.MaxInt64
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
