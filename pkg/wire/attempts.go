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
	Issued           Outcome = "issued"            // it got a code
	MissingParameter Outcome = "missing-parameter" // user_id or id was not sent
	InvalidParameter Outcome = "invalid-parameter" // user_id or id is not an id, or the request is wrong otherwise
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

// Attempt is one checkout, which may have been refused. It never has the code itself,
// only the code's ID.
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
	return appendList(append(buf, attemptsList...), attempts, appendAttempt)
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

// Printable makes a hostile parameter storable. Printable ASCII stays, except the
// backslash; each other byte becomes a backslash and two hexadecimal digits. A result
// of more than MaxParameter bytes is cut, and ends in a backslash and three dots. So
// an id stays as it is, and nothing else can look like one: no user id has a
// backslash.
func Printable(s string) string {
	const hexDigits = "0123456789ABCDEF"
	const cut = `\...`
	buf := make([]byte, 0, min(3*len(s), MaxParameter)+3)
	kept := 0 // how much stays if it must be cut
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

// DecodeAttempts reads a message of attempts. One attempt that cannot be read makes
// the whole message unreadable: no edge writes such a message.
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
	attempts := scanList(&s, scanAttempt)
	return edge, attempts, s.end()
}

func scanAttempt(s *scanner) (a Attempt) {
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
	if s.skip(`,"code":`) {
		a.Code = s.codeID()
		s.literal(`,"expires":`)
		a.Expires = sale.Instant(s.integer())
	}
	s.literal(`}`)
	s.bad = s.bad || !a.storable()
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
		envelope

		Attempts []attemptJSON `json:"attempts"`
	}
	if err := open(data, "attempts", &m, &m.envelope); err != nil {
		return "", nil, err
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

// AttemptStream is one stream of checkout attempts: a sale's, or a part of those of no
// sale. When a part is full or a day old, the next one begins.
type AttemptStream struct {
	Sale sale.ID // 0: no sale
	Part int     // 0 for a sale's
}

// String returns the name: CHECKOUTS_7, CHECKOUTS_0, CHECKOUTS_0_1, CHECKOUTS_0_2.
func (s AttemptStream) String() string {
	if s.Part > 0 {
		return fmt.Sprintf("CHECKOUTS_%d_%d", s.Sale, s.Part)
	}
	return fmt.Sprintf("CHECKOUTS_%d", s.Sale)
}

// messagesPerPart is more than one stream ever has, so that Number is unique.
const messagesPerPart = 1 << 40

// Number returns the place of a message among all those of no sale, part by part,
// which stays the same when early parts are removed; of a sale's stream it is the
// sequence.
func (s AttemptStream) Number(sequence uint64) uint64 {
	if s.Sale == 0 {
		return (uint64(s.Part)+1)*messagesPerPart + sequence
	}
	return sequence
}

// Numbered reverses Number. The part is -1 for a message of a sale's stream.
func Numbered(number uint64) (part int, sequence uint64) {
	return int(number/messagesPerPart) - 1, number % messagesPerPart
}
