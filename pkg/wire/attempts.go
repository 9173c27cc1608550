package wire

import (
	"fmt"
	"unicode/utf8"

	"notsale/pkg/code"
	"notsale/pkg/sale"
)

// Outcome is what became of a checkout attempt. The texts are stored.
type Outcome string

// The outcomes of a checkout attempt.
const (
	Issued           Outcome = "issued"            // a code was given
	MissingParameter Outcome = "missing-parameter" // user_id or id was not sent
	InvalidParameter Outcome = "invalid-parameter" // user_id or id is no such id, or the request is not as it must be
	UnknownItem      Outcome = "unknown-item"      // no sale has the item
	ItemTaken        Outcome = "item-taken"        // the cache knew its owner
	SoldOut          Outcome = "sold-out"          // the cache knew that nothing is left
)

var outcomes = map[Outcome]bool{
	Issued: true, MissingParameter: true, InvalidParameter: true, UnknownItem: true, ItemTaken: true, SoldOut: true,
}

// MaxParameter is how many bytes of a hostile parameter an attempt keeps.
const MaxParameter = 128

// AttemptSize bounds an attempt's encoded size in bytes: two parameters of
// MaxParameter bytes, each byte at most 6 bytes of JSON, and the rest.
const AttemptSize = 2*6*MaxParameter + 400

// Attempt is one checkout, refused ones included. The code itself is never in
// it; its ID is.
type Attempt struct {
	ID      sale.UUID    // made by the edge before publishing
	At      sale.Instant // by the edge's clock
	Sale    sale.ID      // 0: no sale has the item
	User    string       // as sent; escaped and cut if it is no user id
	Item    string       // as sent; escaped and cut if it is no item id
	Outcome Outcome      //
	Code    code.ID      // zero unless issued
	Expires sale.Instant // of the code, 0 unless issued
}

const (
	attemptsHead = `{"v":1,"kind":"attempts","edge":`
	attemptsList = `,"attempts":[`
)

// AppendAttempts writes one message of attempts. User and Item must be ASCII
// without control characters, as Printable returns.
func AppendAttempts(buf []byte, edge string, attempts []Attempt) []byte {
	buf = appendQuoted(buf, attemptsHead, edge)
	buf = append(buf, attemptsList...)
	for i := range attempts {
		if i > 0 {
			buf = append(buf, ',')
		}
		buf = appendAttempt(buf, &attempts[i])
	}
	return append(buf, `]}`...)
}

func appendAttempt(buf []byte, a *Attempt) []byte {
	buf = append(buf, `{"id":"`...)
	text, _ := a.ID.MarshalText()
	buf = append(buf, text...)
	buf = appendInteger(buf, `","at":`, int64(a.At))
	buf = appendInteger(buf, `,"sale":`, int64(a.Sale))
	buf = appendEscaped(buf, `,"user":`, a.User)
	buf = appendEscaped(buf, `,"item":`, a.Item)
	buf = appendQuoted(buf, `,"outcome":`, string(a.Outcome))
	if a.Outcome == Issued {
		buf = appendCode(buf, `,"code":`, a.Code)
		buf = appendInteger(buf, `,"expires":`, int64(a.Expires))
	}
	return append(buf, '}')
}

// appendEscaped writes a printable ASCII string.
func appendEscaped(buf []byte, key, s string) []byte {
	buf = append(buf, key...)
	buf = append(buf, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			buf = append(buf, '\\')
		}
		buf = append(buf, s[i])
	}
	return append(buf, '"')
}

// Printable makes a hostile parameter storable: printable ASCII stays, but for
// the backslash; each other byte becomes a backslash and two hexadecimal
// digits, and what would exceed MaxParameter bytes is cut, marked by a backslash
// and three dots. So an id stays as it is, and nothing else comes to look like
// one: no user id has a backslash.
func Printable(s string) string {
	const hexDigits = "0123456789ABCDEF"
	const cut = `\...`
	buf := make([]byte, 0, min(3*len(s), MaxParameter)+3)
	kept := 0 // what stays if it has to be cut
	for i := range len(s) {
		if len(buf) <= MaxParameter-len(cut) {
			kept = len(buf)
		}
		if c := s[i]; c >= 0x20 && c < utf8.RuneSelf-1 && c != '\\' {
			buf = append(buf, c)
		} else {
			buf = append(buf, '\\', hexDigits[c>>4], hexDigits[c&15])
		}
		if len(buf) > MaxParameter {
			return string(append(buf[:kept], cut...))
		}
	}
	return string(buf)
}

