package check

import (
	"fmt"
	"slices"
	"time"

	"notsale/pkg/sale"
)

// Options say how to judge.
type Options struct {
	// Timeout is for porcupine as a whole. What is not known then is a failure.
	Timeout time.Duration
	// SoldOut says that enough was asked for: sold must be the stock.
	SoldOut bool
	// MaxFindings is how many findings per invariant are listed; all count.
	MaxFindings int
}

// DefaultOptions allow porcupine a minute, and list ten findings per invariant.
func DefaultOptions() Options {
	return Options{Timeout: time.Minute, MaxFindings: 10}
}

// Check judges a history: by the order of the positions first, then by porcupine.
// The system must have been idle before the ledger was read: what was answered 202
// must be decided by then.
func Check(h *History, o Options) *Report {
	c := newChecker(h, o)
	c.checkPositions()
	c.linearize(time.Now().Add(o.Timeout))
	return c.report
}

func (c *checker) checkPositions() {
	for _, b := range c.ledgers {
		c.checkLedger(b)
		c.replay(b)
	}
	for _, s := range c.stories {
		c.checkStory(s)
	}
	for _, b := range c.ledgers {
		c.checkTold(b)
	}
	c.checkCheckouts()
	for _, b := range c.ledgers {
		c.checkOrder(b)
		c.checkLookups(b)
	}
	c.checkAttempts()
}

// op is an operation of the history with what its answer says.
type op struct {
	*Operation

	number int
	answer answer
	ledger *ledger // of its sale; nil: no ledger has it
}

// mayBePublished reports whether the request may have reached the stream.
func (o *op) mayBePublished() bool {
	return o.Kind == Purchase && o.answer.tells != rejected && o.answer.tells != invalid
}

// story is all that is known of one code.
type story struct {
	code     string
	ledger   *ledger // nil: no ledger has its sale
	ops      []*op   // purchases and lookups, by start
	issued   []*op   // checkouts that gave it
	sent     *op     // the first that may have been published
	decision *entry  // in the ledger; nil: none
}

// evidence are some operations about the code, to be printed.
func (s *story) evidence() []*op {
	if s == nil {
		return nil
	}
	for _, o := range s.ops {
		if o.answer.tells == granted {
			return []*op{o}
		}
	}
	return s.ops[:min(len(s.ops), 2)]
}

// claims returns item, user and expiry of the code as the clients know them.
func (s *story) claims() *op {
	switch {
	case s == nil:
		return nil
	case len(s.issued) > 0:
		return s.issued[0]
	case len(s.ops) > 0:
		return s.ops[0]
	}
	return nil
}

// entry is a decision in its place.
type entry struct {
	*Decision

	rank  int    // among the sale's decisions
	story *story // nil: no operation names the code
	since *op    // sent last of those that first asked for this or an earlier decision
	told  [3]*op // by proof: the first answer that proves it made; nil: none
}

// proof is how an answer proves that a decision was made, or was bound to be.
type proof int

const (
	byAnswer  proof = iota // its code was answered with it
	byFact                 // a refusal from the cache rests on it
	byPromise              // its code was answered 202
)

// proofs say what speaks against the system when a proof comes too early.
var proofs = [...]struct {
	invariant Invariant
	text      string
}{
	byAnswer:  {I7, "was answered with its decision"},
	byFact:    {I6, "was refused from the cache"},
	byPromise: {I7, "was answered 202"},
}

// ledger is one sale's ledger, indexed.
type ledger struct {
	*Ledger

	entries []entry                // by position
	owner   map[sale.ItemID]*entry // grants
	grants  map[string][]*entry    // grants of a user, by position
	sold    []*entry               // grants, by position
}

type checker struct {
	history *History
	options Options
	report  *Report
	ops     []op
	ledgers []*ledger
	byID    map[sale.ID]*ledger
	stories []*story // by first appearance
	byCode  map[string]*story
}

// findf records a contradiction.
func (c *checker) findf(inv Invariant, ops []*op, format string, args ...any) {
	c.report.Violated[inv]++
	if c.report.Violated[inv] > c.options.MaxFindings {
		return
	}
	f := Finding{Invariant: inv, Text: fmt.Sprintf(format, args...)}
	for _, o := range ops {
		if text := o.String(); !slices.Contains(f.Operations, text) {
			f.Operations = append(f.Operations, text)
		}
	}
	c.report.Findings = append(c.report.Findings, f)
}
