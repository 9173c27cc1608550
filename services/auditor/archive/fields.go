package archive

import (
	"bytes"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"notsale/pkg/code"
	"notsale/pkg/sale"
)

// row is a line of fields, which is written or read: the same functions do both,
// so that what a record is made of is said once. Reading may accept other
// spellings than those that are written.
type row struct {
	reading bool
	buf     []byte // what is written, or left to read without its line feed
	begun   bool   // a field was written
	over    bool   // the last field was read
	bad     bool   // a field could not be read; all after it cannot either
}

// next reads a field.
func (r *row) next() []byte {
	if r.over {
		r.bad = true
		return nil
	}
	field, rest, more := bytes.Cut(r.buf, []byte{'\t'})
	r.buf, r.over = rest, !more
	return field
}

// put begins to write a field, and returns where.
func (r *row) put() []byte {
	if r.begun {
		return append(r.buf, '\t')
	}
	r.begun = true
	return r.buf
}

func integer[T ~int | ~int64](r *row, n *T) {
	if !r.reading {
		r.buf = strconv.AppendInt(r.put(), int64(*n), 10)
		return
	}
	read, err := strconv.ParseInt(string(r.next()), 10, 64)
	*n, r.bad = T(read), r.bad || err != nil
}

func unsigned[T ~uint8 | ~uint64](r *row, n *T) {
	if !r.reading {
		r.buf = strconv.AppendUint(r.put(), uint64(*n), 10)
		return
	}
	read, err := strconv.ParseUint(string(r.next()), 10, 64)
	*n = T(read)
	r.bad = r.bad || err != nil || uint64(*n) != read
}

func instant(r *row, t *time.Time) {
	at := sale.InstantOf(*t)
	if integer(r, &at); r.reading {
		*t = at.Time()
	}
}

func hexed(r *row, b *[]byte) {
	if !r.reading {
		r.buf = hex.AppendEncode(r.put(), *b)
		return
	}
	read, err := hex.AppendDecode(nil, r.next())
	*b, r.bad = read, r.bad || err != nil
}

// fixed is hexed for bytes of a fixed number.
func fixed(r *row, b []byte) {
	if !r.reading {
		hexed(r, &b)
		return
	}
	field := r.next()
	if len(field) != hex.EncodedLen(len(b)) {
		r.bad = true
		return
	}
	_, err := hex.Decode(b, field)
	r.bad = r.bad || err != nil
}

// codeID is fixed for a code's id, which may be missing.
func codeID(r *row, id *code.ID) {
	switch {
	case !r.reading && id.IsZero():
		r.buf = r.put()
	case r.reading && !r.over && (len(r.buf) == 0 || r.buf[0] == '\t'):
		r.next()
	default:
		fixed(r, id[:])
	}
}

func uuid(r *row, id *sale.UUID) {
	if !r.reading {
		r.buf = append(r.put(), id.String()...)
		return
	}
	read, err := sale.ParseUUID(string(r.next()))
	*id, r.bad = read, r.bad || err != nil
}

var (
	escape   = strings.NewReplacer(`\`, `\\`, "\t", `\t`, "\n", `\n`, "\r", `\r`)
	unescape = strings.NewReplacer(`\\`, `\`, `\t`, "\t", `\n`, "\n", `\r`, "\r")
)

// text escapes what would end a field or a row.
func text[T ~string](r *row, s *T) {
	if !r.reading {
		r.buf = append(r.put(), escape.Replace(string(*s))...)
		return
	}
	if *s = T(r.next()); strings.Contains(string(*s), `\`) {
		*s = T(unescape.Replace(string(*s)))
	}
}
