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
	"notsale/pkg/wire"
)

// codec writes and reads the records of a section.
type codec[T any] struct {
	// append writes a record.
	append func(buf []byte, record *T) []byte
	// parse reads the first record of the text, and how many bytes it takes.
	parse func(text []byte) (record T, size int, ok bool)
	// follows reports whether a record may come after another; nil: none.
	follows func(before, record *T) bool
	// number is the record's sequence or position; nil: it has none.
	number func(record *T) int64
}

// rowsOf is the codec of rows.
func rowsOf[T any](write func(*row, *T), read func(*fields) T, follows func(before, record *T) bool) codec[T] {
	return codec[T]{
		append: func(buf []byte, record *T) []byte {
			r := row{buf: buf}
			write(&r, record)
			return r.end()
		},
		parse: func(text []byte) (record T, size int, ok bool) {
			line, _, ended := bytes.Cut(text, []byte{'\n'})
			f := fields{line: line}
			record = read(&f)
			return record, len(line) + 1, ended && f.done()
		},
		follows: follows,
	}
}

var decisionCodec = func() codec[allocation.Decision] {
	c := rowsOf(writeDecision, readDecision, func(before, d *allocation.Decision) bool {
		return before == nil || before.Position < d.Position
	})
	c.number = func(d *allocation.Decision) int64 { return d.Position }
	return c
}()

func writeDecision(r *row, d *allocation.Decision) {
	r.integer(d.Position)
	r.code(d.Code)
	r.integer(int64(d.Item))
	r.text(string(d.User))
	r.unsigned(uint64(d.Reason))
	r.integer(int64(d.At))
}

func readDecision(f *fields) (d allocation.Decision) {
	d.Position = f.integer()
	d.Code = f.code()
	d.Item = sale.ItemID(f.integer())
	d.User = sale.UserID(f.text())
	d.Reason = reason(f)
	d.At = sale.Instant(f.integer())
	return d
}

func reason(f *fields) allocation.Reason {
	n := f.unsigned()
	f.bad = f.bad || n > 255
	return allocation.Reason(n)
}

var commitCodec = rowsOf(writeCommit, readCommit, func(before, c *ledger.CommitRow) bool {
	return before == nil || before.Generation < c.Generation || before.Generation == c.Generation && before.Sequence < c.Sequence
})

func writeCommit(r *row, c *ledger.CommitRow) {
	r.integer(c.Generation)
	r.unsigned(c.Sequence)
	r.integer(c.Position)
	r.hex(c.Chain)
	r.hex(c.Packs)
	r.integer(c.Epoch)
	r.instant(c.At)
}

func readCommit(f *fields) (c ledger.CommitRow) {
	c.Generation = f.integer()
	c.Sequence = f.unsigned()
	c.Position = f.integer()
	c.Chain = f.bytes()
	c.Packs = f.bytes()
	c.Epoch = f.integer()
	c.At = f.instant()
	return c
}

var attemptCodec = rowsOf(writeAttempt, readAttempt, func(before, a *ledger.RecordedAttempt) bool {
	return before == nil || bytes.Compare(before.ID[:], a.ID[:]) < 0
})

func writeAttempt(r *row, a *ledger.RecordedAttempt) {
	r.uuid(a.ID)
	r.integer(int64(a.Sale))
	r.integer(int64(a.At))
	r.text(a.User)
	r.text(a.Item)
	r.text(string(a.Outcome))
	r.code(a.Code)
	r.integer(int64(a.Expires))
	r.text(a.Edge)
}

func readAttempt(f *fields) (a ledger.RecordedAttempt) {
	a.ID = f.uuid()
	a.Sale = sale.ID(f.integer())
	a.At = sale.Instant(f.integer())
	a.User = f.text()
	a.Item = f.text()
	a.Outcome = wire.Outcome(f.text())
	a.Code = f.code()
	a.Expires = sale.Instant(f.integer())
	a.Edge = f.text()
	return a
}

// messageCodec is that of both streams.
var messageCodec = codec[stream.Message]{
	append: func(buf []byte, m *stream.Message) []byte {
		buf = fmt.Appendf(buf, "%d %d %d\n", m.Sequence, int64(m.Time), len(m.Data))
		return append(append(buf, m.Data...), '\n')
	},
	parse: parseMessage,
	follows: func(before, m *stream.Message) bool {
		return before == nil || before.Sequence+1 == m.Sequence
	},
	number: func(m *stream.Message) int64 { return int64(m.Sequence) },
}

