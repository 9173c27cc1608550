package code_test

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"notsale/pkg/code"
	"notsale/pkg/sale"
)

func ring(t testing.TB, ids ...uint32) *code.Keyring {
	t.Helper()
	keys := make([]code.Key, 0, len(ids))
	for _, id := range ids {
		keys = append(keys, code.Key{ID: id, Secret: bytes.Repeat([]byte{byte(id), 7}, 16)})
	}
	r, err := code.NewKeyring(keys)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var claims = code.Claims{Sale: sale.UUID{1, 2, 3}, Item: 4711, User: "Ann.B@c:d-e_1", Expires: 1_800_000_000_000_000}

func TestCodeProvesItsClaims(t *testing.T) {
	r := ring(t, 1)
	s, signed := r.Sign(claims, code.Nonce{9})
	got, err := r.Verify(s)
	if err != nil || got != signed || got.Claims != claims {
		t.Fatalf("Verify = %+v, %v; want %+v", got, err, signed)
	}
	other, otherSigned := r.Sign(claims, code.Nonce{10})
	if other == s || otherSigned.ID == signed.ID {
		t.Error("another nonce gave the same code")
	}
}

// What a code says can be read by anybody, also where nobody signed it.
func TestRead(t *testing.T) {
	s, signed := ring(t, 1).Sign(claims, code.Nonce{9})
	for _, text := range []string{s, s[:len(s)-2] + "AA"} {
		if id, got, err := code.Read(text); err != nil || id != signed.ID || got != claims {
			t.Errorf("%v, %+v, %v, want %v, %+v", id, got, err, signed.ID, claims)
		}
	}
	for name, text := range map[string]string{"empty": "", "an id": signed.ID.String(), "padded": s + "=", "long": strings.Repeat("A", 1000)} {
		if _, _, err := code.Read(text); err != code.ErrInvalid { //nolint:errorlint // the very value is promised
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
}

func TestEveryFlippedBitIsRefused(t *testing.T) {
	r := ring(t, 1)
	s, _ := r.Sign(claims, code.Nonce{9})
	for i := range len(s) {
		for bit := range 8 {
			b := []byte(s)
			b[i] ^= 1 << bit
			if _, err := r.Verify(string(b)); err == nil {
				t.Fatalf("bit %d of character %d flipped: accepted", bit, i)
			}
		}
	}
}

func TestOtherSpellingsAreRefused(t *testing.T) {
	r := ring(t, 1)
	s, _ := r.Sign(claims, code.Nonce{9})
	for name, spelling := range map[string]string{
		"padding":      s + "=",
		"line break":   s[:20] + "\n" + s[20:],
		"space":        s + " ",
		"empty":        "",
		"doubled":      s + s,
		"truncated":    s[:len(s)-1],
		"long":         strings.Repeat("A", 10_000),
		"std alphabet": strings.NewReplacer("-", "+", "_", "/").Replace(s) + "+",
	} {
		if _, err := r.Verify(spelling); err != code.ErrInvalid { //nolint:errorlint // the very value is promised
			t.Errorf("%s: err = %v, want ErrInvalid", name, err)
		}
	}
}

func TestRotation(t *testing.T) {
	old, both, late := ring(t, 1), ring(t, 1, 2), ring(t, 2)
	before, _ := old.Sign(claims, code.Nonce{1})
	after, _ := both.Sign(claims, code.Nonce{1})
	for name, c := range map[string]struct {
		ring *code.Keyring
		code string
		ok   bool
	}{
		"old code, both keys":        {both, before, true},
		"new code, both keys":        {both, after, true},
		"new code, edge behind":      {old, after, false},
		"old code, key taken away":   {late, before, false},
		"new code, old key gone":     {late, after, true},
		"a foreign ring's same key":  {ring(t, 3), before, false},
		"same id, different secrets": {foreign(t), before, false},
	} {
		if _, err := c.ring.Verify(c.code); (err == nil) != c.ok {
			t.Errorf("%s: err = %v", name, err)
		}
	}
}

func foreign(t *testing.T) *code.Keyring {
	r, err := code.NewKeyring([]code.Key{{ID: 1, Secret: bytes.Repeat([]byte("x"), 32)}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestKeyFile(t *testing.T) {
	keys := []code.Key{{ID: 1, Secret: bytes.Repeat([]byte{1}, 32)}, {ID: 2, Secret: bytes.Repeat([]byte{2}, 32)}}
	text, err := code.FormatKeys(keys)
	if err != nil {
		t.Fatal(err)
	}
	var r *code.Keyring
	parsed, err := code.ParseKeys(text)
	if err == nil {
		r, err = code.NewKeyring(parsed)
	}
	if err != nil {
		t.Fatal(err)
	}
	s, _ := r.Sign(claims, code.Nonce{})
	if _, err := ring2(t, keys[1]).Verify(s); err != nil {
		t.Error("the last key did not sign")
	}
	for name, bad := range map[string]string{
		"empty file":    ``,
		"no key":        `{"keys":[]}`,
		"short secret":  `{"keys":[{"id":1,"secret":"QUJD"}]}`,
		"twice":         strings.Replace(string(text), `"id": 2`, `"id": 1`, 1),
		"unknown field": `{"keys":[],"x":1}`,
		"trailing text": string(text) + "x",
	} {
		if _, err := code.ParseKeys([]byte(bad)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if got := keys[0].String(); got != "key 1" {
		t.Errorf("a key prints as %q", got)
	}
}

func ring2(t *testing.T, k code.Key) *code.Keyring {
	r, err := code.NewKeyring([]code.Key{k})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestIDSpelling(t *testing.T) {
	id := code.ID{0xab, 1}
	if got, err := code.ParseID(id.String()); err != nil || got != id {
		t.Errorf("ParseID(String) = %v, %v", got, err)
	}
	for _, bad := range []string{"", "00", strings.Repeat("G", 32), strings.Repeat("A", 32), id.String() + "0"} {
		if _, err := code.ParseID(bad); err == nil {
			t.Errorf("ParseID(%q) accepted", bad)
		}
	}
}

func TestSignVerifyProperty(t *testing.T) {
	r := ring(t, 5)
	rapid.Check(t, func(t *rapid.T) {
		c := code.Claims{
			Sale:    sale.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "sale")),
			Item:    sale.ItemID(rapid.Int64Range(1, int64(sale.MaxItemID)).Draw(t, "item")),
			User:    sale.UserID(rapid.StringMatching(`[A-Za-z0-9._@:-]{1,64}`).Draw(t, "user")),
			Expires: sale.Instant(rapid.Int64Min(0).Draw(t, "expires")),
		}
		s, signed := r.Sign(c, code.Nonce(rapid.SliceOfN(rapid.Byte(), 12, 12).Draw(t, "nonce")))
		if len(s) > code.MaxLength {
			t.Fatalf("%d characters", len(s))
		}
		if got, err := r.Verify(s); err != nil || got != signed {
			t.Fatalf("Verify = %+v, %v", got, err)
		}
	})
}

// A million forgeries: random tags under a known key id, and one changed
// character in a good code. None may pass.
func TestMillionForgeries(t *testing.T) {
	r := ring(t, 1)
	s, _ := r.Sign(claims, code.Nonce{9})
	b := []byte(s)
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	state := uint64(88172645463325252)
	for n := range 1_000_000 {
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
		copy(b, s)
		for k := range 1 + n%3 {
			x := state >> (20 * k)
			b[x%uint64(len(b))] = alphabet[(x>>10)%64]
		}
		if string(b) == s {
			continue
		}
		if _, err := r.Verify(string(b)); err == nil {
			t.Fatalf("forgery %d accepted", n)
		}
	}
}

func FuzzVerify(f *testing.F) {
	r := ring(f, 1)
	s, _ := r.Sign(claims, code.Nonce{9})
	f.Add(s)
	f.Add("")
	f.Add(strings.Repeat("A", code.MaxLength))
	f.Fuzz(func(t *testing.T, in string) {
		v, err := r.Verify(in)
		if err == nil && in != s {
			t.Fatalf("accepted %q as %+v", in, v)
		}
	})
}

func BenchmarkSign(b *testing.B) {
	r := ring(b, 1)
	b.ReportAllocs()
	for b.Loop() {
		r.Sign(claims, code.Nonce{9})
	}
}

func BenchmarkVerify(b *testing.B) {
	r := ring(b, 1)
	s, _ := r.Sign(claims, code.Nonce{9})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Verify(s); err != nil {
			b.Fatal(err)
		}
	}
}
