package simulation

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"testing"

	"notsale/pkg/allocation"
	"notsale/pkg/effort"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/services/auditor"
)

// falsified is the model ledger with one row changed or gone.
type falsified struct {
	booksOf

	what     string // column, or "a row"
	row      string // table and key
	vague    bool   // other rows may be named, or none: nothing proves the row
	inHole   bool   // no stream proves the row: all findings name the hole
	snapshot func(*ledger.Snapshot)
	decision func(*allocation.Decision) (stays bool)
	commit   func(*ledger.CommitRow) (stays bool)
}

func (f *falsified) Snapshot(ctx context.Context, id sale.ID) (ledger.Snapshot, error) {
	s, err := f.booksOf.Snapshot(ctx, id)
	if f.snapshot != nil {
		f.snapshot(&s)
	}
	return s, err
}

func (f *falsified) Decisions(ctx context.Context, id sale.ID, after, upTo int64) iter.Seq2[allocation.Decision, error] {
	return filter(f.booksOf.Decisions(ctx, id, after, upTo), f.decision)
}

func (f *falsified) Commits(ctx context.Context, id sale.ID) iter.Seq2[ledger.CommitRow, error] {
	return filter(f.booksOf.Commits(ctx, id), f.commit)
}

func filter[T any](rows iter.Seq2[T, error], change func(*T) bool) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for row, err := range rows {
			if (change == nil || change(&row)) && !yield(row, err) {
				return
			}
		}
	}
}

// falsify changes one column of one row of the first sale, or takes a row away.
func falsify(s *simulation, rng *rand.Rand) *falsified {
	of, f := s.book.sales[0], &falsified{booksOf: booksOf{s.book, s.broker}}
	switch rng.IntN(5) {
	case 0:
		f.falsifyDecision(of, &of.decisions[rng.IntN(len(of.decisions))], rng)
	case 1:
		f.falsifyCommit(of, &of.commits[rng.IntN(len(of.commits))], rng)
	case 2:
		f.falsifyItem(of, rng)
	case 3:
		f.falsifyCursor(of, rng)
	default:
		f.falsifyHole(of, rng)
	}
	return f
}

func (f *falsified) falsifyDecision(of *bookSale, d *allocation.Decision, rng *rand.Rand) {
	f.row = fmt.Sprint("decisions ", d.Position)
	changes := []struct {
		what string
		do   func(*allocation.Decision) bool
	}{
		{"user_id", func(d *allocation.Decision) bool { d.User += "x"; return true }},
		{"item_id", func(d *allocation.Decision) bool { d.Item++; return true }},
		{"reason", func(d *allocation.Decision) bool { d.Reason = (d.Reason + 1) % 6; return true }},
		{"decided_at", func(d *allocation.Decision) bool { d.At += 1000; return true }},
		{"a row", func(*allocation.Decision) bool { return false }},
	}
	c := changes[rng.IntN(len(changes))]
	f.inHole = of.lost(of.commitOf(d.Position))
	f.what, f.vague = c.what, c.what == "a row" && d.Reason != allocation.Granted && f.inHole
	f.decision = func(row *allocation.Decision) bool { return row.Position != d.Position || c.do(row) }
}

func (f *falsified) falsifyCommit(of *bookSale, l *commitRow, rng *rand.Rand) {
	f.row = fmt.Sprintf("commits %d/%d", l.generation, l.sequence)
	changes := []struct {
		what string
		do   func(*ledger.CommitRow) bool
	}{
		{"position", func(c *ledger.CommitRow) bool { c.Position += 1000; return true }},
		{"chain", func(c *ledger.CommitRow) bool { c.Chain = slices.Clone(c.Chain); c.Chain[3] ^= 1; return true }},
		{"packs", func(c *ledger.CommitRow) bool { c.Packs[6] ^= 1; return true }},
		{"a row", func(*ledger.CommitRow) bool { return false }},
	}
	c := changes[rng.IntN(len(changes))]
	f.inHole = of.lost(l) && c.what != "a row" // whose absence is one finding, and the audit goes on
	f.what, f.vague = c.what, (c.what == "chain" || c.what == "packs") && f.inHole
	f.commit = func(row *ledger.CommitRow) bool {
		return row.Generation != l.generation || row.Sequence != l.sequence || c.do(row)
	}
}

