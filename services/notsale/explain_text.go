package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"notsale/pkg/allocation"
	"notsale/services/auditor"
)

// explanationText is an explanation for people.
func explanationText(x *auditor.Explanation, signature string) string {
	var b strings.Builder
	switch {
	case x.Code != "":
		writeCode(&b, x, signature)
	case x.Item != 0:
		writeItem(&b, x)
	default:
		writeUser(&b, x)
	}
	writeRequests(&b, "requests", x.Requests, x.Total)
	if n := int64(len(x.Waiting.Asked)); n > 0 {
		writeRequests(&b, "requests that wait to be decided", x.Waiting.Asked, n)
	}
	fmt.Fprintf(&b, "  replayed up to position %d (sequence %d); %d requests wait beyond it\n", x.Position, x.Sequence, x.Waiting.Requests)
	writeAgreement(&b, x)
	return b.String()
}

func writeCode(b *strings.Builder, x *auditor.Explanation, signature string) {
	fmt.Fprintf(b, "code %s of sale %d", x.Code, x.Sale)
	if x.Item != 0 {
		fmt.Fprintf(b, ", item %d for user %s", x.Item, x.User)
	}
	if signature != "" {
		fmt.Fprintf(b, " (%s)", signature)
	}
	fmt.Fprintf(b, "\n  %s\n", verdictText(x))
	for i := range x.Causes {
		fmt.Fprintf(b, "  %s\n", causeText(x, &x.Causes[i]))
	}
	if c := x.Checkout; c != nil {
		fmt.Fprintf(b, "  checked out %s at %s, expires %s\n", c.Time, c.Edge, c.Expires)
	} else {
		fmt.Fprintln(b, "  no checkout that gave it is recorded")
	}
}

// notKnown is said where the replay had to end.
const notKnown = "NOT KNOWN: the replay ends before the ledger's cursor."

// verdictText says what became of a code.
func verdictText(x *auditor.Explanation) string {
	would := "It would be refused:"
	if len(x.Causes) == 0 {
		would = "Nothing stands against it."
	}
	switch x.Verdict {
	case auditor.Granted:
		return "GRANTED at " + place(&x.Requests[0])
	case auditor.Refused:
		return fmt.Sprintf("REFUSED at %s: %s", place(&x.Requests[0]), x.Requests[0].Reason)
	case auditor.Waiting:
		return "WAITING in the stream, not decided yet. " + would
	case auditor.NeverQueued:
		return "NEVER REACHED THE QUEUE: refused by an edge from the cache, or not sent. " + would
	case auditor.Unknown:
	}
	return notKnown + " " + would
}

// causeText says what a refusal rests on.
func causeText(x *auditor.Explanation, c *auditor.Cause) string {
	if c.LostTo == nil {
		if c.Reason != allocation.CodeExpired.String() {
			return c.Reason + ": the stream does not show what it rests on"
		}
		return fmt.Sprintf("%s: it expired %s, before the engine's time %s", c.Reason, c.Expires, c.Engine)
	}
	var what string
	reason, _ := allocation.ParseReason(c.Reason)
	switch reason.Scope() {
	case allocation.ScopeSale:
		what = fmt.Sprintf("the last of %d items went", c.Grants)
	case allocation.ScopeUser:
		what = fmt.Sprintf("the last of the user's %d items, of at most %d, was item %d, granted", c.Grants, x.UserLimit, c.LostTo.Item)
	case allocation.ScopeItem, allocation.ScopeCode:
		what = fmt.Sprintf("the item went to user %s, code %s,", c.LostTo.User, c.LostTo.Code)
	}
	return fmt.Sprintf("%s: %s at %s", c.Reason, what, place(c.LostTo))
}

func writeItem(b *strings.Builder, x *auditor.Explanation) {
	fmt.Fprintf(b, "item %d of sale %d\n", x.Item, x.Sale)
	if x.Owner == nil && x.Verdict == auditor.Unknown {
		fmt.Fprintf(b, "  %s Up to there nobody bought it\n", notKnown)
		return
	}
	if x.Owner == nil {
		fmt.Fprintln(b, "  nobody's")
		return
	}
	fmt.Fprintf(b, "  sold to user %s, code %s, at %s\n", x.Owner.User, x.Owner.Code, place(x.Owner))
}

func writeUser(b *strings.Builder, x *auditor.Explanation) {
	fmt.Fprintf(b, "user %s in sale %d\n  %d items granted, of at most %d\n", x.User, x.Sale, x.Grants, x.UserLimit)
	if x.Verdict == auditor.Unknown {
		fmt.Fprintf(b, "  %s What came after is not counted\n", notKnown)
	}
	counts := make([]string, 0, len(x.Outcomes))
	for _, outcome := range slices.Sorted(maps.Keys(x.Outcomes)) {
		counts = append(counts, fmt.Sprintf("%d %s", x.Outcomes[outcome], outcome))
	}
	if len(counts) == 0 {
		counts = append(counts, "none recorded")
	}
	fmt.Fprintf(b, "  checkouts: %s\n", strings.Join(counts, ", "))
}

// place says where in the queue a request is.
func place(r *auditor.Request) string {
	if r.Unproved {
		return fmt.Sprintf("position %d, %s (its message is lost in a hole: only the ledger says so)", r.Position, r.Time)
	}
	return fmt.Sprintf("position %d, %s (sequence %d)", r.Position, r.Time, r.Sequence)
}

func writeRequests(b *strings.Builder, what string, requests []auditor.Request, total int64) {
	fmt.Fprintf(b, "  %d %s", total, what)
	if n := len(requests); int64(n) < total {
		fmt.Fprintf(b, ", the first %d", n)
	}
	fmt.Fprintln(b)
	if len(requests) == 0 {
		return
	}
	const minWidth, tabWidth, padding = 0, 8, 2
	w := tabwriter.NewWriter(b, minWidth, tabWidth, padding, ' ', 0)
	fmt.Fprintln(w, "    POSITION\tSEQUENCE\tTIME\tEDGE\tITEM\tUSER\tANSWER")
	for i := range requests {
		r := &requests[i]
		sequence, edge := fmt.Sprint(r.Sequence), r.Edge
		if r.Unproved {
			sequence, edge = "lost", "lost"
		}
		fmt.Fprintf(w, "    %d\t%s\t%s\t%s\t%d\t%s\t%s\n", r.Position, sequence, r.Time, edge, r.Item, r.User, answerText(r))
	}
	_ = w.Flush() // into memory
}

func answerText(r *auditor.Request) string {
	switch {
	case r.Reason == "":
		return "waits"
	case r.Repeat():
		return fmt.Sprintf("%s, as at position %d", r.Reason, r.Decided)
	}
	return r.Reason
}

func writeAgreement(b *strings.Builder, x *auditor.Explanation) {
	if x.Agree() {
		fmt.Fprintln(b, "  ledger and stream agree about it")
	}
	for _, f := range x.Disagree {
		fmt.Fprintf(b, "  FINDING %s\n", f)
	}
	if x.Others > 0 {
		fmt.Fprintf(b, "  %d findings about other things: see `notsale audit --sale %d`\n", x.Others, x.Sale)
	}
}
