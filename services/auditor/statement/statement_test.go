package statement_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"notsale/pkg/sale"
	"notsale/services/auditor/statement"
)

var (
	final = statement.Statement{
		Installation: sale.UUID{0x10, 15: 1}, Sale: 7, UUID: sale.UUID{0x20, 15: 2},
		Generation: 1, Sequence: 4711, Position: 39_017, Stock: 10_000, Sold: 10_000,
		Attempts: 41_200, AttemptsSequence: 5032, Chain: [32]byte{0x5f, 31: 0xe0}, Final: true,
	}
	running = statement.Statement{
		Installation: sale.UUID{0x10, 15: 1}, Sale: math.MaxInt64, UUID: sale.UUID{0x20, 15: 3},
		Generation: 3, Sequence: math.MaxUint64, Position: 17, Stock: 1_000_000, Sold: 5, Holes: 2, Unproved: 4,
		Chain: [32]byte{31: 1},
	}
)

// anyStatement draws a valid statement.
func anyStatement(t *rapid.T) statement.Statement {
	bytes := func(label string, n int) []byte {
		return rapid.SliceOfN(rapid.Byte(), n, n).Filter(func(b []byte) bool { return strings.Trim(string(b), "\x00") != "" }).Draw(t, label)
	}
	s := statement.Statement{
		Installation: sale.UUID(bytes("installation", 16)), Sale: sale.ID(rapid.Int64Min(1).Draw(t, "sale")), UUID: sale.UUID(bytes("uuid", 16)),
		Sequence: rapid.Uint64Min(1).Draw(t, "sequence"), Position: rapid.Int64Min(0).Draw(t, "position"),
		Stock: rapid.IntRange(1, sale.MaxStock).Draw(t, "stock"), Holes: rapid.IntRange(0, math.MaxInt-1).Draw(t, "holes"),
		AttemptsSequence: rapid.Uint64().Draw(t, "attempts-sequence"), Chain: [32]byte(bytes("chain", 32)),
	}
	s.Generation = int64(s.Holes) + 1
	s.Sold = int(rapid.Int64Range(0, min(int64(s.Stock), s.Position)).Draw(t, "sold"))
	if s.Holes > 0 {
		s.Unproved = rapid.Int64Range(0, s.Position).Draw(t, "unproved")
	}
	if s.AttemptsSequence > 0 {
		s.Attempts = rapid.Int64Min(0).Draw(t, "attempts")
	}
	s.Final = s.Sold == s.Stock && rapid.Bool().Draw(t, "final")
	return s
}

func TestWhatIsEncodedIsRead(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := anyStatement(t)
		if got, err := statement.Parse(statement.Encode(s)); err != nil || got != s {
			t.Fatalf("%+v became %+v, %v", s, got, err)
		}
	})
}

