package archive

import (
	"bytes"
	"fmt"
	"strconv"

	"notsale/pkg/allocation"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
)

// codec writes and reads the records of a section.
type codec[T any] struct {
	// write appends a record.
	write func(buf []byte, record *T) []byte
	// read reads the first record of the text, and returns how many bytes it takes.
	read func(text []byte, record *T) (size int, ok bool)
	// follows reports whether a record may come after another.
	follows func(before, record *T) bool
	// number is the record's sequence or position; nil: it has none.
	number func(record T) int64
}

// rowsOf is the codec of rows that have these fields. They are asked for with the
// first field of the row that is read, or nil.
func rowsOf[T any](fields func(record *T, first []byte) []any, follows func(before, record *T) bool, number func(T) int64) codec[T] {
	return codec[T]{
		write: func(buf []byte, record *T) []byte { return appendRow(buf, fields(record, nil)) },
		read: func(text []byte, record *T) (size int, ok bool) {
			line, _, ended := bytes.Cut(text, []byte{'\n'})
			first, _, _ := bytes.Cut(line, []byte{'\t'})
			return len(line) + 1, ended && readRow(line, fields(record, first))
		},
		follows: follows,
		number:  number,
	}
}

var decisionCodec = rowsOf(func(d *allocation.Decision, _ []byte) []any {
	return []any{&d.Position, &d.Code, &d.Item, &d.User, &d.Reason, &d.At}
}, func(before, d *allocation.Decision) bool {
	return before.Position < d.Position
}, func(d allocation.Decision) int64 { return d.Position })

var commitCodec = rowsOf(func(c *ledger.CommitRow, _ []byte) []any {
	return []any{&c.Generation, &c.Sequence, &c.Position, &c.Chain, &c.Packs, &c.Epoch, &c.At}
}, func(before, c *ledger.CommitRow) bool {
	return before.Generation < c.Generation || before.Generation == c.Generation && before.Sequence < c.Sequence
}, nil)

var attemptCodec = rowsOf(func(a *ledger.RecordedAttempt, _ []byte) []any {
	return []any{&a.ID, &a.Sale, &a.At, &a.User, &a.Item, &a.Outcome, &a.Code, &a.Expires, &a.Edge}
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
	number: func(m stream.Message) int64 { return int64(m.Sequence) },
}

// readMessage gives a message whose data is a part of the text.
func readMessage(text []byte, m *stream.Message) (size int, ok bool) {
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
		return 0, false
	}
	m.Time, m.Data = sale.Instant(t), rest[:n:n]
	return len(text) - len(rest) + int(n) + 1, true
}

// streams is what is known of the streams beside their messages.
type streams struct {
	created int64  // of the sale's stream, in nanoseconds
	floor   uint64 // see ledger.Recorded.Own
}

// saleTables are the kinds of records in the section sale, in their order: one of
// each of the first three, any number of the others.
var saleTables = []string{"sales", "cursors", "streams", "holes", "items", "beyond"}

// saleRecord returns an empty record of a kind; nil: of none that is known.
func saleRecord(table string) any {
	switch table {
	case "sales":
		return new(ledger.SaleRow)
	case "cursors":
		return new(ledger.Position) // whose Mine depends on who asks, and is left out
	case "streams":
		return new(streams)
	case "holes":
		return new(ledger.HoleRow)
	case "items":
		return new(ledger.ItemRow)
	case "beyond":
		return new(ledger.RowKey)
	}
	return nil
}

// order returns the place of a record's kind in saleTables, and a number that goes
// up among records of that kind.
func order(record any) (kind int, number int64) {
	switch s := record.(type) {
	case *ledger.SaleRow:
		return 0, 0
	case *ledger.Position:
		return 1, 0
	case *streams:
		return 2, 0
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

func saleFields(record *any, table []byte) []any {
	if *record == nil {
		*record = saleRecord(string(table))
	}
	kind, _ := order(*record)
	name := saleTables[kind]
	switch s := (*record).(type) {
	case *ledger.SaleRow:
		o := &s.Sale
		return []any{&name, &o.ID, &o.UUID, &o.Installation, &o.OpensAt, &o.Stock, &o.UserLimit, &o.FirstItem, &o.Seed, &o.Rules, &s.State, &s.Sold}
	case *ledger.Position:
		c := &s.Cursor
		return []any{&name, &s.Epoch, &c.Generation, &c.Sequence, &c.Position, &c.Sold, &c.Chain, &c.PackHash, &c.PackTime, &c.Now, &s.StreamCreated}
	case *streams:
		return []any{&name, &s.created, &s.floor}
	case *ledger.HoleRow:
		return []any{&name, &s.Generation, &s.Matching, &s.CursorSequence, &s.CursorPosition, &s.CursorChain, &s.Resume, &s.Epoch, &s.FoundAt, &s.CursorTime}
	case *ledger.ItemRow:
		return []any{&name, &s.Item, &s.Sale, &s.User, &s.Code, &s.Position, &s.SoldAt}
	case *ledger.RowKey:
		return []any{&name, &s.Table, &s.Key, &s.Position}
	}
	return nil
}
