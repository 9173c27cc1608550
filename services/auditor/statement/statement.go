package statement

import (
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
	first, _, _ := strings.Cut(string(text), "\n")
	switch found, ok := strings.CutPrefix(first, format); {
	case !ok:
		return Statement{}, fmt.Errorf("%w: it does not begin with %s%s", ErrUnreadable, format, version)
	case found != version && isNumber(found):
		return Statement{}, fmt.Errorf("%w: %s", ErrVersion, found)
	}
	s, err := scan(string(text))
	if err == nil && string(Encode(s)) != string(text) {
		err = errors.New("it is not spelt as statements are")
	}
	if err == nil {
		err = s.Validate()
	}
	if err != nil {
		return Statement{}, fmt.Errorf("%w: %.200s", ErrUnreadable, err.Error())
	}
	return s, nil
}

// scan reads a statement, in other spellings too.
func scan(text string) (s Statement, err error) {
	var installation, uuid string
	var chain []byte
	_, err = fmt.Sscanf(text, layout, &installation, &s.Sale, &uuid, &s.Generation, &s.Sequence, &s.Position,
		&s.Stock, &s.Sold, &s.Holes, &s.Unproved, &s.Attempts, &s.AttemptsSequence, &chain, &s.Final)
	if err != nil {
		return s, err
	}
	copy(s.Chain[:], chain)
	var errs [2]error
	s.Installation, errs[0] = sale.ParseUUID(installation)
	s.UUID, errs[1] = sale.ParseUUID(uuid)
	return s, errors.Join(errs[:]...)
}

// isNumber reports whether the text is how a version may be spelt.
func isNumber(s string) bool {
	n, err := strconv.ParseUint(s, 10, 32)
	return err == nil && strconv.FormatUint(n, 10) == s
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
