package auditor

import (
	"fmt"
	"iter"
	"slices"

	"notsale/pkg/allocation"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/wire"
)

func atHole(h *ledger.HoleRow) Finding {
	return Finding{Table: "holes", Row: fmt.Sprint(h.Generation), Sequence: h.Resume, Position: h.CursorPosition}
}

// cross goes over a hole: what lies in it is taken from the ledger, as far as
// its rows agree with each other, the rules, and the attempts.
func (a *audit) cross(h *ledger.HoleRow) error {
	a.report.Holes++
	before := a.engine.Cursor()
	compare(a.report, atHole(h), "resume_sequence", h.Resume, h.Matching+1)
	rows, err := a.endedCommits(before.Generation)
	if err != nil {
		return err
	}
	lost, err := a.settleEnd(h, rows)
	if err != nil {
		return err
	}
	stamps := a.crossCommits(rows, lost)
	decisions, err := a.lostDecisions(lost.position)
	if err != nil {
		return err
	}
	settle := a.settleTime
	if a.opening.Sale.Rules == 1 {
		settle = a.settleHighest
	}
	now := settle(h, before.Now, stamps, decisions)
	if decisions, err = a.crossDecisions(decisions, stamps); err != nil {
		return err
	}
	if a.o.Watcher != nil {
		a.o.Watcher.Crossed(h, decisions)
	}
	end := allocation.Cursor{
		Generation: before.Generation, Sequence: lost.sequence, Position: lost.position, Sold: a.engine.Cursor().Sold,
		Chain: lost.chain, PackHash: before.PackHash, PackTime: before.PackTime, Now: now,
	}
	if err := a.engine.Extend(end, each(nil)); err != nil {
		at := atHole(h)
		at.Kind, at.Ledger = Impossible, err.Error()
		a.report.add(at)
		return errBroken
	}
	return a.reopen(h, end)
}

// reopen moves the engine into the generation after a hole.
func (a *audit) reopen(h *ledger.HoleRow, lost allocation.Cursor) (err error) {
	hole := allocation.Hole{Generation: lost.Generation + 1, Matching: h.Matching, Lost: lost}
	if hole.Mark, err = a.one(h.Matching); err != nil {
		return err
	}
	a.engine.Reopen(&hole)
	reopened := a.engine.Cursor()
	a.last, a.marks = endOf(&reopened), a.marks[:0]
	return nil
}

