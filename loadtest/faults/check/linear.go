package check

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	"notsale/pkg/allocation"
	"notsale/pkg/sale"
)

const (
	// wholeSize is how long a history may be to be given to porcupine as it
	// is: its memory grows with the square, 2 MB at this length.
	wholeSize = 4096
	// wholeTime is for a history as it is. One that is linearizable takes
	// microseconds; one that is not may take for ever, and is reduced.
	wholeTime = 200 * time.Millisecond
	// reducedTime is for a history in reduced form.
	reducedTime = 5 * time.Second
	// shownOps is how many operations of a history are shown in a finding.
	shownOps = 8
)

// projection is the history of one item, user or code.
type projection struct {
	name  string
	model porcupine.Model
	steps []step
}

// step is an operation in a projection. The last one, by the ledger, has no op.
type step struct {
	op         *op
	start, end int64
	input      any
}

// linearize gives every projection to porcupine, until the deadline.
func (c *checker) linearize(deadline time.Time) {
	t := c.timeline()
	for _, b := range c.ledgers {
		for _, p := range c.items(b, t) {
			c.judge(&p, deadline)
		}
		for _, p := range c.users(b, t) {
			c.judge(&p, deadline)
		}
	}
	for _, s := range c.stories {
		if p := c.codeHistory(s, t); len(p.steps) > 0 {
			c.judge(&p, deadline)
		}
	}
}

// timeline returns a time after everything: what has no known end ends then.
func (c *checker) timeline() int64 {
	var t int64
	for i := range c.ops {
		t = max(t, c.ops[i].Start, c.ops[i].End)
	}
	return t + 1
}

// judge gives one history to porcupine.
func (c *checker) judge(p *projection, deadline time.Time) {
	c.report.Partitions++
	result, steps := porcupine.Unknown, p.steps
	if len(steps) <= wholeSize {
		result = run(p.model, steps, min(wholeTime, time.Until(deadline)))
	}
	if result == porcupine.Unknown {
		c.report.Reduced++
		steps = reduce(p.steps)
		result = run(p.model, steps, min(reducedTime, time.Until(deadline)))
	}
	switch result {
	case porcupine.Ok:
	case porcupine.Illegal:
		stuck := blame(p.model, reduce(p.steps), deadline)
		c.findf(Linearizable, shown(stuck, p.steps), "no order explains the %d operations on %s%s", len(p.steps), p.name, stuck.sentence())
	case porcupine.Unknown:
		c.findf(Unknown, shown(nil, p.steps), "porcupine did not finish with the %d operations on %s", len(steps), p.name)
	}
}

// run asks porcupine. No time left means unknown; porcupine takes 0 as for ever.
func run(m porcupine.Model, steps []step, timeout time.Duration) porcupine.CheckResult {
	if timeout <= 0 {
		return porcupine.Unknown
	}
	return porcupine.CheckOperationsTimeout(m, operations(steps), timeout)
}

func operations(steps []step) []porcupine.Operation {
	ops := make([]porcupine.Operation, len(steps))
	for i, s := range steps {
		ops[i] = porcupine.Operation{Input: s.input, Call: s.start, Return: s.end, Metadata: i}
	}
	return ops
}

// blame returns the step at which the longest order breaks off, nil if that
// cannot be said.
func blame(m porcupine.Model, steps []step, deadline time.Time) *step {
	timeout := min(wholeTime, time.Until(deadline))
	if timeout <= 0 {
		return nil
	}
	result, info := porcupine.CheckOperationsVerbose(m, operations(steps), timeout)
	if result != porcupine.Illegal {
		return nil
	}
	var longest []int
	for _, partial := range info.PartialLinearizations()[0] {
		if len(partial) > len(longest) {
			longest = partial
		}
	}
	var stuck *step
	for i := range steps {
		if !slices.Contains(longest, i) && (stuck == nil || steps[i].end < stuck.end) {
			stuck = &steps[i]
		}
	}
	return stuck
}

func (s *step) sentence() string {
	switch {
	case s == nil:
		return ""
	case s.op == nil:
		return ": it breaks off at what the ledger says in the end"
	}
	return fmt.Sprintf(": it breaks off at operation %d", s.op.number)
}

