package auditor

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/wire"
)

// lostTail is what the ledger says of a hole. The messages are lost, so nothing
// in it can be proved: its rows are taken from the ledger, counted as unproved,
// and compared with the rules, the attempts, each other, and where the generation
// ended. If they do not agree, nobody can tell which of them is wrong, and all
// that follows rests on them: the audit stops there.
type lostTail struct {
	*audit

	hole   *ledger.HoleRow
	before allocation.Cursor // of the last message that was replayed
	times  []packTimes
	vague  bool // under rules 1 the time goes on from that of a commit that is missing
	items  map[sale.ItemID]*ledger.ItemRow
	issued map[code.ID]wire.Attempt // checkouts that gave the codes
	wrong  bool                     // rows do not agree
}

// packTimes are the engine times at which the packs of a lost commit were decided.
type packTimes struct {
	after, upTo int64 // positions
	times       []sale.Instant
}

func atHole(h *ledger.HoleRow) Finding {
	return Finding{Table: "holes", Row: fmt.Sprint(h.Generation), Hole: h.Generation, Sequence: h.Resume, Position: h.CursorPosition}
}

// passHole takes what lies in a hole from the ledger, and moves the engine into
// the generation after it.
func (a *audit) passHole(h *ledger.HoleRow) error {
	l := lostTail{audit: a, hole: h, before: a.engine.Cursor(), items: map[sale.ItemID]*ledger.ItemRow{}}
	if a.unsound[h.Generation] {
		l.stop()
		return nil
	}
	a.report.Holes++
	now, err := l.commits()
	if err != nil {
		return err
	}
	decided, err := l.decisions()
	if err != nil {
		return err
	}
	end := allocation.Cursor{
		Generation: l.before.Generation, Sequence: h.CursorSequence, Position: h.CursorPosition, Sold: a.engine.Cursor().Sold,
		Chain: chainOf(h.CursorChain), PackHash: l.before.PackHash, PackTime: l.before.PackTime, Now: now,
	}
	if !l.wrong {
		if err := a.engine.Extend(end, nothing); err != nil {
			l.impossible(atHole(h), "cursor_position", fmt.Sprint(h.CursorPosition), err.Error())
		}
	}
	if l.wrong {
		l.stop()
		return nil
	}
	for i := range decided {
		if decided[i].Reason == allocation.Granted {
			a.owners[decided[i].Item] = decided[i]
		}
	}
	if a.o.Watcher != nil {
		a.o.Watcher.Lost(h, decided)
	}
	return a.reopen(h, end)
}

// stop ends the replay at a hole: what follows cannot be audited.
func (l *lostTail) stop() {
	at := atHole(l.hole)
	at.Kind, at.Sequence, at.Position = NotAudited, l.before.Sequence, l.before.Position
	l.report.add(at)
	l.report.stoppedAt, l.stopped = l.hole.Generation, &l.before
}

// reopen moves the engine into the generation after a hole.
func (a *audit) reopen(h *ledger.HoleRow, lost allocation.Cursor) error {
	hole := allocation.Hole{Generation: lost.Generation + 1, Matching: h.Matching, Lost: lost}
	for m, err := range a.streams.Messages(a.ctx, a.id, h.Matching, h.Matching) {
		if err != nil {
			return err
		}
		hole.Mark = allocation.Mark{Time: m.Time, Hash: m.Hash()}
	}
	a.engine.Reopen(&hole)
	reopened := a.engine.Cursor()
	a.last, a.packs = endOf(&reopened), a.packs[:0]
	return nil
}

// differs reports a row of the hole that does not agree with another one.
func (l *lostTail) differs(at Finding, field, is, want string) {
	if is != want {
		l.add(at, Differs, field, is, want)
	}
}

func (l *lostTail) impossible(at Finding, field, is, want string) {
	l.add(at, Impossible, field, is, want)
}

func (l *lostTail) add(at Finding, kind Kind, field, is, want string) {
	at.Kind, at.Field, at.Ledger, at.Stream, at.Hole = kind, field, is, want, l.hole.Generation
	l.report.add(at)
	l.wrong = true
}

// holeOf returns the hole's generation for a message that lies in it, else 0.
func (l *lostTail) holeOf(sequence uint64) int64 {
	if sequence > l.before.Sequence {
		return l.hole.Generation
	}
	return 0
}

