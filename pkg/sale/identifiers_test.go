package sale_test

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"notsale/pkg/sale"
)

func TestParseItemID(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		want sale.ItemID // 0: refused
	}{
		{"1", 1},
		{"42", 42},
		{"999999999999999", sale.MaxItemID},
		{"1000000000000000", 0},
		{"9223372036854775808", 0},
		{"99999999999999999999999999", 0},
		{"", 0},
		{"0", 0},
		{"01", 0},
		{"-1", 0},
		{"+1", 0},
		{" 1", 0},
		{"1 ", 0},
		{"1\n", 0},
		{"1\x00", 0},
		{"1.0", 0},
		{"1e3", 0},
		{"1_000", 0},
		{"0x1", 0},
		{"a", 0},
		{"١", 0}, // a digit, but not one of ours
	} {
		got, err := sale.ParseItemID(c.text)
		if got != c.want || errors.Is(err, sale.ErrItemID) != (c.want == 0) {
			t.Errorf("%q: %d, %v, want %d", c.text, got, err, c.want)
		}
		if err == nil && got.String() != c.text {
			t.Errorf("%q is written as %s", c.text, got)
		}
	}
}

func TestParseUserID(t *testing.T) {
	t.Parallel()
	longest := strings.Repeat("u", sale.MaxUserIDLength)
	for text, ok := range map[string]bool{
		"a":               true,
		"Ann.B_c-9@x:y":   true,
		"ann@example.com": true,
		"ann+x@a.org":     true,
		"auth0|5f7c":      true,
		"!#$%&'()*,/;<=>": true,
		"?[]^`{|}~":       true,
		"0":               true,
		"-":               true,
		"...":             true,
		longest:           true,
		longest + "u":     false,
		"":                false,
		" ":               false,
		" ann":            false,
		"ann ":            false,
		"ann b":           false,
		"ann\n":           false,
		"a\x00b":          false,
		"a/b":             true,
		"a%41":            true,
		"a+b":             true,
		"a\"b":            false,
		`a\b`:             false,
		"a\x7fb":          false,
		"ännchen":         false,
		"\xff":            false,
		"a,b":             true,
	} {
		got, err := sale.ParseUserID(text)
		if (err == nil) != ok || err != nil && !errors.Is(err, sale.ErrUserID) {
			t.Errorf("%q: %v, want accepted: %v", text, err, ok)
		}
		if ok && string(got) != text || !ok && got != "" {
			t.Errorf("%q became %q", text, got)
		}
	}
}

// What is allowed, said in another way.
var (
	itemPattern = regexp.MustCompile(`\A[1-9][0-9]{0,14}\z`)
	userPattern = regexp.MustCompile(`\A[!#-\[\]-~]{1,128}\z`)
	// Under version 1 of the rules.
	firstUserPattern = regexp.MustCompile(`\A[A-Za-z0-9._@:-]{1,64}\z`)
)

func FuzzIdentifiers(f *testing.F) {
	for _, text := range []string{"", "0", "1", "01", "999999999999999", "1000000000000000", "ann", "Ann.B_c-9@x:y", "ann+x@example.com", strings.Repeat("u", 65), "a b", "a\x00", "\xff", "١"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		item, err := sale.ParseItemID(text)
		if (err == nil) != itemPattern.MatchString(text) {
			t.Errorf("item %q: %d, %v", text, item, err)
		}
		if n, _ := strconv.ParseInt(text, 10, 64); err == nil && (int64(item) != n || item.String() != text || item > sale.MaxItemID) {
			t.Errorf("item %q is read as %d", text, item)
		}
		user, err := sale.ParseUserID(text)
		if (err == nil) != userPattern.MatchString(text) {
			t.Errorf("user %q: %q, %v", text, user, err)
		}
		if err == nil && string(user) != text {
			t.Errorf("user %q is read as %q", text, user)
		}
		if err == nil && (user.Rules() == 1) != firstUserPattern.MatchString(text) {
			t.Errorf("user %q came with version %d of the rules", text, user.Rules())
		}
	})
}

func TestUUIDs(t *testing.T) {
	t.Parallel()
	const text = "00112233-4455-6677-8899-aabbccddeeff"
	want := sale.UUID{0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}
	for _, spelling := range []string{text, strings.ToUpper(text)} {
		if got, err := sale.ParseUUID(spelling); err != nil || got != want {
			t.Errorf("%s: %v, %v", spelling, got, err)
		}
	}
	if want.String() != text || want.IsZero() || !(sale.UUID{}).IsZero() {
		t.Errorf("%v", want)
	}
	for _, wrong := range []string{
		"", text[1:], text + "0", " " + text[1:], "{" + text[2:] + "}", strings.ReplaceAll(text, "-", ""), strings.ReplaceAll(text, "-", "0"),
		"0011223-34455-6677-8899-aabbccddeeff", "0011223g-4455-6677-8899-aabbccddeeff", "00112233-4455-6677-8899-aabbccddeef-",
	} {
		if got, err := sale.ParseUUID(wrong); err == nil || !got.IsZero() {
			t.Errorf("%q: %v, want an error", wrong, got)
		}
		kept := want
		if err := kept.UnmarshalText([]byte(wrong)); err == nil || kept != want {
			t.Errorf("%q: %v, %v, want an error and nothing changed", wrong, kept, err)
		}
	}
}

func TestEveryUUIDIsReadBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := sale.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "uuid"))
		text, err := want.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var got sale.UUID
		if err := got.UnmarshalText(text); err != nil || got != want || string(text) != want.String() {
			t.Fatalf("%v is read back as %v, %v", want, got, err)
		}
	})
}
