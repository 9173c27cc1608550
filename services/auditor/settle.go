package auditor

import (
	"fmt"
	"slices"

	"notsale/pkg/ledger"
)

// settle looks, before anything is replayed, whether cursor and holes say how
// far and by which generations the replay goes. Where the cursor cannot be right,
// the commits tell where it stands, so that a wrong row is named and the others
// are not. Without a hole for each generation there is no history to replay, nor
// where a hole says two things about where it begins.
func (a *audit) settle() error {
	cursor, holes := &a.snapshot.Position.Cursor, a.snapshot.Holes
	a.generation, a.upTo = cursor.Generation, endOf(cursor)
	ordered := len(a.snapshot.Beyond) == 0 && cursor.Generation == int64(len(holes))+1
	for i := range holes {
		ordered = ordered && holes[i].Generation == int64(i)+2
		if h := &holes[i]; h.Resume != h.Matching+1 {
			compare(a.report, atHole(h), "resume_sequence", h.Resume, h.Matching+1)
			a.broken = true
		}
	}
	if ordered {
		return nil
	}
	if err := a.findEnd(); err != nil {
		return err
	}
	a.settleHoles()
	return nil
}

// findEnd looks for the commit that has the cursor's chain. It tells where the
// cursor stands, if it fits to the row before it, or to its hole.
func (a *audit) findEnd() error {
	var before ledger.CommitRow
	for c, err := range a.books.Commits(a.ctx, a.id) {
		if err != nil {
			return err
		}
		marks, _ := c.Marks()
		begin := c.Sequence - uint64(len(marks))
		fits := c.Generation == before.Generation && begin == before.Sequence ||
			slices.ContainsFunc(a.snapshot.Holes, func(h ledger.HoleRow) bool { return h.Generation == c.Generation && h.Resume == begin+1 })
		if e := endOfRow(&c); fits && e.chain == a.upTo.chain {
			a.generation, a.upTo = c.Generation, e
		}
		before = c
	}
	return nil
}

// settleHoles drops the holes that open no generation, and reports them and
// those that are missing.
func (a *audit) settleHoles() {
	var settled []ledger.HoleRow
	next := int64(2)
	for _, h := range a.snapshot.Holes {
		if h.Generation < next || h.Generation > a.generation {
			at := atHole(&h)
			at.Kind = Unfounded
			a.report.add(at)
			continue
		}
		a.missingHoles(next, h.Generation)
		next = h.Generation + 1
		settled = append(settled, h)
	}
	a.missingHoles(next, a.generation+1)
	a.snapshot.Holes = settled
	a.broken = a.broken || int64(len(settled)) != a.generation-1
}

func (a *audit) missingHoles(from, before int64) {
	for g := from; g < min(before, from+MaxFindings); g++ {
		a.report.add(Finding{Kind: Missing, Table: "holes", Row: fmt.Sprint(g)})
	}
}

// beyond reports the rows that no commit up to the cursor wrote. Where the cursor
// itself is wrong, the replay has met those that it founds.
func (a *audit) beyond() {
	for _, row := range a.snapshot.Beyond {
		var generation int64
		var sequence uint64
		met := row.Table == "decisions" && row.Position >= 1 && row.Position <= a.upTo.position
		if n, err := fmt.Sscanf(row.Key, "%d/%d", &generation, &sequence); err == nil && n == 2 {
			met = generation < a.generation || generation == a.generation && sequence <= a.upTo.sequence
		}
		if !met {
			a.report.add(Finding{Kind: Unfounded, Table: row.Table, Row: row.Key, Position: row.Position})
		}
	}
}
