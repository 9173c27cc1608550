package auditor

import (
	"fmt"

	"notsale/pkg/sale"
)

// Kind is what sort of mismatch a finding is.
type Kind string

// The kinds of findings.
const (
	Differs    Kind = "differs"    // a field is not what the stream gives
	Missing    Kind = "missing"    // the ledger lacks a row that the stream gives
	Unfounded  Kind = "unfounded"  // the ledger has a row that nothing in the stream gives
	Impossible Kind = "impossible" // a row that no history could give
	Damaged    Kind = "damaged"    // a part of an archive is not as it was written
	LostStream Kind = "lost"       // the stream lacks messages that were decided, and no hole says so
	// NotAudited says after which position nothing was audited: the rows of a hole
	// do not agree, and all that follows rests on them.
	NotAudited Kind = "not audited"
)

// Finding is one mismatch.
type Finding struct {
	Kind     Kind    `json:"kind"`
	Sale     sale.ID `json:"sale"`
	Table    string  `json:"table"`
	Row      string  `json:"row,omitempty"`   // key of the row
	Field    string  `json:"field,omitempty"` // column
	Hole     int64   `json:"hole,omitempty"`  // generation that the hole opens in which the row lies: no stream proves it
	Sequence uint64  `json:"sequence,omitempty"`
	Position int64   `json:"position,omitempty"`
	Offset   int64   `json:"offset,omitempty"` // of the byte in an archive
	Ledger   string  `json:"ledger,omitempty"` // what the row has
	Stream   string  `json:"stream,omitempty"` // what it should have
}

// String returns the finding as one line.
func (f Finding) String() string {
	text := fmt.Sprintf("sale %d: %s %s %s", f.Sale, f.Table, f.Row, f.Kind)
	if f.Kind == Damaged {
		return fmt.Sprintf("sale %d: archive %s damaged: at byte %d is %s, want %s", f.Sale, f.Row, f.Offset, f.Ledger, f.Stream)
	}
	if f.Kind == NotAudited {
		text += fmt.Sprintf(" after position %d", f.Position)
	}
	if f.Field != "" {
		text += fmt.Sprintf(": %s is %s, the stream gives %s", f.Field, f.Ledger, f.Stream)
	}
	if f.Hole > 0 {
		text += fmt.Sprintf(" (in hole %d)", f.Hole)
	}
	if f.Sequence > 0 {
		text += fmt.Sprintf(" (sequence %d)", f.Sequence)
	}
	return text
}

// as returns a finding of that kind about the same row.
func (f Finding) as(kind Kind) Finding {
	f.Kind = kind
	return f
}

// MaxFindings is how many findings a report lists; the rest is counted.
const MaxFindings = 1000

// Report is what an audit came to.
type Report struct {
	Sale             sale.ID   `json:"sale"`
	Installation     sale.UUID `json:"installation"`
	UUID             sale.UUID `json:"uuid"`
	Stock            int       `json:"stock"`
	Generation       int64     `json:"generation"`
	Sequence         uint64    `json:"sequence"`
	Position         int64     `json:"position"`
	Sold             int       `json:"sold"`
	Chain            string    `json:"chain"` // as replayed; empty: not to the end
	Packs            int       `json:"packs"`
	Requests         int64     `json:"requests"`
	Decisions        int64     `json:"decisions"`
	Commits          int       `json:"commits"`
	Holes            int       `json:"holes"`
	Unproved         int64     `json:"unproved"`         // decisions whose messages a hole has swallowed
	UnprovedSold     int64     `json:"unproved_sold"`    // of these, the grants
	Waiting          int64     `json:"waiting_messages"` // of the stream, beyond the cursor
	Attempts         int64     `json:"attempts"`
	AttemptsSequence uint64    `json:"attempts_sequence"`   // last message of the sale's stream in which they were counted
	Unrecorded       int64     `json:"unrecorded_attempts"` // in the stream; no recorder has come to them yet
	UnprovedAttempts int64     `json:"unproved_attempts"`   // rows whose messages went with an old stream of no sale, or with a lost tail
	Findings         []Finding `json:"findings"`
	Total            int       `json:"total_findings"`

	began     int64 // generation at which the ledger stood when the audit began
	stoppedAt int64 // generation of the hole at which the replay stopped; 0: none
}

// Clean reports whether ledger and stream agree.
func (r *Report) Clean() bool { return r.Total == 0 }

func (r *Report) add(f Finding) {
	r.Total++
	if len(r.Findings) < MaxFindings {
		f.Sale = r.Sale
		r.Findings = append(r.Findings, f)
	}
}

// compare adds a finding where two values differ.
func compare[T comparable](r *Report, at Finding, field string, ledger, stream T) {
	if ledger != stream {
		at.Kind, at.Field, at.Ledger, at.Stream = Differs, field, fmt.Sprint(ledger), fmt.Sprint(stream)
		r.add(at)
	}
}
