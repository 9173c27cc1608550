package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// ErrUnanswered means that no final answer came before the context ended.
var ErrUnanswered = errors.New("no final answer")

// The refusals that a shopper may get, by their types.
var (
	ErrInvalidCode  error = &Problem{Type: problemType + "invalid-code"}    // 400
	ErrUnknownItem  error = &Problem{Type: problemType + "unknown-item"}    // 404
	ErrUnknownSale  error = &Problem{Type: problemType + "unknown-sale"}    // 404
	ErrUndecided    error = &Problem{Type: problemType + "no-decision-yet"} // 404, of Decision
	ErrItemTaken    error = &Problem{Type: problemType + "item-taken"}      // 409
	ErrSoldOut      error = &Problem{Type: problemType + "sold-out"}        // 410
	ErrCodeExpired  error = &Problem{Type: problemType + "code-expired"}    // 410
	ErrLimitReached error = &Problem{Type: problemType + "limit-reached"}   // 429
)

const problemType = "urn:notsale:problem:"

// Answer is a complete answer. Status 0: none came.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
	Sent   time.Time     // when the request was sent
	Took   time.Duration // until the answer was read
}

// Code is the code in the answer to a checkout; empty: there is none. Codes are
// URL-safe, so nothing in them is escaped.
func (a *Answer) Code() string {
	_, rest, _ := bytes.Cut(a.Body, []byte(`"code":"`))
	code, _, found := bytes.Cut(rest, []byte{'"'})
	if a.Status != http.StatusOK || !found {
		return ""
	}
	return string(code)
}

// Final reports whether the answer is final: the same request would get no other.
func (a *Answer) Final() bool {
	switch a.Status {
	case 0, http.StatusAccepted, http.StatusRequestTimeout:
		return false
	case http.StatusTooManyRequests: // the limit of a user is final, too many requests at once are not
		return a.RetryAfter() == 0
	}
	return a.Status < http.StatusInternalServerError
}

// RetryAfter is the pause that the shop asks for; 0: none. A date is not read.
func (a *Answer) RetryAfter() time.Duration {
	seconds, err := strconv.Atoi(a.Header.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// decode reads a 200; anything else is a Problem.
func (a *Answer) decode(into any) error {
	if a.Status != http.StatusOK {
		return a.problem()
	}
	if err := json.Unmarshal(a.Body, into); err != nil {
		return fmt.Errorf("an answer that cannot be read: %w", err)
	}
	return nil
}

// Problem is a refusal in the form of RFC 9457. Position and Time are set if the
// refusal was decided in the queue of the sale.
type Problem struct { //nolint:errname // the word of RFC 9457
	Type      string    `json:"type"` // stable
	Title     string    `json:"title"`
	Status    int       `json:"status"`
	Detail    string    `json:"detail"`
	Retryable bool      `json:"retryable"` // the same request may succeed later
	Position  int64     `json:"position"`
	Time      time.Time `json:"time"`
}

func (a *Answer) problem() *Problem {
	p := &Problem{}
	if err := json.Unmarshal(a.Body, p); err != nil {
		*p = Problem{Title: http.StatusText(a.Status), Detail: fmt.Sprintf("%.200q", a.Body)}
	}
	p.Status = a.Status
	return p
}

// Error is the refusal for people to read.
func (p *Problem) Error() string { return fmt.Sprintf("%d %s: %s", p.Status, p.Title, p.Detail) }

// Is compares by type.
func (p *Problem) Is(target error) bool {
	other, ok := target.(*Problem)
	return ok && p.Type != "" && p.Type == other.Type
}
