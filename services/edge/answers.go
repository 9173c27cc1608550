package edge

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"notsale/pkg/allocation"
	"notsale/pkg/sale"
)

// problem is a kind of answer that is not 200, as RFC 9457 has it.
type problem struct {
	status    int
	slug      string // end of the stable type
	title     string
	retryable bool // the same request may succeed later
	wait      bool // says Retry-After
}

// problemType is the start of every problem's stable type.
const problemType = "urn:notsale:problem:"

// The one table of statuses.
var (
	problemParameter   = &problem{http.StatusBadRequest, "invalid-parameter", "Missing or invalid parameter", false, false}
	problemBrokenBody  = &problem{http.StatusBadRequest, "invalid-body", "The request body is not readable", false, false}
	problemCode        = &problem{http.StatusBadRequest, "invalid-code", "This is not a valid code", false, false}
	problemIdentity    = &problem{http.StatusForbidden, "not-identified", "Not known to be this user", false, false}
	problemUnknownItem = &problem{http.StatusNotFound, "unknown-item", "No such item", false, false}
	problemNextSale    = &problem{http.StatusNotFound, "unknown-item", "No such item yet", true, false}
	problemUnknownSale = &problem{http.StatusNotFound, "unknown-sale", "No such sale", false, false}
	problemNoRoute     = &problem{http.StatusNotFound, "not-found", "No such page", false, false}
	problemUndecided   = &problem{http.StatusNotFound, "no-decision-yet", "No decision yet", true, false}
	problemMethod      = &problem{http.StatusMethodNotAllowed, "method-not-allowed", "Method not allowed", false, false}
	problemSlowBody    = &problem{http.StatusRequestTimeout, "body-not-sent", "The announced request body did not arrive", true, false}
	problemTaken       = &problem{http.StatusConflict, "item-taken", "The item has been sold", false, false}
	problemRefused     = &problem{http.StatusConflict, "refused", "The request was refused", false, false}
	problemSoldOut     = &problem{http.StatusGone, "sold-out", "The sale is sold out", false, false}
	problemExpired     = &problem{http.StatusGone, "code-expired", "The code has expired", false, false}
	problemBody        = &problem{http.StatusRequestEntityTooLarge, "no-body-accepted", "The request body is too large", false, false}
	problemLimit       = &problem{http.StatusTooManyRequests, "limit-reached", "Limit reached", false, false}
	problemRate        = &problem{http.StatusTooManyRequests, "rate-limited", "Too many requests", true, false}
	problemInternal    = &problem{http.StatusInternalServerError, "internal", "Internal error", true, false}
	problemUnavailable = &problem{http.StatusServiceUnavailable, "not-queued", "Not known to be queued", true, true}
	problemFull        = &problem{http.StatusServiceUnavailable, "stream-full", "The sale's stream is full", true, true}
	problemOverload    = &problem{http.StatusServiceUnavailable, "overload", "Too many requests at once", true, true}
	problemLedger      = &problem{http.StatusServiceUnavailable, "ledger-unavailable", "The ledger does not answer", true, true}
)

// refusal is how a reason is answered.
type refusal struct {
	problem *problem
	detail  string
}

// refusals says how each reason is answered.
var refusals = map[allocation.Reason]refusal{
	allocation.Malformed:    {problemCode, "The request was refused as malformed."},
	allocation.CodeExpired:  {problemExpired, "The code expired before the request arrived. Check out again."},
	allocation.SoldOut:      {problemSoldOut, "Every item of the sale has been sold."},
	allocation.LimitReached: {problemLimit, limitDetail},
	allocation.ItemTaken:    {problemTaken, "The item has been sold."}, // perhaps to the very user who asks, by another code
}

// limitDetail holds the words that clients of the contest's API look for, with
// the sale's limit.
const limitDetail = "User has reached the maximum of {limit} items per sale"

// refusalOf says how a reason in the sale is answered, also one that only a newer
// version of the program knows.
func refusalOf(of *sale.Sale, reason allocation.Reason) refusal {
	r, known := refusals[reason]
	if !known {
		return refusal{problemRefused, fmt.Sprintf("The request was refused for a reason that this server does not know yet (%v).", reason)}
	}
	r.detail = strings.ReplaceAll(r.detail, "{limit}", strconv.Itoa(of.UserLimit))
	return r
}

// problemJSON is a problem as it is sent. Position and time are there where
// the refusal was decided in the stream.
type problemJSON struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail"`
	Retryable bool   `json:"retryable"`
	Position  int64  `json:"position,omitempty"`
	Time      string `json:"time,omitempty"`
}

func (p *problem) body(detail string) problemJSON {
	return problemJSON{Type: problemType + p.slug, Title: p.title, Status: p.status, Detail: detail, Retryable: p.retryable}
}

// refuse answers with a problem.
func refuse(c *gin.Context, p *problem, detail string) { send(c, p, p.body(detail)) }

// send answers with a problem's body: a problemJSON, or one that says more.
func send(c *gin.Context, p *problem, body any) {
	if p.wait {
		c.Header("Retry-After", retryAfter)
	}
	write(c, p.status, "application/problem+json", encode(body))
}

const typeJSON = "application/json; charset=utf-8"

// reply answers 200, or what else is not a problem, with JSON.
func reply(c *gin.Context, status int, body any) { write(c, status, typeJSON, encode(body)) }

func encode(body any) []byte {
	text, err := json.Marshal(body)
	if err != nil { // a field that cannot be encoded is a defect of this package
		panic(err)
	}
	return text
}

// write writes an answer. Its length is said, so that HEAD says it too.
func write(c *gin.Context, status int, contentType string, text []byte) {
	c.Header("Content-Length", strconv.Itoa(len(text)))
	c.Data(status, contentType, text)
	c.Abort()
}
