package archive

import (
	"bytes"
	"fmt"
	"strconv"
	"time"

	"notsale/pkg/allocation"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
)

// codec writes and reads the records of a section.
type codec[T any] struct {
	// write appends a record.
	write func(buf []byte, record *T) []byte
	// read reads the first record of the text, and how many bytes it takes.
	read func(text []byte) (record T, size int, ok bool)
	// follows reports whether a record may come after another.
	follows func(before, record *T) bool
	// number is the record's sequence or position; nil: it has none.
	number func(record *T) int64
}

// rowsOf is the codec of rows that have these fields.
func rowsOf[T any](fields func(*row, *T), follows func(before, record *T) bool, number func(*T) int64) codec[T] {
	return codec[T]{
		write: func(buf []byte, record *T) []byte {
			r := row{buf: buf}
			fields(&r, record)
			return append(r.buf, '\n')
		},
		read: func(text []byte) (record T, size int, ok bool) {
			line, _, ended := bytes.Cut(text, []byte{'\n'})
			r := row{reading: true, buf: line}
			fields(&r, &record)
			return record, len(line) + 1, ended && r.over && !r.bad
		},
		follows: follows,
		number:  number,
	}
}

var decisionCodec = rowsOf(func(r *row, d *allocation.Decision) {
	integer(r, &d.Position)
	codeID(r, &d.Code)
	integer(r, &d.Item)
	text(r, &d.User)
	unsigned(r, &d.Reason)
	integer(r, &d.At)
}, func(before, d *allocation.Decision) bool {
	return before.Position < d.Position
}, func(d *allocation.Decision) int64 { return d.Position })

var commitCodec = rowsOf(func(r *row, c *ledger.CommitRow) {
	integer(r, &c.Generation)
	unsigned(r, &c.Sequence)
	integer(r, &c.Position)
	hexed(r, &c.Chain)
	hexed(r, &c.Packs)
	integer(r, &c.Epoch)
	instant(r, &c.At)
}, func(before, c *ledger.CommitRow) bool {
	return before.Generation < c.Generation || before.Generation == c.Generation && before.Sequence < c.Sequence
}, nil)

var attemptCodec = rowsOf(func(r *row, a *ledger.RecordedAttempt) {
	uuid(r, &a.ID)
	integer(r, &a.Sale)
	integer(r, &a.At)
	text(r, &a.User)
	text(r, &a.Item)
	text(r, &a.Outcome)
	codeID(r, &a.Code)
	integer(r, &a.Expires)
	text(r, &a.Edge)
}, func(before, a *ledger.RecordedAttempt) bool {
	return bytes.Compare(before.ID[:], a.ID[:]) < 0
}, nil)

// messageCodec is that of both streams.
var messageCodec = codec[stream.Message]{
	write: func(buf []byte, m *stream.Message) []byte {
		buf = fmt.Appendf(buf, "%d %d %d\n", m.Sequence, int64(m.Time), len(m.Data))
		return append(append(buf, m.Data...), '\n')
	},
	read: readMessage,
	follows: func(before, m *stream.Message) bool {
		return before.Sequence+1 == m.Sequence
	},
	number: func(m *stream.Message) int64 { return int64(m.Sequence) },
}

// readMessage gives a message whose data is a part of the text.
func readMessage(text []byte) (m stream.Message, size int, ok bool) {
	head, rest, _ := bytes.Cut(text, []byte{'\n'})
	sequence, head, _ := bytes.Cut(head, []byte{' '})
	at, length, _ := bytes.Cut(head, []byte{' '})
	var errs [3]error
	var n uint64
	var t int64
	m.Sequence, errs[0] = strconv.ParseUint(string(sequence), 10, 64)
	t, errs[1] = strconv.ParseInt(string(at), 10, 64)
	n, errs[2] = strconv.ParseUint(string(length), 10, 32)
	if errs != [3]error{} || n >= uint64(len(rest)) || rest[n] != '\n' {
		return stream.Message{}, 0, false
	}
	m.Time, m.Data = sale.Instant(t), rest[:n:n]
	return m, len(text) - len(rest) + int(n) + 1, true
}

