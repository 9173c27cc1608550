package archive

import (
	"bytes"
	"encoding/hex"
	"strconv"
	"time"

	"notsale/pkg/code"
	"notsale/pkg/sale"
)

// row writes the fields of a row. The zero value begins one.
type row struct {
	buf   []byte
	begun bool
}

func (r *row) field() {
	if r.begun {
		r.buf = append(r.buf, '\t')
	}
	r.begun = true
}

func (r *row) integer(n int64) {
	r.field()
	r.buf = strconv.AppendInt(r.buf, n, 10)
}

func (r *row) unsigned(n uint64) {
	r.field()
	r.buf = strconv.AppendUint(r.buf, n, 10)
}

func (r *row) hex(b []byte) {
	r.field()
	r.buf = hex.AppendEncode(r.buf, b)
}

func (r *row) code(id code.ID) {
	if id.IsZero() {
		r.field()
		return
	}
	r.hex(id[:])
}

func (r *row) uuid(id sale.UUID) {
	r.field()
	r.buf = append(r.buf, id.String()...)
}

func (r *row) instant(t time.Time) { r.integer(int64(sale.InstantOf(t))) }

// text escapes what would end a field or a row.
func (r *row) text(s string) {
	r.field()
	for i := range len(s) {
		switch c := s[i]; c {
		case '\\':
			r.buf = append(r.buf, `\\`...)
		case '\t':
			r.buf = append(r.buf, `\t`...)
		case '\n':
			r.buf = append(r.buf, `\n`...)
		case '\r':
			r.buf = append(r.buf, `\r`...)
		default:
			r.buf = append(r.buf, c)
		}
	}
}

func (r *row) end() []byte { return append(r.buf, '\n') }

// fields reads what row writes. Once a read fails, all later reads fail, so
// that callers check once. It may accept other spellings too.
type fields struct {
	line []byte // without its line feed
	bad  bool
	over bool // the last field was read
}

func (f *fields) next() []byte {
	if f.over {
		f.bad = true
		return nil
	}
	var field []byte
	var more bool
	field, f.line, more = bytes.Cut(f.line, []byte{'\t'})
	f.over = !more
	return field
}

func (f *fields) integer() int64 {
	n, err := strconv.ParseInt(string(f.next()), 10, 64)
	f.bad = f.bad || err != nil
	return n
}

func (f *fields) unsigned() uint64 {
	n, err := strconv.ParseUint(string(f.next()), 10, 64)
	f.bad = f.bad || err != nil
	return n
}

func (f *fields) instant() time.Time { return sale.Instant(f.integer()).Time() }

func (f *fields) bytes() []byte {
	b, err := hex.AppendDecode(nil, f.next())
	f.bad = f.bad || err != nil
	return b
}

func (f *fields) fixed(into []byte) {
	text := f.next()
	if len(text) != hex.EncodedLen(len(into)) {
		f.bad = true
		return
	}
	_, err := hex.Decode(into, text)
	f.bad = f.bad || err != nil
}

func (f *fields) code() (id code.ID) {
	if !f.over && (len(f.line) == 0 || f.line[0] == '\t') {
		f.next()
		return id
	}
	f.fixed(id[:])
	return id
}

func (f *fields) uuid() sale.UUID {
	id, err := sale.ParseUUID(string(f.next()))
	f.bad = f.bad || err != nil
	return id
}

func (f *fields) text() string {
	text := f.next()
	if bytes.IndexByte(text, '\\') < 0 {
		return string(text)
	}
	plain := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c == '\\' {
			if i++; i == len(text) {
				f.bad = true
				break
			}
			c = f.unescape(text[i])
		}
		plain = append(plain, c)
	}
	return string(plain)
}

func (f *fields) unescape(c byte) byte {
	switch c {
	case '\\':
		return '\\'
	case 't':
		return '\t'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	}
	f.bad = true
	return c
}

// done reports whether every field could be read, and none is left.
func (f *fields) done() bool { return !f.bad && f.over }
