package check

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// formatVersion is that of the files that Write makes.
const formatVersion = 1

// ErrFile is wrapped by every error of a file that is no whole history.
var ErrFile = errors.New("check: not a history file")

// line is one line of a file; one field is set. Ledger rows belong to the last
// ledger line; a body's number is how many stand before it.
type line struct {
	Head      *head      `json:"history,omitempty"`
	Ledger    *Ledger    `json:"ledger,omitempty"`
	Decision  *Decision  `json:"decision,omitempty"`
	Sold      *Sold      `json:"sold,omitempty"`
	Pack      *Pack      `json:"pack,omitempty"`
	Attempt   *Attempt   `json:"attempt,omitempty"`
	Body      *bodyLine  `json:"body,omitempty"`
	Operation *operation `json:"op,omitempty"`
	Tail      *tail      `json:"end,omitempty"`
}

type head struct {
	Version int   `json:"version"`
	Origin  int64 `json:"origin,omitempty"`
}

// bodyLine is a body that some operations share.
type bodyLine struct {
	Text  string `json:"text,omitempty"`
	Bytes []byte `json:"base64,omitempty"` // where it is not UTF-8
}

type operation struct {
	*Operation

	BodyNumber *int `json:"body,omitempty"` // none: empty
}

// tail makes a file that was cut visible.
type tail struct {
	Lines int `json:"lines"`
}

// writer counts lines and keeps the first error.
type writer struct {
	enc    *json.Encoder
	lines  int
	bodies map[string]int
	err    error
}

func (w *writer) put(l line) {
	if w.err == nil {
		w.err = w.enc.Encode(l)
		w.lines++
	}
}

// Write writes the history as lines of JSON.
func Write(to io.Writer, h *History) error {
	buf := bufio.NewWriter(to)
	w := &writer{enc: json.NewEncoder(buf), bodies: map[string]int{}}
	w.enc.SetEscapeHTML(false)
	w.put(line{Head: &head{Version: formatVersion, Origin: h.Origin}})
	for i := range h.Ledgers {
		w.ledger(&h.Ledgers[i])
	}
	for i := range h.Attempts {
		w.put(line{Attempt: &h.Attempts[i]})
	}
	for i := range h.Operations {
		o := &h.Operations[i]
		w.put(line{Operation: &operation{Operation: o, BodyNumber: w.body(o.Body)}})
	}
	w.put(line{Tail: &tail{Lines: w.lines}})
	if w.err != nil {
		return w.err
	}
	return buf.Flush()
}

func (w *writer) ledger(l *Ledger) {
	w.put(line{Ledger: l})
	for i := range l.Decisions {
		w.put(line{Decision: &l.Decisions[i]})
	}
	for i := range l.Sold {
		w.put(line{Sold: &l.Sold[i]})
	}
	for i := range l.Packs {
		w.put(line{Pack: &l.Packs[i]})
	}
}

// body returns the number of a body, which it writes when it is new.
func (w *writer) body(b []byte) *int {
	if len(b) == 0 {
		return nil
	}
	n, known := w.bodies[string(b)]
	if !known {
		n = len(w.bodies)
		w.bodies[string(b)] = n
		if utf8.Valid(b) {
			w.put(line{Body: &bodyLine{Text: string(b)}})
		} else {
			w.put(line{Body: &bodyLine{Bytes: b}})
		}
	}
	return &n
}

// Read reads what Write wrote. A file without its end is an error: what was
// cut off might contradict the rest.
func Read(from io.Reader) (*History, error) {
	dec := json.NewDecoder(bufio.NewReader(from))
	r := reader{history: &History{}}
	for n := 0; ; n++ {
		var l line
		if err := dec.Decode(&l); err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrFile, n+1, err)
		}
		if (n == 0) != (l.Head != nil) {
			return nil, fmt.Errorf("%w: line %d: a history line begins a file, and only that", ErrFile, n+1)
		}
		if l.Tail != nil {
			if l.Tail.Lines != n {
				return nil, fmt.Errorf("%w: %d lines of %d", ErrFile, n, l.Tail.Lines)
			}
			return r.history, nil
		}
		if err := r.add(&l); err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrFile, n+1, err)
		}
	}
}

type reader struct {
	history *History
	bodies  [][]byte
}

func (r *reader) add(l *line) error {
	h := r.history
	switch {
	case l.Head != nil:
		if l.Head.Version != formatVersion {
			return fmt.Errorf("version %d", l.Head.Version)
		}
		h.Origin = l.Head.Origin
	case l.Ledger != nil:
		h.Ledgers = append(h.Ledgers, *l.Ledger)
	case l.Attempt != nil:
		h.Attempts = append(h.Attempts, *l.Attempt)
	case l.Body != nil:
		if l.Body.Bytes == nil {
			l.Body.Bytes = []byte(l.Body.Text)
		}
		r.bodies = append(r.bodies, l.Body.Bytes)
	case l.Operation != nil && l.Operation.Operation != nil:
		return r.operation(l.Operation)
	default:
		return r.row(l)
	}
	return nil
}

func (r *reader) operation(o *operation) error {
	if n := o.BodyNumber; n != nil {
		if *n < 0 || *n >= len(r.bodies) {
			return fmt.Errorf("there is no body %d", *n)
		}
		o.Body = r.bodies[*n]
	}
	r.history.Operations = append(r.history.Operations, *o.Operation)
	return nil
}

// row adds a row of the last ledger.
func (r *reader) row(l *line) error {
	if len(r.history.Ledgers) == 0 {
		return errors.New("a row without a ledger, or an empty line")
	}
	of := &r.history.Ledgers[len(r.history.Ledgers)-1]
	switch {
	case l.Decision != nil:
		of.Decisions = append(of.Decisions, *l.Decision)
	case l.Sold != nil:
		of.Sold = append(of.Sold, *l.Sold)
	case l.Pack != nil:
		of.Packs = append(of.Packs, *l.Pack)
	default:
		return errors.New("a line of an unknown kind")
	}
	return nil
}
