package check

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"notsale/pkg/allocation"
	"notsale/pkg/sale"
)

// tells is what an answer to a purchase or lookup tells of its code.
type tells uint8

const (
	nothing   tells = iota // no answer, 503, anything unforeseen: may or may not be queued
	granted                // 200
	refused                // by a decision: it has a position
	rejected               // by the edge, from the cache: no position, never published
	pending                // 202: queued
	undecided              // a lookup's 404
	invalid                // 400 of the edge: never published
)

// answer is a body, read.
type answer struct {
	tells    tells
	reason   allocation.Reason // of refused and rejected
	position int64             // of granted and refused
	at       sale.Instant      // of granted and refused
	item     sale.ItemID       // of granted, like the rest
	sale     sale.ID
	user     string
	flaw     string // why the answer is none that the system gives
}

// bodyJSON has the fields of 200s and of problems.
type bodyJSON struct {
	Status   any         `json:"status"` // "success", or a problem's number
	Type     string      `json:"type"`
	Item     sale.ItemID `json:"item"`
	Sale     sale.ID     `json:"sale"`
	User     string      `json:"user_id"`
	Position int64       `json:"position"`
	Time     string      `json:"time"`
}

// problems says which reason each type of problem tells.
var problems = map[string]struct {
	status int
	reason allocation.Reason
}{
	"urn:notsale:problem:invalid-code":  {http.StatusBadRequest, allocation.Malformed},
	"urn:notsale:problem:item-taken":    {http.StatusConflict, allocation.ItemTaken},
	"urn:notsale:problem:sold-out":      {http.StatusGone, allocation.SoldOut},
	"urn:notsale:problem:code-expired":  {http.StatusGone, allocation.CodeExpired},
	"urn:notsale:problem:limit-reached": {http.StatusTooManyRequests, allocation.LimitReached},
}

// limitWords are part of every refusal by the sale's limit.
const limitWords = "User has reached the maximum of %d items per sale"

// read classifies the answer to a purchase or lookup in a sale with this limit.
func read(o *Operation, limit int) answer {
	if !o.Answered() {
		return answer{}
	}
	switch o.Status {
	case http.StatusOK:
		return readGrant(o.Body)
	case http.StatusAccepted:
		return answer{tells: pending}
	case http.StatusBadRequest, http.StatusConflict, http.StatusGone, http.StatusTooManyRequests:
		return readRefusal(o.Status, o.Body, limit)
	case http.StatusNotFound:
		if o.Kind == Lookup {
			return answer{tells: undecided}
		}
	}
	return answer{}
}

func readGrant(body []byte) answer {
	a := answer{tells: granted}
	var b bodyJSON
	if err := json.Unmarshal(body, &b); err != nil {
		a.flaw = "its body is not JSON"
		return a
	}
	a.position, a.item, a.sale, a.user = b.Position, b.Item, b.Sale, b.User
	at, ok := instant(b.Time)
	a.at = at
	switch {
	case b.Status != "success":
		a.flaw = `its status is not "success"`
	case b.Position < 1 || !ok:
		a.flaw = "it has no position or time"
	}
	return a
}

func readRefusal(status int, body []byte, limit int) answer {
	var b bodyJSON
	err := json.Unmarshal(body, &b)
	p, known := problems[b.Type]
	switch {
	case status == http.StatusTooManyRequests && (err != nil || !known):
		return answer{} // too many requests at once: nothing was decided
	case status == http.StatusBadRequest && (!known || b.Position == 0):
		return answer{tells: invalid}
	case err != nil || !known || p.status != status:
		return answer{tells: rejected, flaw: "it names no reason that belongs to its status"}
	}
	a := answer{tells: rejected, reason: p.reason, position: b.Position}
	if words := fmt.Sprintf(limitWords, limit); p.reason == allocation.LimitReached && !bytes.Contains(body, []byte(words)) {
		a.flaw = "it lacks the words: " + words
	}
	if b.Position > 0 {
		at, ok := instant(b.Time)
		a.tells, a.at = refused, at
		if !ok {
			a.flaw = "it has a position but no time"
		}
	}
	return a
}

func instant(text string) (sale.Instant, bool) {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return 0, false
	}
	return sale.InstantOf(t), true
}
