package auditor

import (
	"fmt"
	"slices"

	"notsale/pkg/ledger"
)

// settle looks, before anything is replayed, whether cursor and holes say how far
// and through which generations the replay goes. Where they cannot be right, the
// commits are asked, so that a wrong row is named and the others are not.
func (a *audit) settle() error {
	cursor, holes := &a.snapshot.Position.Cursor, a.snapshot.Holes
	a.generation, a.upTo = cursor.Generation, endOf(cursor)
	ordered := len(a.snapshot.Beyond) == 0 && cursor.Generation == int64(len(holes))+1
	for i := range holes {
		ordered = ordered && holes[i].Generation == int64(i)+2 && holes[i].Resume == holes[i].Matching+1
	}
	if ordered {
		return nil
	}
	begins, err := a.surveyCommits()
	if err != nil {
		return err
	}
	a.settleHoles(begins)
	return nil
}

// surveyCommits returns after which message the commits of each generation
// begin. The commit that has the cursor's chain tells where the cursor is,
// if it fits to the row before it, or to its hole.
func (a *audit) surveyCommits() (begins map[int64]uint64, err error) {
	begins = map[int64]uint64{}
	var before ledger.CommitRow
	for c, err := range a.ledger.Commits(a.ctx, a.id) {
		if err != nil {
			return nil, err
		}
		packs, _ := c.Marks()
		begin := c.Sequence - uint64(len(packs))
		if _, known := begins[c.Generation]; !known {
			begins[c.Generation] = begin
		}
		fits := c.Generation == before.Generation && begin == before.Sequence ||
			slices.ContainsFunc(a.snapshot.Holes, func(h ledger.HoleRow) bool { return h.Generation == c.Generation && h.Resume == begin+1 })
		if e := endOfRow(&c); fits && e.chain == a.upTo.chain {
			a.generation, a.upTo = c.Generation, e
		}
		before = c
	}
	return begins, nil
}

// settleHoles drops the holes that open no generation, and reports them and those
// that are missing. A missing one is replaced by a hole at which the replay
// stops.
func (a *audit) settleHoles(begins map[int64]uint64) {
	var settled []ledger.HoleRow
	a.unsound = map[int64]bool{}
	missing := func(before int64) {
		for g := int64(len(settled)) + 2; g < min(before, MaxFindings); g++ {
			a.unsound[g] = true
			settled = append(settled, ledger.HoleRow{Generation: g, Matching: max(begins[g], 1)})
			a.report.add(Finding{Kind: Missing, Table: "holes", Row: fmt.Sprint(g), Hole: g})
		}
	}
	for _, h := range a.snapshot.Holes {
		if h.Generation < int64(len(settled))+2 || h.Generation > a.generation {
			at := atHole(&h)
			at.Kind, at.Hole = Unfounded, 0
			a.report.add(at)
			continue
		}
		missing(h.Generation)
		begin, known := begins[h.Generation]
		switch {
		case h.Resume == h.Matching+1:
		case known && begin+1 == h.Resume:
			compare(a.report, atHole(&h), "matching_sequence", h.Matching, begin)
			h.Matching = begin
		default:
			compare(a.report, atHole(&h), "resume_sequence", h.Resume, h.Matching+1)
			if !known || begin != h.Matching {
				a.unsound[h.Generation], h.Matching = true, min(h.Matching, h.Resume-1)
			}
		}
		settled = append(settled, h)
	}
	missing(a.generation + 1)
	a.snapshot.Holes = settled
}

// beyond reports the rows that no commit up to the cursor wrote. Where the cursor
// itself is wrong, those that the stream gives were compared.
func (a *audit) beyond() {
	for _, row := range a.snapshot.Beyond {
		var generation int64
		var sequence uint64
		compared := row.Table == "decisions" && row.Position >= 1 && row.Position <= a.upTo.position
		if n, err := fmt.Sscanf(row.Key, "%d/%d", &generation, &sequence); err == nil && n == 2 {
			compared = generation < a.generation || generation == a.generation && sequence <= a.upTo.sequence
		}
		if !compared {
			a.report.add(Finding{Kind: Unfounded, Table: row.Table, Row: row.Key, Position: row.Position})
		}
	}
}
