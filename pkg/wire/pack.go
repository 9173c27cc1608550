package wire

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/sale"
)

// MaxEdgeID is the longest edge id in bytes.
const MaxEdgeID = 64

// RequestSize bounds a request's encoded size in bytes: five keys with their
// punctuation, three numbers, a code id and the longest user id.
const RequestSize = 304

const (
	packHead = `{"v":1,"kind":"pack","edge":`
	packList = `,"requests":[`
)

// AppendPack writes a pack. The edge id must pass ValidEdge; requests must
// come from verified codes.
func AppendPack(buf []byte, edge string, requests []allocation.Request) []byte {
	buf = appendQuoted(buf, packHead, edge)
	buf = append(buf, packList...)
	for i := range requests {
		if i > 0 {
			buf = append(buf, ',')
		}
		buf = appendRequest(buf, &requests[i])
	}
	return append(buf, `]}`...)
}

func appendRequest(buf []byte, r *allocation.Request) []byte {
	buf = appendInteger(buf, `{"n":`, int64(r.Number))
	buf = appendCode(buf, `,"code":`, r.Code)
	buf = appendInteger(buf, `,"item":`, int64(r.Item))
	buf = appendQuoted(buf, `,"user":`, string(r.User))
	buf = appendInteger(buf, `,"expires":`, int64(r.Expires))
	return append(buf, '}')
}

// DecodePack reads a pack's edge and requests. A request that cannot be read
// has a zero code. ErrVersion: nothing may be decided from it. ErrMessage: it
// cannot be decoded; ReadPack says what that means.
func DecodePack(data []byte) (edge string, requests []allocation.Request, err error) {
	if edge, requests, ok := scanPack(data); ok {
		return edge, requests, nil
	}
	return parsePack(data)
}

// ReadPack reads a message of a sale's stream. One that cannot be decoded is one
// Malformed request of nobody; ErrVersion is the only error.
func ReadPack(sequence uint64, at sale.Instant, data []byte) (allocation.Pack, error) {
	p := allocation.Pack{Sequence: sequence, Time: at, Hash: sha256.Sum256(data)}
	var err error
	p.Edge, p.Requests, err = DecodePack(data)
	switch {
	case errors.Is(err, ErrVersion):
		return allocation.Pack{}, fmt.Errorf("message %d: %w", sequence, err)
	case err != nil:
		p.Edge, p.Requests = "", []allocation.Request{{}}
	}
	return p, nil
}

// scanPack reads the canonical form.
func scanPack(data []byte) (string, []allocation.Request, bool) {
	s := scanner{data: data}
	s.literal(packHead)
	edge := s.text()
	s.literal(packList)
	if s.bad || !ValidEdge(edge) || s.peek("]") {
		return "", nil, false
	}
	requests := make([]allocation.Request, 0, min(len(data)/128+1, MaxPackRequests))
	for {
		r, ok := scanRequest(&s)
		if !ok || len(requests) == MaxPackRequests {
			return "", nil, false
		}
		requests = append(requests, r)
		if !s.peek(",") {
			break
		}
		s.literal(",")
	}
	s.literal("]}")
	return edge, requests, s.end()
}

func scanRequest(s *scanner) (allocation.Request, bool) {
	var r allocation.Request
	s.literal(`{"n":`)
	r.Number = uint64(s.integer())
	s.literal(`,"code":`)
	r.Code = s.codeID()
	s.literal(`,"item":`)
	item := s.integer()
	s.literal(`,"user":`)
	user := s.text()
	s.literal(`,"expires":`)
	r.Expires = sale.Instant(s.integer())
	s.literal(`}`)
	if s.bad {
		return allocation.Request{}, false
	}
	return checked(r, item, user), true
}

// checked completes a request that was read, or makes it unreadable where the
// ledger could not store it.
func checked(r allocation.Request, item int64, user string) allocation.Request {
	u, err := sale.ParseUserID(user)
	if err != nil || item < 0 || item > int64(sale.MaxItemID) || r.Expires < 0 || r.Code.IsZero() {
		return allocation.Request{Number: r.Number}
	}
	r.Item, r.User = sale.ItemID(item), u
	return r
}

type packJSON struct {
	Version  int               `json:"v"`
	Kind     string            `json:"kind"`
	Edge     string            `json:"edge"`
	Requests []json.RawMessage `json:"requests"`
}

type requestJSON struct {
	Number  uint64 `json:"n"`
	Code    string `json:"code"`
	Item    int64  `json:"item"`
	User    string `json:"user"`
	Expires int64  `json:"expires"`
}

// maxNumber keeps request numbers within what the canonical form can hold.
const maxNumber = 999_999_999_999_999_999

// parsePack reads any JSON spelling of a pack.
func parsePack(data []byte) (string, []allocation.Request, error) {
	var p packJSON
	if err := strict(data, &p); err != nil {
		if v, ok := versionOf(data); ok && v != Version {
			return "", nil, fmt.Errorf("%w: pack of version %d", ErrVersion, v)
		}
		return "", nil, fmt.Errorf("%w: pack: %w", ErrMessage, err)
	}
	if p.Version != Version && p.Version > 0 {
		return "", nil, fmt.Errorf("%w: pack of version %d", ErrVersion, p.Version)
	}
	if p.Version != Version || p.Kind != "pack" || !ValidEdge(p.Edge) || len(p.Requests) == 0 || len(p.Requests) > MaxPackRequests {
		return "", nil, fmt.Errorf("%w: pack: kind, edge or number of requests", ErrMessage)
	}
	requests := make([]allocation.Request, len(p.Requests))
	for i, raw := range p.Requests {
		requests[i] = parseRequest(raw)
	}
	return p.Edge, requests, nil
}

func parseRequest(raw []byte) allocation.Request {
	var r requestJSON
	if err := strict(raw, &r); err != nil || r.Number > maxNumber {
		return allocation.Request{}
	}
	id, err := code.ParseID(r.Code)
	if err != nil || r.Expires > maxNumber {
		return allocation.Request{Number: r.Number}
	}
	return checked(allocation.Request{Number: r.Number, Code: id, Expires: sale.Instant(r.Expires)}, r.Item, r.User)
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

// versionOf reads the version of a message that is JSON with one, whatever
// else it holds.
func versionOf(data []byte) (int, bool) {
	var v struct {
		Version *int `json:"v"`
	}
	if err := json.Unmarshal(data, &v); err != nil || v.Version == nil || *v.Version < 1 {
		return 0, false
	}
	return *v.Version, true
}

// ValidEdge reports whether an edge id may stand in a NATS subject: 1 to 64
// bytes of [A-Za-z0-9_-].
func ValidEdge(edge string) bool {
	if len(edge) == 0 || len(edge) > MaxEdgeID {
		return false
	}
	for i := range len(edge) {
		c := edge[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return true
}
