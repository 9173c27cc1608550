package auditor

import (
	"encoding/hex"
	"fmt"

	"notsale/pkg/allocation"
	"notsale/pkg/ledger"
)

// commitRow is the key of a row of commits.
func commitRow(generation int64, sequence uint64) string {
	return fmt.Sprintf("%d/%d", generation, sequence)
}

func atCommit(l *ledger.CommitRow) Finding {
	return Finding{Table: "commits", Row: commitRow(l.Generation, l.Sequence), Sequence: l.Sequence, Position: l.Position}
}

// compareCommits compares the next row of commits, if its batch ends here.
func (a *audit) compareCommits(c *allocation.Cursor) error {
	for a.commit.more && (a.commit.next.Generation < c.Generation || a.commit.next.Generation == c.Generation && a.commit.next.Sequence <= c.Sequence) {
		l := &a.commit.next
		at := atCommit(l)
		a.report.Commits++
		if l.Generation < c.Generation || l.Sequence < c.Sequence { // it would have ended before
			a.report.add(at.as(Unfounded))
		} else {
			compare(a.report, at, "position", l.Position, c.Position)
			a.compareChain(at, "chain", l.Chain, c.Chain)
			a.compareApplied(at, l)
			a.last, a.packs = endOf(c), a.packs[:0]
			if a.o.Watcher != nil {
				a.o.Watcher.Committed(l)
			}
		}
		if err := a.commit.advance(); err != nil {
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

// compareApplied compares the packs that a row says it applied with those that
// were replayed since the commit before.
func (a *audit) compareApplied(at Finding, l *ledger.CommitRow) {
	packs, ok := l.Marks()
	here := a.packs
	switch before := len(here) - len(packs); {
	case !ok || before < 0 || len(packs) == 0:
		compare(a.report, at, "packs", fmt.Sprintf("%d bytes", len(l.Packs)), fmt.Sprintf("%d packs", len(here)))
		return
	case before > 0: // a row that ended in between is not there
		a.missingCommit(l.Generation, l.Sequence-uint64(len(packs)), 0)
		here = here[before:]
	}
	a.comparePacks(at, packs, here)
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

// finishCommits reports the rows at whose ends no pack was replayed.
func (a *audit) finishCommits() error {
	if len(a.packs) > 0 {
		a.missingCommit(a.generation, a.upTo.sequence, 0)
	}
	for a.commit.more && (a.commit.next.Generation < a.generation || a.commit.next.Generation == a.generation && a.commit.next.Sequence <= a.upTo.sequence) {
		a.report.add(atCommit(&a.commit.next).as(Unfounded))
		if err := a.commit.advance(); err != nil {
			return err
		}
	}
	return nil // what comes after was committed while the audit ran, or is in the snapshot
}