// streams is what is known of the streams beside their messages.
type streams struct {
	created time.Time // of the sale's stream
	floor   uint64    // see ledger.Recorded.Own
}

// saleTables are the kinds of records in the section sale, in their order: one of
// each of the first three, any number of the others.
var saleTables = []struct {
	name  string
	empty func() any
}{
	{"sales", func() any { return new(ledger.SaleRow) }},
	{"cursors", func() any { return new(ledger.Position) }}, // whose Mine depends on who asks, and is left out
	{"streams", func() any { return new(streams) }},
	{"holes", func() any { return new(ledger.HoleRow) }},
	{"items", func() any { return new(ledger.ItemRow) }},
	{"beyond", func() any { return new(ledger.RowKey) }},
}

// order returns the place of a record's kind in saleTables, and a number that goes
// up among records of that kind; 0: it has none.
func order(record any) (kind int, number int64) {
	switch s := record.(type) {
	case *ledger.SaleRow:
		return 0, 1
	case *ledger.Position:
		return 1, 1
	case *streams:
		return 2, 1
	case *ledger.HoleRow:
		return 3, s.Generation
	case *ledger.ItemRow:
		return 4, int64(s.Item)
	}
	return 5, 0
}

var saleCodec = rowsOf(saleFields, func(before, record *any) bool {
	was, last := order(*before)
	kind, number := order(*record)
	return kind > was || kind == was && (number > last || kind == 5)
}, nil)

func saleFields(r *row, record *any) {
	var table string
	if !r.reading {
		kind, _ := order(*record)
		table = saleTables[kind].name
	}
	if text(r, &table); r.reading {
		for _, t := range saleTables {
			if t.name == table {
				*record = t.empty()
			}
		}
	}
	switch s := (*record).(type) {
	case *ledger.SaleRow:
		saleRowFields(r, s)
	case *ledger.Position:
		cursorFields(r, s)
	case *streams:
		nanoseconds := s.created.UnixNano()
		integer(r, &nanoseconds)
		s.created = time.Unix(0, nanoseconds).UTC()
		unsigned(r, &s.floor)
	case *ledger.HoleRow:
		holeFields(r, s)
	case *ledger.ItemRow:
		integer(r, &s.Item)
		integer(r, &s.Sale)
		text(r, &s.User)
		codeID(r, &s.Code)
		integer(r, &s.Position)
		integer(r, &s.SoldAt)
	case *ledger.RowKey:
		text(r, &s.Table)
		text(r, &s.Key)
		integer(r, &s.Position)
	default:
		r.bad = true
	}
}

func saleRowFields(r *row, s *ledger.SaleRow) {
	integer(r, &s.Sale.ID)
	uuid(r, &s.Sale.UUID)
	uuid(r, &s.Sale.Installation)
	instant(r, &s.Sale.OpensAt)
	integer(r, &s.Sale.Stock)
	integer(r, &s.Sale.UserLimit)
	integer(r, &s.Sale.FirstItem)
	unsigned(r, &s.Sale.Seed)
	integer(r, &s.Sale.Rules)
	text(r, &s.State)
	integer(r, &s.Sold)
}

func cursorFields(r *row, p *ledger.Position) {
	c := &p.Cursor
	integer(r, &p.Epoch)
	integer(r, &c.Generation)
	unsigned(r, &c.Sequence)
	integer(r, &c.Position)
	integer(r, &c.Sold)
	fixed(r, c.Chain[:])
	fixed(r, c.PackHash[:])
	integer(r, &c.PackTime)
	integer(r, &c.Now)
	instant(r, &p.StreamCreated)
}

func holeFields(r *row, h *ledger.HoleRow) {
	integer(r, &h.Generation)
	unsigned(r, &h.Matching)
	unsigned(r, &h.CursorSequence)
	integer(r, &h.CursorPosition)
	hexed(r, &h.CursorChain)
	unsigned(r, &h.Resume)
	integer(r, &h.Epoch)
	instant(r, &h.FoundAt)
	integer(r, &h.CursorTime)
}