// commits compares the rows of lost commits: they must lead to where the hole says
// that the generation ended. It returns the engine time there. A row that is
// missing is no reason to stop: the hole itself says where all of them lead.
func (l *lostTail) commits() (now sale.Instant, err error) {
	h := l.hole
	now = l.before.Now
	for l.commit.more && l.commit.next.Generation <= l.before.Generation {
		row, at := l.commit.next, atCommit(&l.commit.next)
		l.report.Commits++
		switch earlier := row.Generation < l.before.Generation; {
		case earlier || row.Sequence <= l.last.sequence || row.Sequence > h.CursorSequence:
			if !earlier {
				at.Hole = h.Generation
			}
			l.report.add(at.as(Unfounded))
		case !l.wrong:
			now = l.commitRow(at, &row, now)
		}
		if err := l.commit.advance(); err != nil {
			return now, err
		}
	}
	chain := chainOf(h.CursorChain)
	switch {
	case l.wrong:
	case h.CursorSequence > l.last.sequence && h.CursorPosition > l.last.position && chain != l.last.chain:
		l.missingCommit(l.before.Generation, h.CursorSequence, h.Generation)
		now = h.CursorTime
	default:
		l.differs(atHole(h), "cursor_sequence", fmt.Sprint(h.CursorSequence), fmt.Sprint(l.last.sequence))
		l.differs(atHole(h), "cursor_position", fmt.Sprint(h.CursorPosition), fmt.Sprint(l.last.position))
		l.differs(atHole(h), "cursor_chain", fmt.Sprintf("%x", h.CursorChain), fmt.Sprintf("%x", l.last.chain))
		if l.vague {
			now = h.CursorTime
		}
		l.differs(atHole(h), "cursor_time", h.CursorTime.String(), now.String())
	}
	return now, nil
}

