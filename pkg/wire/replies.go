package wire

import (
	"encoding/json"
	"fmt"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/sale"
)

// ReplySize bounds a reply's encoded size in bytes.
const ReplySize = 200

// Reply is a decision as an edge receives it. Item and user stand in the code
// that the edge holds; Code lets it check that the answer is to its question.
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
	buf = append(buf, repliesHead...)
	for i := range replies {
		if i > 0 {
			buf = append(buf, ',')
		}
		r := &replies[i]
		buf = appendInteger(buf, `{"n":`, int64(r.Number))
		buf = appendCode(buf, `,"code":`, r.Code)
		buf = appendInteger(buf, `,"position":`, r.Position)
		buf = appendQuoted(buf, `,"reason":`, r.Reason.String())
		buf = appendInteger(buf, `,"at":`, int64(r.At))
		buf = append(buf, '}')
	}
	return append(buf, `]}`...)
}

// DecodeReplies reads a message of replies. Replies whose reason this version
// does not know are left out: the waiters time out and ask again.
func DecodeReplies(data []byte) ([]Reply, error) {
	s := scanner{data: data}
	s.literal(repliesHead)
	var replies []Reply
	for s.peek("{") {
		if r, known := scanReply(&s); known {
			replies = append(replies, r)
		}
		if s.peek(",{") {
			s.literal(",")
		}
	}
	s.literal(`]}`)
	if s.end() {
		return replies, nil
	}
	return parseReplies(data)
}

func scanReply(s *scanner) (Reply, bool) {
	var r Reply
	s.literal(`{"n":`)
	r.Number = uint64(s.integer())
	s.literal(`,"code":`)
	r.Code = s.codeID()
	s.literal(`,"position":`)
	r.Position = s.integer()
	s.literal(`,"reason":`)
	reason, err := allocation.ParseReason(s.text())
	s.literal(`,"at":`)
	r.At = sale.Instant(s.integer())
	s.literal(`}`)
	r.Reason = reason
	return r, err == nil && !s.bad
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
		reason, err := allocation.ParseReason(r.Reason)
		id, errID := code.ParseID(r.Code)
		if err == nil && errID == nil {
			replies = append(replies, Reply{Number: r.Number, Code: id, Position: r.Position, Reason: reason, At: r.At})
		}
	}
	return replies, nil
}