// endedCommits returns the rows of the generation that ended which no replayed
// pack has met: their packs are lost.
func (a *audit) endedCommits(generation int64) (rows []ledger.CommitRow, err error) {
	for a.haveCommit && a.commit.Generation <= generation {
		rows = append(rows, a.commit)
		if err := a.advanceCommit(); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// settleEnd returns where the generation ended. The hole says it, and so does
// the last commit; where they differ, what was chained on afterwards tells which
// is right. Where that is lost, too, the commits are believed: they are more. A
// wrong or missing commit is reported when it is crossed.
func (a *audit) settleEnd(h *ledger.HoleRow, rows []ledger.CommitRow) (end, error) {
	stored, committed := end{sequence: h.CursorSequence, position: h.CursorPosition, chain: chainOf(h.CursorChain)}, a.last
	if n := len(rows); n > 0 {
		committed = endOfRow(&rows[n-1])
	}
	if stored == committed {
		return stored, nil
	}
	right, err := a.leadsOn(h, stored)
	if err != nil || right {
		return stored, err
	}
	missing := stored.sequence > committed.sequence && stored.position > committed.position && stored.chain != committed.chain
	if missing || committed.position > a.nextEnd(h).position {
		return stored, nil
	}
	at := atHole(h)
	compare(a.report, at, "cursor_sequence", stored.sequence, committed.sequence)
	compare(a.report, at, "cursor_position", stored.position, committed.position)
	a.compareChain(at, "cursor_chain", h.CursorChain, committed.chain)
	return committed, nil
}

// nextEnd is the first end that the ledger has after a hole: of a commit, at the
// next hole, or where the cursor stands.
func (a *audit) nextEnd(h *ledger.HoleRow) end {
	if a.haveCommit && a.commit.Generation == h.Generation {
		return endOfRow(&a.commit)
	}
	for i := range a.snapshot.Holes {
		if next := &a.snapshot.Holes[i]; next.Generation == h.Generation+1 {
			return end{sequence: next.CursorSequence, position: next.CursorPosition, chain: chainOf(next.CursorChain)}
		}
	}
	return a.upTo
}

// leadsOn reports whether a generation that ended so gives the next chain that
// the ledger has. It does not where the messages in between are lost, too.
func (a *audit) leadsOn(h *ledger.HoleRow, lost end) (bool, error) {
	c := a.engine.Cursor()
	next := a.nextEnd(h)
	if next.sequence < h.Matching || next.sequence > a.upTo.sequence {
		return false, nil
	}
	hole := allocation.Hole{Generation: h.Generation, Matching: h.Matching, Lost: allocation.Cursor{
		Generation: c.Generation, Sequence: lost.sequence, Position: lost.position, Chain: lost.chain, Now: h.CursorTime,
	}}
	var known []allocation.Decision
	for d, err := range a.books.Decisions(a.ctx, a.id, 0, lost.position) {
		if err != nil {
			return false, err
		}
		known = append(known, d)
		if d.Reason == allocation.Granted {
			hole.Lost.Sold++
		}
	}
	engine, err := allocation.Restore(a.opening.Sale, hole.Reopen(), each(known), len(known))
	if err != nil {
		return false, nil // what cannot be restored leads nowhere
	}
	for m, err := range a.tape.Messages(a.ctx, a.id, hole.Resume(), next.sequence) {
		if err != nil {
			return false, err
		}
		p, err := wire.ReadPack(m.Sequence, m.Time, m.Data)
		if err != nil {
			return false, err
		}
		engine.Apply(p, engine.Begin())
	}
	return engine.Cursor().Chain == next.chain, nil
}

// stamp is at which times the packs of a lost commit came.
type stamp struct {
	row   Finding
	upTo  int64          // position
	times []sale.Instant // none: not known
}

// crossCommits goes over the rows of commits whose packs are lost: they must
// lead to where the generation ended.
func (a *audit) crossCommits(rows []ledger.CommitRow, lost end) (stamps []stamp) {
	generation := a.engine.Cursor().Generation
	for i := range rows {
		at := atCommit(&rows[i])
		a.report.Commits++
		if rows[i].Generation < generation || rows[i].Sequence > lost.sequence {
			at.Kind = Unfounded
			a.report.add(at)
			continue
		}
		stamps = append(stamps, a.lostCommit(at, &rows[i], lost)...)
	}
	if a.last.sequence < lost.sequence {
		a.missingCommit(generation, lost.sequence)
		stamps = append(stamps, stamp{upTo: lost.position})
	}
	return stamps
}

// lostCommit compares what a row says of lost packs with the row before, with
// the packs that are still there, and with where the generation ended.
func (a *audit) lostCommit(at Finding, l *ledger.CommitRow, lost end) (stamps []stamp) {
	marks, ok := l.Marks()
	expected := l.Sequence - a.last.sequence
	switch n := uint64(len(marks)); {
	case !ok || n == 0 || n > expected:
		compare(a.report, at, "packs", fmt.Sprintf("%d bytes", len(l.Packs)), fmt.Sprintf("%d packs", expected))
		marks = nil
	case n < expected:
		a.missingCommit(l.Generation, l.Sequence-n)
		stamps = append(stamps, stamp{upTo: l.Position - int64(n)})
	default:
		a.comparePacks(at, marks, a.marks)
	}
	here := endOfRow(l)
	if here.sequence == lost.sequence {
		compare(a.report, at, "position", here.position, lost.position)
		a.compareChain(at, "chain", l.Chain, lost.chain)
		here = lost
	} else if len(l.Chain) != len(here.chain) {
		compare(a.report, at, "chain", fmt.Sprintf("%d bytes", len(l.Chain)), fmt.Sprintf("%d bytes", len(here.chain)))
	}
	s := stamp{row: at, upTo: here.position}
	for _, m := range marks {
		s.times = append(s.times, m.Time)
	}
	// Each pack has a request at least.
	least, most := a.last.position+int64(len(marks)), lost.position-int64(lost.sequence-l.Sequence)
	if here.position < least || here.position > most {
		at.Kind, at.Field, at.Ledger, at.Stream = Impossible, "position", fmt.Sprint(l.Position), fmt.Sprintf("%d to %d", least, most)
		a.report.add(at)
		here.position, s = least, stamp{upTo: most}
	}
	a.last, a.marks = here, a.marks[:0]
	return append(stamps, s)
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

// settleTime returns the time of the last pack of the generation. The hole says
// it, and so does the commit of that pack; where they differ, a decision confirms
// the hole.
func (a *audit) settleTime(h *ledger.HoleRow, before sale.Instant, stamps []stamp, decisions []allocation.Decision) sale.Instant {
	last := &stamp{times: []sale.Instant{before}}
	if n := len(stamps); n > 0 {
		last = &stamps[n-1]
	}
	if len(last.times) == 0 { // nothing else says it
		return h.CursorTime
	}
	now := last.times[len(last.times)-1]
	if now != h.CursorTime && slices.ContainsFunc(decisions, func(d allocation.Decision) bool { return d.At == h.CursorTime }) {
		compare(a.report, last.row, "packs", now, h.CursorTime)
		last.times = nil
		return h.CursorTime
	}
	compare(a.report, atHole(h), "cursor_time", h.CursorTime, now)
	return now
}

// settleHighest is settleTime under version 1 of the rules, whose engine time is
// the highest of the packs' times. It makes engine times of those in stamps.
// Where hole and lost packs differ, a decision or another pack confirms the hole.
func (a *audit) settleHighest(h *ledger.HoleRow, before sale.Instant, stamps []stamp, decisions []allocation.Decision) sale.Instant {
	latest, complete := before, true
	confirmed := slices.ContainsFunc(decisions, func(d allocation.Decision) bool { return d.At == h.CursorTime })
	for _, s := range stamps {
		complete = complete && len(s.times) > 0
		confirmed = confirmed || slices.Contains(s.times, h.CursorTime)
		for _, t := range s.times {
			latest = max(latest, t)
		}
	}
	end := h.CursorTime
	switch {
	case latest == end || latest < end && !complete: // the missing rows may say it
	case !confirmed:
		compare(a.report, atHole(h), "cursor_time", end, latest)
		end = latest
	case latest < end:
		last := &stamps[len(stamps)-1]
		compare(a.report, last.row, "packs", latest, end)
		last.times = nil
	}
	a.engineTimes(stamps, decisions, before, end)
	return end
}

// engineTimes makes engine times of the packs' times: none is before another,
// or after the end.
func (a *audit) engineTimes(stamps []stamp, decisions []allocation.Decision, now, end sale.Instant) {
	for i := range stamps {
		s := &stamps[i]
		if len(s.times) > 0 && slices.Max(s.times) > end {
			compare(a.report, s.row, "packs", slices.Max(s.times), end)
			s.times = nil
		}
		for j := range s.times {
			now = max(now, s.times[j])
			s.times[j] = now
		}
		for j := range decisions { // the clock may have been set back after a time that is not known
			if len(s.times) == 0 && decisions[j].Position <= s.upTo {
				now = max(now, min(decisions[j].At, end))
			}
		}
	}
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