// commitRow compares the row of a lost commit with the one before, and with those
// of its packs that are not lost. It returns the engine time after it.
func (l *lostTail) commitRow(at Finding, row *ledger.CommitRow, now sale.Instant) sale.Instant {
	packs, ok := row.Marks()
	n, expected := uint64(len(packs)), row.Sequence-l.last.sequence
	if !ok || n == 0 || n > expected {
		l.differs(at, "packs", fmt.Sprintf("%d bytes", len(row.Packs)), fmt.Sprintf("%d packs", expected))
		return now
	}
	times := packTimes{after: l.last.position, upTo: row.Position}
	if n < expected { // what ended in between is not there
		l.missingCommit(row.Generation, row.Sequence-n, l.holeOf(row.Sequence-n))
		times.after = row.Position - int64(n)
		l.vague = l.opening.Sale.Rules == 1
	}
	if skip := expected - n; skip < uint64(len(l.packs)) {
		l.comparePacks(at, packs, l.packs[skip:])
	}
	if len(row.Chain) != len(allocation.Hash{}) {
		l.differs(at, "chain", fmt.Sprintf("%d bytes", len(row.Chain)), fmt.Sprintf("%d bytes", len(allocation.Hash{})))
	}
	// Each pack has a request at least.
	least, most := l.last.position+int64(expected), l.hole.CursorPosition-int64(l.hole.CursorSequence-row.Sequence)
	if row.Position < least || row.Position > most {
		l.impossible(at, "position", fmt.Sprint(row.Position), fmt.Sprintf("%d to %d", least, most))
	}
	for _, m := range packs {
		if now = max(now, m.Time); l.opening.Sale.Rules > 1 { // under version 1 the highest time so far decides
			now = m.Time
		}
		times.times = append(times.times, now)
	}
	if !l.vague {
		l.times = append(l.times, times)
	}
	l.last, l.packs = endOfRow(row), l.packs[:0]
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

// decisions takes the lost decisions from the ledger, and lets the engine decide
// them again. It returns what came out.
func (l *lostTail) decisions() (decided []allocation.Decision, err error) {
	if err := l.dropDecisions(l.before.Position + 1); err != nil {
		return nil, err
	}
	var rows []allocation.Decision
	for l.decision.more && l.decision.next.Position <= l.hole.CursorPosition {
		rows = append(rows, l.decision.next)
		if l.report.Unproved++; l.decision.next.Reason == allocation.Granted {
			l.report.UnprovedSold++
		}
		if err := l.decision.advance(); err != nil {
			return nil, err
		}
	}
	if l.wrong {
		return nil, nil
	}
	if err := l.findIssued(rows); err != nil {
		return nil, err
	}
	for i := range l.snapshot.Items {
		l.items[l.snapshot.Items[i].Item] = &l.snapshot.Items[i]
	}
	if err := l.missingGrants(rows); err != nil {
		return nil, err
	}
	for i := range rows {
		if l.wrong {
			return nil, nil
		}
		d, err := l.decide(&rows[i])
		if err != nil {
			return nil, err
		}
		decided = append(decided, d)
	}
	return decided, nil
}

// findIssued looks for the checkouts that gave the codes. One may be missing: the
// stream of attempts may have lost its tail, too. Where the ledger has another
// attempt than the stream, neither is believed: that is a finding of its own.
func (l *lostTail) findIssued(rows []allocation.Decision) error {
	wanted, stored := map[code.ID]bool{}, map[sale.UUID]ledger.RecordedAttempt{}
	for i := range rows {
		wanted[rows[i].Code] = !rows[i].Code.IsZero()
	}
	l.issued = map[code.ID]wire.Attempt{}
	c := comparison{audit: l.audit}
	_, err := c.each(1, math.MaxUint64, func(_ uint64, r ledger.RecordedAttempt) {
		if _, twice := stored[r.ID]; !twice && r.Outcome == wire.Issued && wanted[r.Code] {
			stored[r.ID], l.issued[r.Code] = r, r.Attempt
		}
	})
	if err != nil {
		return err
	}
	for row, err := range l.ledger.Attempts(l.ctx, l.id) {
		if err != nil {
			return err
		}
		if s, known := stored[row.ID]; known && s != row {
			delete(l.issued, s.Code)
		}
	}
	return nil
}

// decide puts a lost request to the engine, in a pack of its own, and compares
// the row with what comes out, and an item that was sold with its row.
func (l *lostTail) decide(row *allocation.Decision) (d allocation.Decision, err error) {
	at := Finding{Table: "decisions", Row: fmt.Sprint(row.Position), Position: row.Position}
	c := l.engine.Cursor()
	c.Position = row.Position - 1
	if err := l.engine.Extend(c, nothing); err != nil {
		return d, err
	}
	b := l.engine.Begin()
	l.engine.Apply(allocation.Pack{Sequence: c.Sequence + 1, Time: row.At, Requests: []allocation.Request{{
		Code: row.Code, Item: row.Item, User: row.User, Expires: l.claims(at, row),
	}}}, b)
	if len(b.Decisions) == 0 {
		l.impossible(at, "code_id", row.Code.String(), "an earlier decision for it")
		return d, nil
	}
	d = b.Decisions[0]
	l.differs(at, "reason", row.Reason.String(), d.Reason.String())
	l.differs(at, "decided_at", row.At.String(), d.At.String())
	i := slices.IndexFunc(l.times, func(t packTimes) bool { return row.Position > t.after && row.Position <= t.upTo })
	if i >= 0 && !slices.Contains(l.times[i].times, row.At) {
		l.impossible(at, "decided_at", row.At.String(), fmt.Sprint(l.times[i].times))
	}
	if d.Reason == allocation.Granted && !l.wrong {
		found := l.report.Total
		l.compareItem(l.items[d.Item], &d, l.hole.Generation)
		l.wrong = l.report.Total > found
	}
	return d, nil
}

// claims compares a row with the checkout that gave its code, if that is known,
// and returns when the code expired. Without it, the reason tells.
func (l *lostTail) claims(at Finding, d *allocation.Decision) (expires sale.Instant) {
	if d.Code.IsZero() != (d.Item == 0) || d.Code.IsZero() != (d.User == "") {
		l.impossible(at, "code_id, item_id, user_id", "some of a request", "all three, or none where it could not be read")
	}
	attempt, known := l.issued[d.Code]
	switch {
	case known:
		l.differs(at, "item_id", strconv.FormatInt(int64(d.Item), 10), attempt.Item)
		l.differs(at, "user_id", string(d.User), attempt.User)
		return attempt.Expires
	case d.Reason == allocation.CodeExpired:
		return d.At - 1
	}
	return math.MaxInt64
}

// missingGrants reports the items that were sold in the hole by their rows, at
// positions that have no decision, if none grants them later.
func (l *lostTail) missingGrants(rows []allocation.Decision) error {
	sold := map[int64]sale.ItemID{} // by position
	for item, row := range l.items {
		_, before := l.owners[item]
		if !before && l.opening.Sale.Contains(item) && row.Position > l.before.Position && row.Position <= l.hole.CursorPosition {
			sold[row.Position] = item
		}
	}
	for i := range rows {
		delete(sold, rows[i].Position)
	}
	if len(sold) == 0 {
		return nil
	}
	later := map[sale.ItemID]bool{}
	for d, err := range l.ledger.Decisions(l.ctx, l.id, l.hole.CursorPosition, l.upTo.position) {
		if err != nil {
			return err
		}
		later[d.Item] = later[d.Item] || d.Reason == allocation.Granted
	}
	for _, position := range slices.Sorted(maps.Keys(sold)) {
		if !later[sold[position]] {
			l.add(Finding{Table: "decisions", Row: fmt.Sprint(position), Position: position}, Missing, "", "", "")
		}
	}
	return nil
}

// nothing is no decisions.
func nothing(func(allocation.Decision, error) bool) {}
