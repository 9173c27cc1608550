package check

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
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

var meanings = map[Invariant]string{
	I1: "at most the stock is sold, each item once", I2: "no user owns more than the limit",
	I3: "a code has one outcome, told in the same bytes", I4: "each answered checkout has one attempts row",
	I5: "a sale that is told is in the ledger", I6: "a refusal is true and final",
	I7: "positions keep real time", Rules: "decisions are what the rules give",
	Ack: "what was queued gets decided", Linearizable: "an order explains all answers",
	Unknown: "porcupine came to an end", Input: "the records make sense",
}

// Finding is a contradiction.
type Finding struct {
	Invariant  Invariant `json:"invariant"`
	Text       string    `json:"text"`
	Operations []string  `json:"operations,omitempty"` // those that contradict each other, or the ledger
	Numbers    []int     `json:"numbers,omitempty"`    // their indexes in the history
}

// Counts says how much was judged.
type Counts struct {
	Operations int            `json:"operations"`
	Clients    int            `json:"clients"`
	Codes      int            `json:"codes"`
	Answers    map[string]int `json:"answers"` // by kind and status
	Sales      int            `json:"sales"`
	Decisions  int            `json:"decisions"`
	Sold       int            `json:"sold"`
	Repeats    int64          `json:"repeats"` // positions without a decision
	Attempts   int            `json:"attempts"`
	Holes      int            `json:"holes"`
	Partitions int            `json:"partitions"` // histories given to porcupine
	Steps      int            `json:"steps"`      // operations in them
	Reduced    int            `json:"reduced"`    // histories checked in reduced form
}

// Report is the judgement.
type Report struct {
	OK        bool              `json:"ok"`
	Verdict   string            `json:"verdict"`
	Counts    Counts            `json:"counts"`
	Violated  map[Invariant]int `json:"violated"` // findings per invariant, those not listed included
	Findings  []Finding         `json:"findings"` // Options.MaxFindings per invariant
	Witness   time.Duration     `json:"witness_ns"`
	Porcupine time.Duration     `json:"porcupine_ns"`
}

// conclude writes the verdict.
func (r *Report) conclude() {
	r.OK = len(r.Violated) == 0
	if r.OK {
		r.Verdict = fmt.Sprintf("PASS: %d operations of %d clients, no violation", r.Counts.Operations, r.Counts.Clients)
		return
	}
	parts := make([]string, 0, len(r.Violated))
	for _, inv := range slices.Sorted(maps.Keys(r.Violated)) {
		parts = append(parts, fmt.Sprintf("%s ×%d", inv, r.Violated[inv]))
	}
	r.Verdict = "FAIL: " + strings.Join(parts, ", ")
}

// Print writes the report for people. The verdict is its last line.
func (r *Report) Print(w io.Writer) error {
	var b strings.Builder
	c := &r.Counts
	fmt.Fprintf(&b, "operations  %d of %d clients, %d codes\n", c.Operations, c.Clients, c.Codes)
	for _, key := range slices.Sorted(maps.Keys(c.Answers)) {
		fmt.Fprintf(&b, "            %-22s %d\n", key, c.Answers[key])
	}
	fmt.Fprintf(&b, "ledger      %d sales, %d decisions, %d repeats, %d sold, %d attempts, %d holes\n",
		c.Sales, c.Decisions, c.Repeats, c.Sold, c.Attempts, c.Holes)
	fmt.Fprintf(&b, "witness     %v\n", r.Witness.Round(time.Millisecond))
	fmt.Fprintf(&b, "porcupine   %v, %d operations in %d histories, %d reduced\n",
		r.Porcupine.Round(time.Millisecond), c.Steps, c.Partitions, c.Reduced)
	for _, inv := range slices.Sorted(maps.Keys(r.Violated)) {
		r.printInvariant(&b, inv)
	}
	fmt.Fprintf(&b, "\n%s\n", r.Verdict)
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Report) printInvariant(b *strings.Builder, inv Invariant) {
	fmt.Fprintf(b, "\n%s, %s: %d\n", inv, meanings[inv], r.Violated[inv])
	listed := 0
	for _, f := range r.Findings {
		if f.Invariant != inv {
			continue
		}
		listed++
		fmt.Fprintf(b, "  - %s\n", f.Text)
		for _, o := range f.Operations {
			fmt.Fprintf(b, "      %s\n", o)
		}
	}
	if more := r.Violated[inv] - listed; more > 0 {
		fmt.Fprintf(b, "  … and %d more\n", more)
	}
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
