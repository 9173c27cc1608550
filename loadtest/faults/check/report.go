package check

import (
	"fmt"
	"strconv"
	"strings"
)

// Invariant names what a finding speaks against.
type Invariant string

// The invariants, those of the design by its numbers.
const (
	I1           Invariant = "I1" // sold at most stock, each item once
	I2           Invariant = "I2" // at most the limit per user
	I3           Invariant = "I3" // one outcome per code, the same bytes
	I4           Invariant = "I4" // one attempts row per answered checkout
	I5           Invariant = "I5" // "sold" only after the commit, learnt by asking
	I6           Invariant = "I6" // refusals are true and final
	I7           Invariant = "I7" // positions keep real time
	Rules        Invariant = "rules"
	Ack          Invariant = "ack"    // what was queued gets decided
	Linearizable Invariant = "linear" // porcupine finds no order
	Unknown      Invariant = "unknown"
	Input        Invariant = "input" // the records make no sense
)

// Finding is a contradiction.
type Finding struct {
	Invariant  Invariant
	Text       string
	Operations []string // those that contradict each other, or the ledger
}

// Report is the judgement.
type Report struct {
	Violated   map[Invariant]int // findings per invariant, those not listed included
	Findings   []Finding         // Options.MaxFindings per invariant
	Partitions int               // histories given to porcupine
	Reduced    int               // of these, in reduced form
}

// OK reports whether nothing was found.
func (r *Report) OK() bool { return len(r.Violated) == 0 }

// Texts are the findings, each behind its invariant, and how many more there are.
func (r *Report) Texts() (texts []string) {
	listed := map[Invariant]int{}
	for _, f := range r.Findings {
		listed[f.Invariant]++
		texts = append(texts, fmt.Sprintf("%s: %s %q", f.Invariant, f.Text, f.Operations))
	}
	for _, inv := range sorted(r.Violated) {
		if more := r.Violated[inv] - listed[inv]; more > 0 {
			texts = append(texts, fmt.Sprintf("%s: %d more", inv, more))
		}
	}
	return texts
}

// String prints an operation on one line.
func (o *op) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "#%d client %d %s", o.number, o.Client, o.Kind)
	if o.Code != "" {
		fmt.Fprintf(&b, " code %s", o.Code)
	}
	fmt.Fprintf(&b, " item %s user %q via %s", o.itemParam(), o.User, o.Edge)
	if !o.Answered() {
		fmt.Fprintf(&b, " [%s, no answer]", millis(o.Start))
		return b.String()
	}
	fmt.Fprintf(&b, " [%s, %s] %d", millis(o.Start), millis(o.End), o.Status)
	switch o.answer.tells {
	case granted:
		fmt.Fprintf(&b, " granted at position %d, %s", o.answer.position, o.answer.at)
	case refused:
		fmt.Fprintf(&b, " %s at position %d, %s", o.answer.reason, o.answer.position, o.answer.at)
	case rejected:
		b.WriteString(" " + o.answer.reason.String() + " from the cache")
	case nothing, pending, undecided, invalid:
	}
	return b.String()
}

// row prints a decision on one line.
func (d *Decision) String() string {
	return "decision " + strconv.FormatInt(d.Position, 10) + " (" + d.Reason.String() + ", code " + d.Code +
		", item " + d.Item.String() + ", user " + strconv.Quote(d.User) + ", " + d.At.String() + ")"
}
