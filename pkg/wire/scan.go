package wire

import (
	"encoding/hex"
	"strconv"

	"notsale/pkg/code"
)

// scanner reads the canonical form of a message. Once a read fails, all later
// reads fail, so that callers check once.
type scanner struct {
	data []byte
	bad  bool
}

// literal passes over exactly these bytes.
func (s *scanner) literal(want string) {
	if s.bad || len(s.data) < len(want) || string(s.data[:len(want)]) != want {
		s.bad = true
		return
	}
	s.data = s.data[len(want):]
}

// peek reports whether these bytes come next.
func (s *scanner) peek(want string) bool {
	return !s.bad && len(s.data) >= len(want) && string(s.data[:len(want)]) == want
}

// integer reads a decimal integer of at most 18 digits without leading zero.
func (s *scanner) integer() int64 {
	if s.bad {
		return 0
	}
	n, i := int64(0), 0
	for i < len(s.data) && i < 18 && s.data[i] >= '0' && s.data[i] <= '9' {
		n = n*10 + int64(s.data[i]-'0')
		i++
	}
	if i == 0 || i > 1 && s.data[0] == '0' {
		s.bad = true
		return 0
	}
	s.data = s.data[i:]
	return n
}

// text reads a quoted string that holds nothing to escape.
func (s *scanner) text() string {
	s.literal(`"`)
	if s.bad {
		return ""
	}
	for i, c := range s.data {
		if c == '"' {
			found := string(s.data[:i])
			s.data = s.data[i+1:]
			return found
		}
		if c < 0x20 || c >= 0x7f || c == '\\' {
			break
		}
	}
	s.bad = true
	return ""
}

// codeID reads a quoted code id.
func (s *scanner) codeID() (id code.ID) {
	s.literal(`"`)
	if s.bad || len(s.data) < 33 || s.data[32] != '"' {
		s.bad = true
		return id
	}
	for _, c := range s.data[:32] {
		if c >= 'A' && c <= 'F' {
			s.bad = true
		}
	}
	if _, err := hex.Decode(id[:], s.data[:32]); err != nil {
		s.bad = true
	}
	s.data = s.data[33:]
	return id
}

// end reports whether everything was read.
func (s *scanner) end() bool { return !s.bad && len(s.data) == 0 }

func appendQuoted(buf []byte, key, plain string) []byte {
	buf = append(buf, key...)
	buf = append(buf, '"')
	buf = append(buf, plain...)
	return append(buf, '"')
}

func appendInteger(buf []byte, key string, n int64) []byte {
	return strconv.AppendInt(append(buf, key...), n, 10)
}

func appendCode(buf []byte, key string, id code.ID) []byte {
	buf = append(buf, key...)
	buf = append(buf, '"')
	buf = hex.AppendEncode(buf, id[:])
	return append(buf, '"')
}
