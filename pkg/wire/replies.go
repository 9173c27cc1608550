package wire

import (
	"encoding/json"
	"fmt"
	"math"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/sale"
)

// ReplySize bounds a reply's encoded size in bytes.
const ReplySize = 200

// Reply is a decision as an edge receives it. The edge knows item and user from the
// code; by Code it checks that the reply is to its request.
type Reply struct {
	Number   uint64
	Code     code.ID
	Position int64
	Reason   allocation.Reason
	At       sale.Instant
}

const repliesHead = `{"v":1,"kind":"replies","replies":[`

// AppendReplies writes one message of replies.
func AppendReplies(buf []byte, replies []Reply) []byte {
	return appendList(append(buf, repliesHead...), replies, appendReply)
}

func appendReply(buf []byte, r *Reply) []byte {
	buf = appendInteger(buf, `{"n":`, int64(r.Number))
	buf = appendCode(buf, `,"code":`, r.Code)
	buf = appendInteger(buf, `,"position":`, r.Position)
	buf = appendQuoted(buf, `,"reason":`, r.Reason.String())
	buf = appendInteger(buf, `,"at":`, int64(r.At))
	buf = appendInteger(buf, `,"r":`, int64(r.Reason))
	return append(buf, '}')
}

// DecodeReplies reads a message of replies. A reason that this version does not know
// keeps its number, or is Unnamed if an earlier allocator sent no number.
func DecodeReplies(data []byte) ([]Reply, error) {
	s := scanner{data: data}
	s.literal(repliesHead)
	if replies := scanList(&s, scanReply); s.end() {
		return replies, nil
	}
	return parseReplies(data)
}

// Unnamed is a reason of which neither name nor number is known.
const Unnamed = allocation.Reason(math.MaxUint8)

// reasonOf reads a reason by its name or, if this version does not know that, by its
// number; 0: none was sent.
func reasonOf(name string, number int64) allocation.Reason {
	if r, err := allocation.ParseReason(name); err == nil {
		return r
	}
	if r := allocation.Reason(number); int64(r) == number && !r.Valid() {
		return r
	}
	return Unnamed
}

func scanReply(s *scanner) (r Reply) {
	s.literal(`{"n":`)
	r.Number = uint64(s.integer())
	s.literal(`,"code":`)
	r.Code = s.codeID()
	s.literal(`,"position":`)
	r.Position = s.integer()
	s.literal(`,"reason":`)
	name, number := s.text(), int64(0)
	s.literal(`,"at":`)
	r.At = sale.Instant(s.integer())
	if s.skip(`,"r":`) {
		number = s.integer()
	}
	s.literal(`}`)
	r.Reason = reasonOf(name, number)
	return r
}

type repliesJSON struct {
	Version int    `json:"v"`
	Kind    string `json:"kind"`
	Replies []struct {
		Number   uint64       `json:"n"`
		Code     string       `json:"code"`
		Position int64        `json:"position"`
		Reason   string       `json:"reason"`
		At       sale.Instant `json:"at"`
		ReasonNo int64        `json:"r"`
	} `json:"replies"`
}

// parseReplies reads any JSON spelling, with fields of later versions.
func parseReplies(data []byte) ([]Reply, error) {
	var m repliesJSON
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("%w: replies: %w", ErrMessage, err)
	}
	if m.Version != Version || m.Kind != "replies" {
		return nil, fmt.Errorf("%w: replies of version %d", ErrVersion, m.Version)
	}
	replies := make([]Reply, 0, len(m.Replies))
	for _, r := range m.Replies {
		if id, err := code.ParseID(r.Code); err == nil {
			replies = append(replies, Reply{Number: r.Number, Code: id, Position: r.Position, Reason: reasonOf(r.Reason, r.ReasonNo), At: r.At})
		}
	}
	return replies, nil
}