// DecodeAttempts reads a message of attempts. An attempt that cannot be read
// makes the message unreadable: edges write whole messages or none.
func DecodeAttempts(data []byte) (edge string, attempts []Attempt, err error) {
	if edge, attempts, ok := scanAttempts(data); ok {
		return edge, attempts, nil
	}
	return parseAttempts(data)
}

func scanAttempts(data []byte) (string, []Attempt, bool) {
	s := scanner{data: data}
	s.literal(attemptsHead)
	edge := s.text()
	s.literal(attemptsList)
	if s.bad || !ValidEdge(edge) {
		return "", nil, false
	}
	attempts := make([]Attempt, 0, min(len(data)/128+1, MaxPackRequests))
	for {
		a := scanAttempt(&s)
		if s.bad || !a.storable() {
			return "", nil, false
		}
		attempts = append(attempts, a)
		if !s.peek(",") {
			break
		}
		s.literal(",")
	}
	s.literal("]}")
	return edge, attempts, s.end()
}

func scanAttempt(s *scanner) Attempt {
	var a Attempt
	s.literal(`{"id":`)
	id, err := sale.ParseUUID(s.text())
	s.bad = s.bad || err != nil
	a.ID = id
	s.literal(`,"at":`)
	a.At = sale.Instant(s.integer())
	s.literal(`,"sale":`)
	a.Sale = sale.ID(s.integer())
	s.literal(`,"user":`)
	a.User = s.text()
	s.literal(`,"item":`)
	a.Item = s.text()
	s.literal(`,"outcome":`)
	a.Outcome = Outcome(s.text())
	if s.peek(`,"code":`) {
		s.literal(`,"code":`)
		a.Code = s.codeID()
		s.literal(`,"expires":`)
		a.Expires = sale.Instant(s.integer())
	}
	s.literal(`}`)
	return a
}

// storable reports whether the ledger can hold the attempt.
func (a *Attempt) storable() bool {
	return !a.ID.IsZero() && a.Sale >= 0 && outcomes[a.Outcome] && (a.Outcome == Issued) == !a.Code.IsZero() &&
		plain(a.User) && plain(a.Item) && a.At >= 0 && a.Expires >= 0
}

func plain(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] >= 0x7f {
			return false
		}
	}
	return len(s) <= MaxParameter
}

type attemptJSON struct {
	ID      sale.UUID    `json:"id"`
	At      sale.Instant `json:"at"`
	Sale    sale.ID      `json:"sale"`
	User    string       `json:"user"`
	Item    string       `json:"item"`
	Outcome Outcome      `json:"outcome"`
	Code    string       `json:"code"`
	Expires sale.Instant `json:"expires"`
}

func parseAttempts(data []byte) (string, []Attempt, error) {
	var m struct {
		Version  int           `json:"v"`
		Kind     string        `json:"kind"`
		Edge     string        `json:"edge"`
		Attempts []attemptJSON `json:"attempts"`
	}
	if v, ok := versionOf(data); ok && v != Version {
		return "", nil, fmt.Errorf("%w: attempts of version %d", ErrVersion, v)
	}
	if err := strict(data, &m); err != nil {
		return "", nil, fmt.Errorf("%w: attempts: %w", ErrMessage, err)
	}
	if m.Version != Version || m.Kind != "attempts" || !ValidEdge(m.Edge) {
		return "", nil, fmt.Errorf("%w: attempts: kind or edge", ErrMessage)
	}
	attempts := make([]Attempt, len(m.Attempts))
	for i, j := range m.Attempts {
		a := Attempt{ID: j.ID, At: j.At, Sale: j.Sale, User: j.User, Item: j.Item, Outcome: j.Outcome, Expires: j.Expires}
		if j.Code != "" {
			id, err := code.ParseID(j.Code)
			if err != nil {
				return "", nil, fmt.Errorf("%w: attempt %d: %w", ErrMessage, i, err)
			}
			a.Code = id
		}
		if !a.storable() {
			return "", nil, fmt.Errorf("%w: attempt %d cannot be stored", ErrMessage, i)
		}
		attempts[i] = a
	}
	return m.Edge, attempts, nil
}
