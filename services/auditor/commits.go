package auditor

import (
	"encoding/hex"
	"fmt"

	"notsale/pkg/allocation"
	"notsale/pkg/ledger"
)

func (a *audit) advanceCommit() (err error) {
	a.commit, err, a.haveCommit = a.nextCommit()
	return err
}

// commitRow is the key of a row of commits.
func commitRow(generation int64, sequence uint64) string {
	return fmt.Sprintf("%d/%d", generation, sequence)
}

func atCommit(l *ledger.CommitRow) Finding {
	return Finding{Table: "commits", Row: commitRow(l.Generation, l.Sequence), Sequence: l.Sequence, Position: l.Position}
}

// meetCommit compares the next row of commits, if its batch ends here.
func (a *audit) meetCommit(c *allocation.Cursor) error {
	for a.haveCommit && (a.commit.Generation < c.Generation || a.commit.Generation == c.Generation && a.commit.Sequence <= c.Sequence) {
		l := &a.commit
		at := atCommit(l)
		a.report.Commits++
		if l.Generation < c.Generation || l.Sequence < c.Sequence { // it would have ended before
			at.Kind = Unfounded
			a.report.add(at)
		} else {
			compare(a.report, at, "position", l.Position, c.Position)
			a.compareChain(at, "chain", l.Chain, c.Chain)
			a.compareMarks(at, l)
			a.last, a.marks = endOf(c), a.marks[:0]
			if a.o.Watcher != nil {
				a.o.Watcher.Committed(l)
			}
		}
		if err := a.advanceCommit(); err != nil {
			return err
		}
	}
	return nil
}

func (a *audit) compareChain(at Finding, field string, stored []byte, chain allocation.Hash) {
	if string(stored) != string(chain[:]) {
		compare(a.report, at, field, hex.EncodeToString(stored), hex.EncodeToString(chain[:]))
	}
}

// compareMarks compares the packs that a row says it applied with those that
// were replayed since the commit before.
func (a *audit) compareMarks(at Finding, l *ledger.CommitRow) {
	marks, ok := l.Marks()
	here := a.marks
	switch before := len(here) - len(marks); {
	case !ok || before < 0 || len(marks) == 0:
		compare(a.report, at, "packs", fmt.Sprintf("%d bytes", len(l.Packs)), fmt.Sprintf("%d packs", len(here)))
		return
	case before > 0: // a row that ended in between is not there
		a.missingCommit(l.Generation, l.Sequence-uint64(len(marks)), 0)
		here = here[before:]
	}
	a.comparePacks(at, marks, here)
}

// comparePacks names the packs that are not the ones which the row applied.
func (a *audit) comparePacks(at Finding, stored, here []allocation.Mark) {
	first := at.Sequence - uint64(len(stored)) + 1
	for i := range min(len(stored), len(here)) {
		at.Sequence = first + uint64(i)
		compare(a.report, at, "packs", stored[i], here[i])
	}
}

// missingCommit reports a commit that lies in a hole or, where that is 0, in none.
func (a *audit) missingCommit(generation int64, sequence uint64, hole int64) {
	a.report.add(Finding{Kind: Missing, Table: "commits", Row: commitRow(generation, sequence), Sequence: sequence, Hole: hole})
}

// finishCommits looks at the rows that no replayed pack has met.
func (a *audit) finishCommits() error {
	if len(a.marks) > 0 {
		a.missingCommit(a.generation, a.upTo.sequence, 0)
	}
	for a.haveCommit && (a.commit.Generation < a.generation || a.commit.Generation == a.generation && a.commit.Sequence <= a.upTo.sequence) {
		at := atCommit(&a.commit)
		at.Kind = Unfounded
		a.report.add(at)
		if err := a.advanceCommit(); err != nil {
			return err
		}
	}
	return nil // what comes after was committed while the audit ran, or is in the snapshot
}
