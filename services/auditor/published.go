package auditor

import (
	"encoding/hex"
	"fmt"

	"notsale/pkg/allocation"
	"notsale/services/auditor/statement"
)

// tablePublished is the table of the statement in findings.
const tablePublished = "statement"

func atPublished(p *statement.Statement) Finding {
	return Finding{Table: tablePublished, Row: p.UUID.String(), Sequence: p.Sequence, Position: p.Position}
}

// comparePublished compares the replay with what was published, when it is there.
func (a *audit) comparePublished(c *allocation.Cursor) {
	p := a.o.Against
	if p == nil || p.Generation != c.Generation || p.Sequence != c.Sequence {
		return
	}
	a.reached = true
	r, at, s := a.report, atPublished(p), a.opening.Sale
	compare(r, at, "installation", p.Installation, s.Installation)
	compare(r, at, "sale", p.Sale, s.ID)
	compare(r, at, "uuid", p.UUID, s.UUID)
	compare(r, at, "stock", p.Stock, s.Stock)
	compare(r, at, "position", p.Position, c.Position)
	compare(r, at, "sold", p.Sold, c.Sold)
	compare(r, at, "chain", hex.EncodeToString(p.Chain[:]), hex.EncodeToString(c.Chain[:]))
}

// missedPublished says so if the replay has not been where the statement was made.
// What lies in a hole nothing proves: what the ledger says of its
// chain counts for nothing.
func (a *audit) missedPublished(c *allocation.Cursor) {
	if p := a.o.Against; p != nil && !a.reached {
		at := atPublished(p)
		at.Kind, at.Field = Missing, "sequence"
		at.Ledger, at.Stream = fmt.Sprintf("%d/%d", p.Generation, p.Sequence), fmt.Sprintf("%d/%d", c.Generation, c.Sequence)
		if p.Generation < c.Generation {
			at.Stream += ", and a hole where that was"
		}
		a.report.add(at)
	}
}

// comparePublishedAttempts compares how many attempts there are with how many were
// published.
func (c *comparison) comparePublishedAttempts() {
	p := c.o.Against
	if p == nil || p.AttemptsSequence == 0 {
		return
	}
	var n int64
	for i := range c.stored {
		if c.stored[i].sequence <= p.AttemptsSequence {
			n++
		}
	}
	compare(c.report, atPublished(p), "attempts", p.Attempts, n)
}

// Statement returns what can be published about a sale after a clean audit.
func (r *Report) Statement() (statement.Statement, error) {
	if !r.Clean() {
		return statement.Statement{}, fmt.Errorf("sale %d has %d findings: only what is right is published", r.Sale, r.Total)
	}
	s := statement.Statement{
		Installation: r.Installation, Sale: r.Sale, UUID: r.UUID, Generation: r.Generation, Sequence: r.Sequence, Position: r.Position,
		Stock: r.Stock, Sold: r.Sold, Holes: r.Holes, Unproved: r.Unproved, Attempts: r.Attempts, AttemptsSequence: r.AttemptsSequence,
		Final: r.Sold == r.Stock,
	}
	if _, err := hex.Decode(s.Chain[:], []byte(r.Chain)); err != nil {
		return s, fmt.Errorf("the chain of sale %d: %w", r.Sale, err)
	}
	return s, s.Validate()
}
