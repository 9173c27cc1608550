package statement

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"notsale/pkg/sale"
)

// Statement is what is said about a sale at one point of its stream.
type Statement struct {
	Installation     sale.UUID // that ran the sale
	Sale             sale.ID   // its number
	UUID             sale.UUID // the sale, for ever
	Generation       int64     // of the stream between holes, from 1
	Sequence         uint64    // last message of the sale's stream that Chain covers
	Position         int64     // requests decided up to there, repeats included
	Stock            int       // items on sale
	Sold             int       // items with an owner
	Holes            int       // lost tails of the stream, one less than Generation
	Unproved         int64     // decisions whose messages lie in holes
	Attempts         int64     // different checkout attempts in messages 1 to AttemptsSequence
	AttemptsSequence uint64    // of the sale's own stream of attempts; 0: not counted
	Chain            [32]byte  // after Sequence
	Final            bool      // sold out: nobody will own anything else
}

const (
	format  = "notsale/statement/" // what the first line begins with
	version = "1"
)

const layout = format + version + `
installation %s
sale %d
uuid %s
generation %d
sequence %d
position %d
stock %d
sold %d
holes %d
unproved %d
attempts %d
attempts-sequence %d
chain %x
final %t
`

// Encode writes the text of a statement, without signature.
func Encode(s Statement) []byte {
	return fmt.Appendf(nil, layout, s.Installation, s.Sale, s.UUID, s.Generation, s.Sequence, s.Position,
		s.Stock, s.Sold, s.Holes, s.Unproved, s.Attempts, s.AttemptsSequence, s.Chain, s.Final)
}

// Parse reads what Encode writes for a valid statement, and no other spelling
// of it. The error is ErrVersion for a statement of another version, else
// ErrUnreadable. It says nothing about who wrote the text: see Verify.
func Parse(text []byte) (Statement, error) {
	first, rest, _ := strings.Cut(string(text), "\n")
	switch found, ok := strings.CutPrefix(first, format); {
	case !ok:
		return Statement{}, fmt.Errorf("%w: it does not begin with %s%s", ErrUnreadable, format, version)
	case found != version && isNumber(found):
		return Statement{}, fmt.Errorf("%w: %s", ErrVersion, found)
	}
	r := reader{rest: rest}
	s := r.statement()
	switch {
	case r.err != nil:
		return Statement{}, fmt.Errorf("%w: %w", ErrUnreadable, r.err)
	case string(Encode(s)) != string(text):
		return Statement{}, fmt.Errorf("%w: it is not spelt as statements are", ErrUnreadable)
	}
	if err := s.Validate(); err != nil {
		return Statement{}, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	return s, nil
}

// reader reads lines of a key and a value. Once a read fails, all later ones
// fail, so that callers check once.
type reader struct {
	rest string
	err  error
}

func (r *reader) statement() Statement {
	return Statement{ // in the order of the lines
		Installation:     next(r, "installation", sale.ParseUUID),
		Sale:             sale.ID(next(r, "sale", parseInt64)),
		UUID:             next(r, "uuid", sale.ParseUUID),
		Generation:       next(r, "generation", parseInt64),
		Sequence:         next(r, "sequence", parseUint64),
		Position:         next(r, "position", parseInt64),
		Stock:            next(r, "stock", strconv.Atoi),
		Sold:             next(r, "sold", strconv.Atoi),
		Holes:            next(r, "holes", strconv.Atoi),
		Unproved:         next(r, "unproved", parseInt64),
		Attempts:         next(r, "attempts", parseInt64),
		AttemptsSequence: next(r, "attempts-sequence", parseUint64),
		Chain:            next(r, "chain", parseChain),
		Final:            next(r, "final", strconv.ParseBool),
	}
}

// next reads the line that must come next.
func next[T any](r *reader, key string, parse func(string) (T, error)) (value T) {
	if r.err != nil {
		return value
	}
	line, rest, _ := strings.Cut(r.rest, "\n")
	text, ok := strings.CutPrefix(line, key+" ")
	if !ok {
		r.err = fmt.Errorf("%.80q stands where %s should", line, key)
		return value
	}
	if value, r.err = parse(text); r.err != nil {
		r.err = fmt.Errorf("%s is %.80q", key, text)
	}
	r.rest = rest
	return value
}

// isNumber reports whether the text is how a version may be spelt.
func isNumber(s string) bool {
	n, err := strconv.ParseUint(s, 10, 32)
	return err == nil && strconv.FormatUint(n, 10) == s
}

func parseInt64(s string) (int64, error)   { return strconv.ParseInt(s, 10, 64) }
func parseUint64(s string) (uint64, error) { return strconv.ParseUint(s, 10, 64) }

func parseChain(s string) (chain [32]byte, err error) {
	if len(s) != hex.EncodedLen(len(chain)) {
		return chain, hex.ErrLength
	}
	_, err = hex.Decode(chain[:], []byte(s))
	return chain, err
}

// Validate reports the first thing that no sale can have come to.
func (s Statement) Validate() error {
	switch {
	case s.Installation.IsZero() || s.UUID.IsZero():
		return errors.New("the id of the installation or of the sale is missing")
	case s.Sale < 1:
		return fmt.Errorf("sale %d is not positive", s.Sale)
	case s.Holes < 0 || s.Generation < 1 || s.Generation-1 != int64(s.Holes):
		return fmt.Errorf("generation %d does not follow from %d holes", s.Generation, s.Holes)
	case s.Sequence < 1:
		return errors.New("the opening record is not covered")
	case s.Chain == [32]byte{}:
		return errors.New("the chain is missing")
	}
	return s.validateCounts()
}

func (s Statement) validateCounts() error {
	switch {
	case s.Stock < 1 || s.Stock > sale.MaxStock:
		return fmt.Errorf("stock %d is not in 1..%d", s.Stock, sale.MaxStock)
	case s.Sold < 0 || s.Sold > s.Stock || int64(s.Sold) > s.Position:
		return fmt.Errorf("%d sold is not possible with a stock of %d and %d requests", s.Sold, s.Stock, s.Position)
	case s.Final && s.Sold < s.Stock:
		return fmt.Errorf("%d of %d sold is not final", s.Sold, s.Stock)
	case s.Unproved < 0 || s.Unproved > s.Position || s.Unproved > 0 && s.Holes == 0:
		return fmt.Errorf("%d unproved is not possible with %d requests and %d holes", s.Unproved, s.Position, s.Holes)
	case s.Attempts < 0 || s.Attempts > 0 && s.AttemptsSequence == 0:
		return fmt.Errorf("%d attempts are not possible in %d messages", s.Attempts, s.AttemptsSequence)
	}
	return nil
}
