package wire

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
func (s *scanner) literal(want string) { s.bad = !s.skip(want) }

// skip passes over these bytes, if they come next, and reports whether they did.
func (s *scanner) skip(want string) bool {
	if s.bad || len(s.data) < len(want) || string(s.data[:len(want)]) != want {
		return false
	}
	s.data = s.data[len(want):]
	return true
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
func (s *scanner) codeID() code.ID {
	id, err := code.ParseID(s.text())
	s.bad = s.bad || err != nil
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

// scanList reads the list that ends a message, with at least one item and at most
// MaxPackRequests.
func scanList[T any](s *scanner, item func(*scanner) T) []T {
	list := make([]T, 0, min(len(s.data)/128+1, MaxPackRequests))
	for more := true; more && !s.bad; more = s.skip(",") {
		s.bad = len(list) == MaxPackRequests
		list = append(list, item(s))
	}
	s.literal("]}")
	return list
}

// appendList writes the list that ends a message.
func appendList[T any](buf []byte, list []T, item func([]byte, *T) []byte) []byte {
	for i := range list {
		if i > 0 {
			buf = append(buf, ',')
		}
		buf = item(buf, &list[i])
	}
	return append(buf, "]}"...)
}

// envelope is how every message of an edge begins.
type envelope struct {
	Version int    `json:"v"`
	Kind    string `json:"kind"`
	Edge    string `json:"edge"`
}

// open reads any JSON spelling of a message of an edge into m; e is its envelope. A
// message of another version may hold anything else.
func open(data []byte, kind string, m any, e *envelope) error {
	var head struct {
		Version int `json:"v"`
	}
	if err := json.Unmarshal(data, &head); err == nil && head.Version > 0 && head.Version != Version {
		return fmt.Errorf("%w: %s of version %d", ErrVersion, kind, head.Version)
	}
	if err := strict(data, m); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrMessage, kind, err)
	}
	if e.Version != Version || e.Kind != kind || !ValidEdge(e.Edge) {
		return fmt.Errorf("%w: %s: version, kind or edge", ErrMessage, kind)
	}
	return nil
}

// strict decodes one JSON value and nothing after it, without unknown fields.
func strict(data []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("text after the message")
	}
	return nil
}