func (f *falsified) falsifyItem(of *bookSale, rng *rand.Rand) {
	column, share := rng.IntN(5), rng.Float64()
	f.what = []string{"user_id", "code_id", "position", "sold_at", "a row"}[column]
	f.snapshot = func(s *ledger.Snapshot) {
		i := int(share * float64(len(s.Items)))
		row := &s.Items[i]
		f.row, f.inHole = fmt.Sprint("items ", row.Item), of.lost(of.commitOf(row.Position))
		switch column {
		case 0:
			row.User += "x"
		case 1:
			row.Code[2]++
		case 2:
			row.Position += 1000
		case 3:
			row.SoldAt++
		case 4:
			s.Items = slices.Delete(s.Items, i, i+1)
		}
	}
}

func (f *falsified) falsifyCursor(of *bookSale, rng *rand.Rand) {
	column := rng.IntN(6)
	// Without a commit since the last hole, one more hole may be missing as well.
	f.vague = column == 4 && of.commits[len(of.commits)-1].generation < of.pos.Cursor.Generation
	f.what, f.row = []string{"sequence", "position", "sold", "chain", "generation", "engine_time"}[column], "cursors 1"
	f.snapshot = func(s *ledger.Snapshot) {
		c := &s.Position.Cursor
		switch column {
		case 0:
			c.Sequence++
		case 1:
			c.Position++
		case 2:
			c.Sold++
		case 3:
			c.Chain[3]++
		case 4:
			c.Generation++
		case 5:
			c.Now++
		}
	}
}

func (f *falsified) falsifyHole(of *bookSale, rng *rand.Rand) {
	i, column := rng.IntN(len(of.holes)), rng.IntN(7)
	f.row, f.inHole = fmt.Sprint("holes ", of.holes[i].Generation), true
	f.what = []string{"matching_sequence", "resume_sequence", "cursor_sequence", "cursor_position", "cursor_chain", "cursor_time", "a row"}[column]
	f.snapshot = func(s *ledger.Snapshot) {
		h := &s.Holes[i]
		switch column {
		case 0:
			h.Matching++
		case 1:
			h.Resume++
		case 2:
			h.CursorSequence++
		case 3:
			h.CursorPosition--
		case 4:
			h.CursorChain = slices.Clone(h.CursorChain)
			h.CursorChain[0]++
		case 5:
			h.CursorTime += 1000
		case 6:
			s.Holes = slices.Delete(s.Holes, i, i+1)
		}
	}
}

// commitOf returns the commit that decided a position.
func (of *bookSale) commitOf(position int64) *commitRow {
	for i := range of.commits {
		if of.commits[i].cursor.Position >= position {
			return &of.commits[i]
		}
	}
	return nil
}

// lost reports whether a later hole has swallowed messages of a commit.
func (of *bookSale) lost(c *commitRow) bool {
	return slices.ContainsFunc(of.holes, func(h allocation.Hole) bool { return h.Generation > c.generation && h.Matching < c.sequence })
}

// One false row in the ledger of a sale with holes: the audit names it, and
// nothing else, or in a hole that hole, except where nothing is left that could
// show it.
func TestAuditNamesTheFalseRow(t *testing.T) {
	seeds, tries := uint64(effort.Of(100, 1000)), 5
	exact, holes, vague := 0, 0, 0
	for seed := range seeds {
		s := run(Draw(seed+1), false)
		if len(s.book.sales[0].holes) == 0 {
			continue
		}
		rng := rand.New(rand.NewPCG(seed, 0))
		for range tries {
			f := falsify(s, rng)
			r, err := auditor.Audit(context.Background(), f, tapeOf{s.broker}, 1, auditor.Options{Share: 1})
			if err != nil {
				t.Fatalf("seed %d: %s of %s: %v", seed+1, f.what, f.row, err)
			}
			switch {
			case r.Total == 1 && r.Findings[0].Table+" "+r.Findings[0].Row == f.row && (f.what == "a row" || r.Findings[0].Field == f.what):
				exact++
			case f.inHole && r.Total > 0 && !slices.ContainsFunc(r.Findings, func(x auditor.Finding) bool { return x.Hole == 0 }):
				holes++
			case f.vague:
				vague++
			default:
				t.Errorf("seed %d: %s of %s: %v", seed+1, f.what, f.row, r.Findings[:min(len(r.Findings), 5)])
			}
		}
	}
	t.Logf("%d named exactly, %d by their hole, %d that nothing could prove", exact, holes, vague)
	if exact < 10*vague {
		t.Errorf("%d named exactly and %d not", exact, vague)
	}
}