// parseMessage gives a message whose data is a part of the text.
func parseMessage(text []byte) (m stream.Message, size int, ok bool) {
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

// The records of the section sale, in the order in which they come. There is
// just one of each of the first three.
type (
	saleRow   struct{ ledger.SaleRow }
	cursorRow struct{ ledger.Position } // whose Mine depends on who asks, and is left out
	// streamsRow is what is known of the streams beside their messages.
	streamsRow struct {
		created time.Time // of the sale's stream
		floor   uint64    // see auditor.Tape
	}
	holeRow   struct{ ledger.HoleRow }
	itemRow   struct{ ledger.ItemRow }
	beyondRow struct{ ledger.RowKey }
)

const (
	rankSale = iota
	rankCursor
	rankStreams
	rankHole
	rankItem
	rankBeyond
)

func rank(record any) int {
	switch record.(type) {
	case saleRow:
		return rankSale
	case cursorRow:
		return rankCursor
	case streamsRow:
		return rankStreams
	case holeRow:
		return rankHole
	case itemRow:
		return rankItem
	default:
		return rankBeyond
	}
}

var saleCodec = rowsOf(writeSaleRecord, readSaleRecord, func(before, record *any) bool {
	if before == nil {
		return rank(*record) == rankSale
	}
	was, is := rank(*before), rank(*record)
	if was < rankStreams {
		return is == was+1
	}
	if was != is {
		return is > was
	}
	switch r := (*record).(type) {
	case holeRow:
		return (*before).(holeRow).Generation < r.Generation //nolint:forcetypeassert // of the same rank
	case itemRow:
		return (*before).(itemRow).Item < r.Item //nolint:forcetypeassert // of the same rank
	default:
		return is == rankBeyond
	}
})

func writeSaleRecord(r *row, record *any) {
	switch s := (*record).(type) {
	case saleRow:
		writeSale(r, &s)
	case cursorRow:
		writeCursor(r, &s)
	case streamsRow:
		r.text("streams")
		r.integer(s.created.UnixNano())
		r.unsigned(s.floor)
	case holeRow:
		writeHole(r, &s)
	case itemRow:
		r.text("items")
		r.integer(int64(s.Item))
		r.integer(int64(s.Sale))
		r.text(string(s.User))
		r.code(s.Code)
		r.integer(s.Position)
		r.integer(int64(s.SoldAt))
	case beyondRow:
		r.text("beyond")
		r.text(s.Table)
		r.text(s.Key)
		r.integer(s.Position)
	}
}

func writeSale(r *row, s *saleRow) {
	r.text("sales")
	r.integer(int64(s.Sale.ID))
	r.uuid(s.Sale.UUID)
	r.uuid(s.Sale.Installation)
	r.instant(s.Sale.OpensAt)
	r.integer(int64(s.Sale.Stock))
	r.integer(int64(s.Sale.UserLimit))
	r.integer(int64(s.Sale.FirstItem))
	r.unsigned(s.Sale.Seed)
	r.integer(int64(s.Sale.Rules))
	r.text(string(s.State))
	r.integer(int64(s.Sold))
}

func writeCursor(r *row, p *cursorRow) {
	c := &p.Cursor
	r.text("cursors")
	r.integer(p.Epoch)
	r.integer(c.Generation)
	r.unsigned(c.Sequence)
	r.integer(c.Position)
	r.integer(int64(c.Sold))
	r.hex(c.Chain[:])
	r.hex(c.PackHash[:])
	r.integer(int64(c.PackTime))
	r.integer(int64(c.Now))
	r.instant(p.StreamCreated)
}

func writeHole(r *row, h *holeRow) {
	r.text("holes")
	r.integer(h.Generation)
	r.unsigned(h.Matching)
	r.unsigned(h.CursorSequence)
	r.integer(h.CursorPosition)
	r.hex(h.CursorChain)
	r.unsigned(h.Resume)
	r.integer(h.Epoch)
	r.instant(h.FoundAt)
	r.integer(int64(h.CursorTime))
}

func readSaleRecord(f *fields) any {
	switch string(f.next()) {
	case "sales":
		return readSale(f)
	case "cursors":
		return readCursor(f)
	case "streams":
		return streamsRow{created: time.Unix(0, f.integer()).UTC(), floor: f.unsigned()}
	case "holes":
		return readHole(f)
	case "items":
		return itemRow{ledger.ItemRow{
			Item: sale.ItemID(f.integer()), Sale: sale.ID(f.integer()), User: sale.UserID(f.text()), Code: f.code(),
			Position: f.integer(), SoldAt: sale.Instant(f.integer()),
		}}
	case "beyond":
		return beyondRow{ledger.RowKey{Table: f.text(), Key: f.text(), Position: f.integer()}}
	}
	f.bad = true
	return nil
}

func readSale(f *fields) (s saleRow) {
	s.Sale.ID = sale.ID(f.integer())
	s.Sale.UUID, s.Sale.Installation = f.uuid(), f.uuid()
	s.Sale.OpensAt = f.instant()
	s.Sale.Stock, s.Sale.UserLimit = int(f.integer()), int(f.integer())
	s.Sale.FirstItem = sale.ItemID(f.integer())
	s.Sale.Seed = f.unsigned()
	s.Sale.Rules = int(f.integer())
	s.State = sale.State(f.text())
	s.Sold = int(f.integer())
	return s
}

func readCursor(f *fields) (p cursorRow) {
	c := &p.Cursor
	p.Epoch = f.integer()
	c.Generation, c.Sequence = f.integer(), f.unsigned()
	c.Position, c.Sold = f.integer(), int(f.integer())
	f.fixed(c.Chain[:])
	f.fixed(c.PackHash[:])
	c.PackTime, c.Now = sale.Instant(f.integer()), sale.Instant(f.integer())
	p.StreamCreated = f.instant()
	return p
}

func readHole(f *fields) (h holeRow) {
	h.Generation, h.Matching = f.integer(), f.unsigned()
	h.CursorSequence, h.CursorPosition, h.CursorChain = f.unsigned(), f.integer(), f.bytes()
	h.Resume, h.Epoch = f.unsigned(), f.integer()
	h.FoundAt, h.CursorTime = f.instant(), sale.Instant(f.integer())
	return h
}