func TestOtherSpellingsAreRefused(t *testing.T) {
	t.Parallel()
	text := string(statement.Encode(final))
	replaced := func(old, new string) string {
		if strings.Count(text, old) != 1 {
			t.Fatalf("%q does not stand once in the text", old)
		}
		return strings.Replace(text, old, new, 1)
	}
	for name, other := range map[string]string{
		"empty":                   "",
		"first line only":         "notsale/statement/1",
		"other format":            replaced("notsale/statement/1", "notsale/chain/1"),
		"no last line break":      strings.TrimSuffix(text, "\n"),
		"blank line at the end":   text + "\n",
		"blank line at the start": "\n" + text,
		"carriage returns":        strings.ReplaceAll(text, "\n", "\r\n"),
		"one carriage return":     replaced("sale 7\n", "sale 7\r\n"),
		"one more line":           text + "published 2026-01-02T03:04:05Z\n",
		"a line twice":            replaced("sale 7\n", "sale 7\nsale 7\n"),
		"a line less":             replaced("holes 0\n", ""),
		"the last line less":      replaced("final true\n", ""),
		"lines exchanged":         replaced("stock 10000\nsold 10000\n", "sold 10000\nstock 10000\n"),
		"two spaces":              replaced("sale 7", "sale  7"),
		"a tab":                   replaced("sale 7", "sale\t7"),
		"space at the end":        replaced("sale 7\n", "sale 7 \n"),
		"no value":                replaced("sale 7\n", "sale \n"),
		"no value, no space":      replaced("sale 7\n", "sale\n"),
		"upper-case key":          replaced("sale 7", "Sale 7"),
		"leading zero":            replaced("sale 7", "sale 07"),
		"plus":                    replaced("sale 7", "sale +7"),
		"minus zero":              replaced("holes 0", "holes -0"),
		"negative":                replaced("sequence 4711", "sequence -4711"),
		"underscore":              replaced("position 39017", "position 39_017"),
		"hexadecimal":             replaced("sale 7", "sale 0x7"),
		"too large":               replaced("position 39017", "position 9223372036854775808"),
		"other digits":            replaced("sale 7", "sale ٧"),
		"truth as a digit":        replaced("final true", "final 1"),
		"truth in capitals":       replaced("final true", "final TRUE"),
		"no truth":                replaced("final true", "final yes"),
		"short chain":             replaced("chain 5f", "chain "),
		"long chain":              replaced("chain 5f", "chain 5f00"),
		"upper-case chain":        replaced("chain 5f", "chain 5F"),
		"chain without digits":    replaced("chain 5f", "chain zz"),
		"upper-case uuid":         strings.Replace(replaced("uuid 20", "uuid aa"), "uuid aa", "uuid AA", 1),
		"uuid without dashes":     replaced("uuid 20000000-0000", "uuid 200000000000"),
	} {
		if got, err := statement.Parse([]byte(other)); !errors.Is(err, statement.ErrUnreadable) || got != (statement.Statement{}) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestOtherVersionsAreNotRead(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]error{
		"0": statement.ErrVersion, "2": statement.ErrVersion, "10": statement.ErrVersion,
		"": statement.ErrUnreadable, "01": statement.ErrUnreadable, "+2": statement.ErrUnreadable, "1\t": statement.ErrUnreadable,
		"1.1": statement.ErrUnreadable, "1\r": statement.ErrUnreadable, strings.Repeat("9", 1000): statement.ErrUnreadable,
	} {
		text := strings.Replace(string(statement.Encode(final)), "statement/1\n", "statement/"+version+"\n", 1)
		if got, err := statement.Parse([]byte(text)); !errors.Is(err, want) || got != (statement.Statement{}) || len(err.Error()) > 200 {
			t.Errorf("%.20q: %+v, %v, want %v", version, got, err, want)
		}
	}
}

// What no sale can have come to is neither signed nor read.
func TestImpossibleStatementsAreRefused(t *testing.T) {
	t.Parallel()
	k := newKey(t, "notsale-test", 1)
	for name, change := range map[string]func(*statement.Statement){
		"no installation":           func(s *statement.Statement) { s.Installation = sale.UUID{} },
		"no uuid":                   func(s *statement.Statement) { s.UUID = sale.UUID{} },
		"no sale":                   func(s *statement.Statement) { s.Sale = 0 },
		"no generation":             func(s *statement.Statement) { s.Generation = 0 },
		"a generation without hole": func(s *statement.Statement) { s.Generation = 2 },
		"a hole without generation": func(s *statement.Statement) { s.Holes = 1 },
		"fewer than no holes":       func(s *statement.Statement) { s.Holes, s.Generation = -1, 0 },
		"holes beyond counting":     func(s *statement.Statement) { s.Holes, s.Generation = math.MaxInt, math.MinInt64 },
		"no opening record":         func(s *statement.Statement) { s.Sequence = 0 },
		"fewer requests than sold":  func(s *statement.Statement) { s.Position = 9999 },
		"no requests":               func(s *statement.Statement) { s.Position, s.Sold, s.Final = -1, 0, false },
		"no stock":                  func(s *statement.Statement) { s.Stock, s.Sold = 0, 0 },
		"too much stock":            func(s *statement.Statement) { s.Stock, s.Final = sale.MaxStock+1, false },
		"more sold than stock":      func(s *statement.Statement) { s.Sold = 10_001 },
		"fewer than none sold":      func(s *statement.Statement) { s.Sold, s.Final = -1, false },
		"unproved without hole":     func(s *statement.Statement) { s.Unproved = 1 },
		"more unproved than asked":  func(s *statement.Statement) { s.Holes, s.Generation, s.Unproved = 1, 2, 39_018 },
		"fewer than none unproved":  func(s *statement.Statement) { s.Unproved = -1 },
		"attempts from nowhere":     func(s *statement.Statement) { s.AttemptsSequence = 0 },
		"fewer than no attempts":    func(s *statement.Statement) { s.Attempts = -1 },
		"no chain":                  func(s *statement.Statement) { s.Chain = [32]byte{} },
		"final with stock left":     func(s *statement.Statement) { s.Sold = 9999 },
	} {
		s := final
		change(&s)
		if signed, err := statement.Sign(s, k.signer); err == nil {
			t.Errorf("%s: signed %s", name, signed)
		}
		if got, err := statement.Parse(statement.Encode(s)); !errors.Is(err, statement.ErrUnreadable) || got != (statement.Statement{}) {
			t.Errorf("%s: read %+v, %v", name, got, err)
		}
	}
}

// FuzzParse: no input panics, what is read is possible, and it is the one
// spelling of what it says.
func FuzzParse(f *testing.F) {
	f.Add(statement.Encode(final))
	f.Add(statement.Encode(running))
	f.Add([]byte("notsale/statement/2\nfinal true\n"))
	f.Add([]byte("notsale/statement/1\ninstallation \n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := statement.Parse(text)
		if err != nil {
			if !errors.Is(err, statement.ErrUnreadable) && !errors.Is(err, statement.ErrVersion) || s != (statement.Statement{}) {
				t.Fatalf("%q: %+v, %v", text, s, err)
			}
			return
		}
		if err := s.Validate(); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if again := statement.Encode(s); string(again) != string(text) {
			t.Fatalf("%q is read as %q", text, again)
		}
	})
}
