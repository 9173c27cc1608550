package wire

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"

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
	return appendList(append(buf, packList...), requests, appendRequest)
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
// cannot be decoded; ReadPack says what follows from that.
func DecodePack(data []byte) (edge string, requests []allocation.Request, err error) {
	if edge, requests, ok := scanPack(data); ok {
		return edge, requests, nil
	}
	return parsePack(data)
}

// ReadPack reads a message of a sale's stream. One that cannot be decoded counts as
// one Malformed request that nobody waits for; ErrVersion is the only error.
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
	if s.bad || !ValidEdge(edge) {
		return "", nil, false
	}
	requests := scanList(&s, scanRequest)
	return edge, requests, s.end()
}

func scanRequest(s *scanner) (r allocation.Request) {
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
	return checked(r, item, user)
}

// checked completes a request that was read, or makes it unreadable if the ledger
// could not store it.
func checked(r allocation.Request, item int64, user string) allocation.Request {
	u, err := sale.ParseUserID(user)
	if err != nil || item < 0 || item > int64(sale.MaxItemID) || r.Expires < 0 || r.Code.IsZero() {
		return allocation.Request{Number: r.Number}
	}
	r.Item, r.User = sale.ItemID(item), u
	return r
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
	var p struct {
		envelope

		Requests []json.RawMessage `json:"requests"`
	}
	if err := open(data, "pack", &p, &p.envelope); err != nil {
		return "", nil, err
	}
	if len(p.Requests) == 0 || len(p.Requests) > MaxPackRequests {
		return "", nil, fmt.Errorf("%w: pack of %d requests", ErrMessage, len(p.Requests))
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

// ValidEdge reports whether an edge id may be part of a NATS subject: 1 to 64
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
