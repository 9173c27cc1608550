package archive

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"strconv"
	"strings"
	"time"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/sale"
)

// A row is a line of fields. It is written from and read into the same list of
// pointers, so that what a record is made of is said once. Reading may accept other
// spellings than those that are written.

var (
	escape   = strings.NewReplacer(`\`, `\\`, "\t", `\t`, "\n", `\n`, "\r", `\r`)
	unescape = strings.NewReplacer(`\\`, `\`, `\t`, "\t", `\n`, "\n", `\r`, "\r")
)

// appendRow writes a row.
func appendRow(buf []byte, fields []any) []byte {
	for i, field := range fields {
		if i > 0 {
			buf = append(buf, '\t')
		}
		switch f := field.(type) {
		case *code.ID:
			if !f.IsZero() {
				buf = hex.AppendEncode(buf, f[:])
			}
		case *allocation.Hash:
			buf = hex.AppendEncode(buf, f[:])
		case *[]byte:
			buf = hex.AppendEncode(buf, *f)
		case *sale.UUID:
			buf = append(buf, f.String()...)
		case *time.Time:
			buf = strconv.AppendInt(buf, int64(sale.InstantOf(*f)), 10)
		default:
			switch v := reflect.ValueOf(f).Elem(); {
			case v.CanInt():
				buf = strconv.AppendInt(buf, v.Int(), 10)
			case v.CanUint():
				buf = strconv.AppendUint(buf, v.Uint(), 10)
			default:
				buf = append(buf, escape.Replace(v.String())...)
			}
		}
	}
	return append(buf, '\n')
}

// readRow reads a row, without its line feed, and reports whether it is one.
func readRow(line []byte, fields []any) bool {
	for i, field := range fields {
		text, rest, more := bytes.Cut(line, []byte{'\t'})
		if more != (i+1 < len(fields)) || !readField(text, field) {
			return false
		}
		line = rest
	}
	return len(fields) > 0
}

func readField(text []byte, field any) bool {
	switch f := field.(type) {
	case *code.ID:
		return len(text) == 0 || decodeHex(f[:], text) // it may be missing
	case *allocation.Hash:
		return decodeHex(f[:], text)
	case *[]byte:
		var err error
		*f, err = hex.AppendDecode(nil, text)
		return err == nil
	case *sale.UUID:
		var err error
		*f, err = sale.ParseUUID(string(text))
		return err == nil
	case *time.Time:
		var at sale.Instant
		ok := readField(text, &at)
		*f = at.Time()
		return ok
	}
	switch v := reflect.ValueOf(field).Elem(); {
	case v.CanInt():
		n, err := strconv.ParseInt(string(text), 10, 64)
		v.SetInt(n)
		return err == nil
	case v.CanUint():
		n, err := strconv.ParseUint(string(text), 10, v.Type().Bits())
		v.SetUint(n)
		return err == nil
	case bytes.IndexByte(text, '\\') >= 0:
		v.SetString(unescape.Replace(string(text)))
	default:
		v.SetString(string(text))
	}
	return true
}

func decodeHex(to, text []byte) bool {
	if len(text) != hex.EncodedLen(len(to)) {
		return false
	}
	_, err := hex.Decode(to, text)
	return err == nil
}