// shown returns operations to print: the stuck one, then some of the others by
// start.
func shown(stuck *step, steps []step) []*op {
	var ops []*op
	if stuck != nil && stuck.op != nil {
		ops = append(ops, stuck.op)
	}
	rest := slices.Clone(steps)
	slices.SortStableFunc(rest, func(a, b step) int { return cmp.Compare(a.start, b.start) })
	for _, s := range rest {
		if s.op != nil && len(ops) < shownOps {
			ops = append(ops, s.op)
		}
	}
	return ops
}

// reduce merges steps that do or ask the same: deciding ones act from the first
// start to the first end; asking ones hold from the first end on, or until the
// last start.
func reduce(steps []step) []step {
	merged := map[any]int{}
	var out []step
	for _, s := range steps {
		i, seen := merged[s.input]
		if !seen {
			merged[s.input] = len(out)
			out = append(out, s)
			continue
		}
		m := &out[i]
		switch sort := sortOf(s.input); {
		case sort == decides && s.end < m.end:
			s.start = min(s.start, m.start)
			*m = s
		case sort == decides:
			m.start = min(s.start, m.start)
		case sort == staysTrue && s.end < m.end, sort == staysFalse && s.start > m.start:
			*m = s
		}
	}
	return out
}

type inputSort uint8

const (
	decides    inputSort = iota // may change the state
	staysTrue                   // once it can be said, it always can
	staysFalse                  // once it cannot be said, it never can
)

func sortOf(input any) inputSort {
	switch in := input.(type) {
	case act:
		return [...]inputSort{grants: decides, full: staysTrue, has: staysTrue, lacks: staysFalse, is: staysTrue}[in.verb]
	case event:
		switch {
		case in.tells == undecided, in.tells == rejected:
			return staysFalse
		case in.reads:
			return staysTrue
		}
	}
	return decides
}

// set collects the steps of one item or user.
type set struct {
	projection

	numbers map[string]int // of the codes that are granted
}

// number returns the number of a code, none for a code that is never granted.
func (s *set) number(code string) int {
	if n, ok := s.numbers[code]; ok {
		return n
	}
	return none
}

// grantedCodes numbers all codes that somebody says were granted.
func (c *checker) grantedCodes(b *ledger, of func(*story) string) map[string]map[string]int {
	numbers := map[string]map[string]int{}
	for _, s := range c.stories {
		if s.ledger != b || s.first(granted) == nil && (s.decision == nil || s.decision.Reason != allocation.Granted) {
			continue
		}
		key := of(s)
		if numbers[key] == nil {
			numbers[key] = map[string]int{}
		}
		numbers[key][s.code] = len(numbers[key])
	}
	return numbers
}

// outcome is what an operation on a code says, or if it says nothing, what the
// ledger says of its code; it may have come about at any time until end.
func (c *checker) outcome(o *op, never int64) (which tells, reason allocation.Reason, end int64) {
	switch o.answer.tells {
	case granted:
		return granted, allocation.Granted, o.End
	case refused, rejected, undecided, invalid:
		return o.answer.tells, o.answer.reason, o.End
	case nothing, pending:
		if s := c.byCode[o.Code]; o.Kind == Purchase && s != nil && s.decision != nil {
			if s.decision.Reason == allocation.Granted {
				return granted, allocation.Granted, never
			}
			return refused, s.decision.Reason, never
		}
	}
	return nothing, allocation.Granted, never
}

// items returns the histories of all items of a sale.
func (c *checker) items(b *ledger, never int64) []projection {
	numbers := c.grantedCodes(b, func(s *story) string { return s.claims().Item.String() })
	model := owners(1)
	sets := make([]set, b.Stock)
	for i := range sets {
		item := (b.FirstItem + sale.ItemID(i)).String()
		sets[i] = set{projection{name: "item " + item, model: model}, numbers[item]}
	}
	var gone *step // the first to end that says sold out
	for i := range c.ops {
		o := &c.ops[i]
		if o.ledger != b || !b.contains(o.Item) {
			continue
		}
		s := &sets[o.Item-b.FirstItem]
		st, soldOut, ok := c.itemStep(s, o, never)
		if ok {
			s.steps = append(s.steps, st)
		}
		if soldOut && (gone == nil || st.end < gone.end) {
			gone = &step{op: o, start: o.Start, end: st.end, input: act{verb: full, code: none}}
		}
	}
	out := make([]projection, 0, len(sets))
	for i := range sets {
		s := &sets[i]
		if gone != nil {
			s.steps = append(s.steps, *gone)
		}
		if len(s.steps) == 0 {
			continue
		}
		last := act{verb: is}
		if e := b.owner[b.FirstItem+sale.ItemID(i)]; e != nil {
			last.set = with("", max(0, s.number(e.Code)))
		}
		s.steps = append(s.steps, step{start: never + 1, end: never + 2, input: last})
		out = append(out, s.projection)
	}
	return out
}

// itemStep says what an operation does to its item.
func (c *checker) itemStep(s *set, o *op, never int64) (st step, soldOut, ok bool) {
	if o.Kind == Checkout {
		reason := checkoutReason(o)
		return step{op: o, start: o.Start, end: o.End, input: act{verb: full, code: none}}, reason == allocation.SoldOut, reason != allocation.Granted
	}
	st, reason, ok := c.ownerStep(s, o, never, allocation.ItemTaken, allocation.SoldOut)
	return st, ok && reason == allocation.SoldOut, ok
}

// ownerStep says what an operation on a code does to its item, or to its user: a
// refusal for one of these reasons says that there is no room for it.
func (c *checker) ownerStep(s *set, o *op, never int64, noRoom ...allocation.Reason) (step, allocation.Reason, bool) {
	which, reason, end := c.outcome(o, never)
	a := act{code: s.number(o.Code)}
	switch {
	case which == granted && o.Kind == Lookup:
		a.verb = has
	case which == granted:
		a.verb = grants
	case which == undecided:
		a.verb = lacks
	case (which == refused || which == rejected) && slices.Contains(noRoom, reason):
		a.verb = full
	default:
		return step{}, reason, false
	}
	return step{op: o, start: o.Start, end: end, input: a}, reason, true
}

// users returns the histories of all users of a sale.
func (c *checker) users(b *ledger, never int64) []projection {
	numbers := c.grantedCodes(b, func(s *story) string { return s.claims().User })
	model := owners(b.UserLimit)
	sets := map[string]*set{}
	for i := range c.ops {
		o := &c.ops[i]
		if o.ledger != b || o.Kind == Checkout {
			continue
		}
		s := sets[o.User]
		if s == nil {
			s = &set{projection{name: fmt.Sprintf("user %q", o.User), model: model}, numbers[o.User]}
			sets[o.User] = s
		}
		if st, _, ok := c.ownerStep(s, o, never, allocation.LimitReached); ok {
			s.steps = append(s.steps, st)
		}
	}
	out := make([]projection, 0, len(sets))
	for _, user := range sorted(sets) {
		s := sets[user]
		last := act{verb: is}
		for _, e := range b.grants[user] {
			last.set = with(last.set, max(0, s.number(e.Code)))
		}
		s.steps = append(s.steps, step{start: never + 1, end: never + 2, input: last})
		out = append(out, s.projection)
	}
	return out
}

// codeHistory returns the history of a code.
func (c *checker) codeHistory(s *story, never int64) projection {
	p := projection{name: "code " + s.code, model: fates()}
	for _, o := range s.ops {
		which, reason, end := c.outcome(o, never)
		e := event{tells: which, reads: o.Kind == Lookup}
		switch which {
		case nothing, invalid, pending:
			continue
		case granted:
			e.fate, e.any = fate{reason: reason, body: string(o.Body)}, o.answer.tells != granted
		case refused:
			e.fate, e.any = fate{reason: reason, position: o.answer.position}, o.answer.tells != refused
		case rejected, undecided:
		}
		if e.any {
			e.fate.body = ""
		}
		p.steps = append(p.steps, step{op: o, start: o.Start, end: end, input: e})
	}
	return p
}
