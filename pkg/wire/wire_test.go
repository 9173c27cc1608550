package wire_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/sale"
	"notsale/pkg/wire"
)

func TestPacksThatAreNotCanonical(t *testing.T) {
	const good = `{"n":1,"code":"01000000000000000000000000000000","item":5,"user":"ann","expires":9}`
	want := allocation.Request{Number: 1, Code: code.ID{1}, Item: 5, User: "ann", Expires: 9}
	bad := allocation.Request{}
	bad1 := allocation.Request{Number: 1}
	replace := func(old, new string) string { return strings.Replace(good, old, new, 1) }
	for name, c := range map[string]struct {
		requests string
		want     []allocation.Request
	}{
		"spaces":                {" " + replace(`,"item":`, " ,\n \"item\" : "), []allocation.Request{want}},
		"an escaped letter":     {replace("ann", `\u0061nn`), []allocation.Request{want}},
		"a NUL in the user":     {replace("ann", `a\u0000`) + "," + good, []allocation.Request{bad1, want}},
		"no user":               {replace(`"ann"`, `""`) + "," + good, []allocation.Request{bad1, want}},
		"an unknown field":      {replace(`"n":1`, `"n":1,"x":2`) + "," + good, []allocation.Request{bad, want}},
		"item as text":          {replace(`5`, `"5"`) + "," + good, []allocation.Request{bad, want}},
		"item out of range":     {replace(`:5`, `:1000000000000000`) + "," + good, []allocation.Request{bad1, want}},
		"item negative":         {replace(`:5`, `:-5`) + "," + good, []allocation.Request{bad1, want}},
		"upper-case code":       {replace(`01000000`, `0A000000`) + "," + good, []allocation.Request{bad1, want}},
		"zero code":             {replace(`01000000`, `00000000`) + "," + good, []allocation.Request{bad1, want}},
		"short code":            {replace(`01000000`, `01`) + "," + good, []allocation.Request{bad1, want}},
		"number, array, string": {`1,[],"x",null,` + good, []allocation.Request{bad, bad, bad, bad, want}},
	} {
		edge, got, err := wire.DecodePack([]byte(`{"v":1,"kind":"pack","edge":"e","requests":[` + c.requests + `]}`))
		if err != nil || edge != "e" || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %q %+v %v\nwant %+v", name, edge, got, err, c.want)
		}
	}
}

func TestMessagesThatAreNoPack(t *testing.T) {
	for text, want := range map[string]error{
		``:                                 wire.ErrMessage,
		`x`:                                wire.ErrMessage,
		`null`:                             wire.ErrMessage,
		`{}`:                               wire.ErrMessage,
		`{"v":0,"kind":"pack"}`:            wire.ErrMessage,
		`{"v":-1,"kind":"pack"}`:           wire.ErrMessage,
		`{"v":"2"}`:                        wire.ErrMessage,
		`{"v":2}`:                          wire.ErrVersion,
		`{"v":2,"anything":{"else":[1]}}`:  wire.ErrVersion,
		`{"v":1,"kind":"pack","edge":"e"}`: wire.ErrMessage,
		`{"v":1,"kind":"pack","edge":"e","requests":[]}`:                                                    wire.ErrMessage,
		`{"v":1,"kind":"pack","edge":"e.>","requests":[1]}`:                                                 wire.ErrMessage,
		`{"v":1,"kind":"pack","edge":"","requests":[1]}`:                                                    wire.ErrMessage,
		`{"v":1,"kind":"pack","edge":"e","requests":[1]}x`:                                                  wire.ErrMessage,
		`{"v":1,"kind":"pack","edge":"e","requests":[1]}{"v":1}`:                                            wire.ErrMessage,
		`{"v":1,"kind":"opening","edge":"e","requests":[1]}`:                                                wire.ErrMessage,
		`{"v":1,"kind":"pack","edge":"e","requests":[1],"more":1}`:                                          wire.ErrMessage,
		`{"v":1,"kind":"pack","edge":"e","requests":[` + strings.Repeat("1,", wire.MaxPackRequests) + `1]}`: wire.ErrMessage,
	} {
		if _, got, err := wire.DecodePack([]byte(text)); !errors.Is(err, want) || got != nil {
			t.Errorf("%.70s: %v, %v; want %v", text, got, err, want)
		}
	}
}

func TestOpeningsThatAreRefused(t *testing.T) {
	good := string(wire.EncodeOpening(goldenSale))
	for name, c := range map[string]struct {
		text string
		want error
	}{
		"empty":         {"", wire.ErrMessage},
		"a pack":        {string(wire.AppendPack(nil, "e", goldenPack)), wire.ErrMessage},
		"newer":         {strings.Replace(good, `"v":1`, `"v":2`, 1), wire.ErrVersion},
		"no stock":      {strings.Replace(good, `"stock":10000`, `"stock":0`, 1), wire.ErrMessage},
		"no uuid":       {strings.Replace(good, `"sale":"20000000-0000-0000-0000-000000000002"`, `"sale":"00000000-0000-0000-0000-000000000000"`, 1), wire.ErrMessage},
		"spoilt uuid":   {strings.Replace(good, `20000000`, `2000000g`, 1), wire.ErrMessage},
		"stock too big": {strings.Replace(good, `"stock":10000`, `"stock":1000001`, 1), wire.ErrMessage},
	} {
		if _, err := wire.DecodeOpening([]byte(c.text)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"":                        "",
		"ann":                     "ann",
		"100%":                    "100%",
		"a b\"\\":                 `a b"\5C`,
		"\x00\xff\x7f%é":          `\00\FF\7F%\C3\A9`,
		strings.Repeat("x", 128):  strings.Repeat("x", 128),
		strings.Repeat("x", 129):  strings.Repeat("x", 124) + `\...`,
		strings.Repeat("\n", 42):  strings.Repeat(`\0A`, 42),
		strings.Repeat("\n", 999): strings.Repeat(`\0A`, 41) + `\...`,
	} {
		got := wire.Printable(in)
		if got != want {
			t.Errorf("Printable(%.20q) = %q, want %q", in, got, want)
		}
		if len(got) > wire.MaxParameter {
			t.Errorf("%d bytes", len(got))
		}
	}
}

// A reason of a later version comes with its number: whoever waits for it is
// refused, and not told to wait on.
func TestUnknownReasonsHaveTheirNumber(t *testing.T) {
	named := bytes.Replace(wire.AppendReplies(nil, goldenReplies), []byte("granted"), []byte("postponed"), 1)
	for name, c := range map[string]struct {
		text []byte
		want allocation.Reason
	}{
		"with its number":    {bytes.Replace(named, []byte(`"r":0`), []byte(`"r":99`), 1), 99},
		"without":            {bytes.Replace(named, []byte(`,"r":0`), nil, 1), wire.Unnamed},
		"of a known one":     {named, wire.Unnamed},
		"too large":          {bytes.Replace(named, []byte(`"r":0`), []byte(`"r":65536`), 1), wire.Unnamed},
		"with a later field": {bytes.Replace(bytes.Replace(named, []byte(`"r":0`), []byte(`"r":99`), 1), []byte(`"replies":[`), []byte(`"since":4,"replies":[`), 1), 99},
	} {
		want := slices.Clone(goldenReplies)
		want[0].Reason = c.want
		if got, err := wire.DecodeReplies(c.text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for _, bad := range []string{"", "{}", `{"v":2,"kind":"replies"}`} {
		if _, err := wire.DecodeReplies([]byte(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func drawPack(t *rapid.T) []allocation.Request {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) allocation.Request {
		return allocation.Request{
			Number:  rapid.Uint64Range(0, 1e18-1).Draw(t, "n"),
			Code:    code.ID(rapid.SliceOfN(rapid.ByteMin(1), 16, 16).Draw(t, "code")),
			Item:    sale.ItemID(rapid.Int64Range(0, int64(sale.MaxItemID)).Draw(t, "item")),
			User:    sale.UserID(rapid.StringMatching(`[!#-\[\]-~]{1,128}`).Draw(t, "user")),
			Expires: sale.Instant(rapid.Int64Range(0, 1e18-1).Draw(t, "expires")),
		}
	}), 1, 20).Draw(t, "requests")
}

// What is written is read again, within the stated size, canonical or not.
func TestPackProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		requests := drawPack(t)
		text := wire.AppendPack(nil, "edge_A-1", requests)
		if len(text) > len(requests)*wire.RequestSize+128 {
			t.Fatalf("%d requests take %d bytes", len(requests), len(text))
		}
		var indented bytes.Buffer
		if err := json.Indent(&indented, text, "", " "); err != nil {
			t.Fatal(err)
		}
		for _, spelling := range [][]byte{text, indented.Bytes()} {
			edge, got, err := wire.DecodePack(spelling)
			if err != nil || edge != "edge_A-1" || !reflect.DeepEqual(got, requests) {
				t.Fatalf("%s reads as %+v, %v", spelling, got, err)
			}
		}
	})
}

// A parameter that is stored without a backslash is what was sent.
func TestPrintableIsNeverMistaken(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sent := string(rapid.SliceOfN(rapid.Byte(), 0, 140).Draw(t, "sent"))
		stored := wire.Printable(sent)
		if stored != sent && !strings.Contains(stored, `\`) {
			t.Fatalf("%q is stored as %q", sent, stored)
		}
		user, err := sale.ParseUserID(sent)
		if _, errStored := sale.ParseUserID(stored); (err == nil) != (errStored == nil) || err == nil && string(user) != stored {
			t.Fatalf("%q is stored as %q: as a user id %v, then %v", sent, stored, err, errStored)
		}
	})
}

func TestAttemptProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := wire.Attempt{
			ID: sale.UUID(rapid.SliceOfN(rapid.ByteMin(1), 16, 16).Draw(t, "id")), At: 5,
			User: wire.Printable(rapid.String().Draw(t, "user")), Item: wire.Printable(string(rapid.SliceOf(rapid.Byte()).Draw(t, "item"))),
			Outcome: wire.InvalidParameter,
		}
		text := wire.AppendAttempts(nil, "e", []wire.Attempt{a, a})
		if len(text) > 2*wire.AttemptSize {
			t.Fatalf("%d bytes", len(text))
		}
		_, got, err := wire.DecodeAttempts(text)
		if err != nil || len(got) != 2 || got[0] != a || got[1] != a {
			t.Fatalf("%s reads as %+v, %v", text, got, err)
		}
	})
}

func TestAttemptsThatAreRefused(t *testing.T) {
	good := string(wire.AppendAttempts(nil, "e", goldenAttempts))
	for name, c := range map[string][2]string{
		"a NUL":           {`"user":"ann"`, `"user":"a\u0000"`},
		"not ASCII":       {`"user":"ann"`, `"user":"é"`},
		"unknown outcome": {`missing-parameter`, `lost`},
		"no code":         {`09000000000000000000000000000000`, `00000000000000000000000000000000`},
		"no id":           {`03000000`, `00000000`},
		"negative sale":   {`"sale":7`, `"sale":-7`},
		"long parameter":  {`"user":"ann"`, `"user":"` + strings.Repeat("x", 129) + `"`},
	} {
		if _, _, err := wire.DecodeAttempts([]byte(strings.Replace(good, c[0], c[1], 1))); !errors.Is(err, wire.ErrMessage) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := wire.DecodeAttempts([]byte(strings.Replace(good, `"v":1`, `"v":2`, 1))); !errors.Is(err, wire.ErrVersion) {
		t.Error("a newer version was read")
	}
}

// FuzzDecodePack: no input panics, whatever is read is storable, and reads the
// same after being written again (so canonical and free spelling agree).
// A message that cannot be decoded takes one position and harms nobody else.
func TestAMessageThatCannotBeDecodedIsOneRequest(t *testing.T) {
	for _, text := range []string{"", "not a pack", `{"v":1,"kind":"pack","edge":"e","requests":[]}`} {
		p, err := wire.ReadPack(7, 9, []byte(text))
		if err != nil || p.Sequence != 7 || p.Time != 9 || p.Hash != sha256.Sum256([]byte(text)) || len(p.Requests) != 1 || p.Requests[0] != (allocation.Request{}) {
			t.Errorf("%q: %+v, %v", text, p, err)
		}
	}
	if _, err := wire.ReadPack(7, 9, []byte(`{"v":2,"kind":"pack"}`)); !errors.Is(err, wire.ErrVersion) || !strings.Contains(err.Error(), "message 7") {
		t.Errorf("another version: %v", err)
	}
}

func FuzzDecodePack(f *testing.F) {
	f.Add(wire.AppendPack(nil, "edge", goldenPack))
	f.Add([]byte(`{"v":1,"kind":"pack","edge":"e","requests":[ {"n":1},2]}`))
	f.Add([]byte(`{"v":2}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		edge, requests, err := wire.DecodePack(data)
		if err != nil {
			return
		}
		for _, r := range requests {
			if r.Code.IsZero() {
				if r.Item != 0 || r.User != "" {
					t.Fatalf("unreadable with claims: %+v", r)
				}
				return
			}
			if u, err := sale.ParseUserID(string(r.User)); err != nil || u != r.User {
				t.Fatalf("user %q", r.User)
			}
		}
		again, same, err := wire.DecodePack(wire.AppendPack(nil, edge, requests))
		if err != nil || again != edge || !reflect.DeepEqual(same, requests) {
			t.Fatalf("%+v became %+v, %v", requests, same, err)
		}
		var spaced bytes.Buffer
		if json.Indent(&spaced, data, "", " ") != nil {
			t.Fatalf("read, but no JSON: %q", data)
		}
		_, free, err := wire.DecodePack(spaced.Bytes())
		if err != nil || !reflect.DeepEqual(free, requests) {
			t.Fatalf("canonical %+v, with spaces %+v, %v", requests, free, err)
		}
	})
}

func FuzzDecodeAttempts(f *testing.F) {
	f.Add(wire.AppendAttempts(nil, "edge", goldenAttempts))
	f.Fuzz(func(t *testing.T, data []byte) {
		edge, attempts, err := wire.DecodeAttempts(data)
		if err != nil {
			return
		}
		again, same, err := wire.DecodeAttempts(wire.AppendAttempts(nil, edge, attempts))
		if err != nil || again != edge || len(same) != len(attempts) {
			t.Fatalf("%+v became %+v, %v", attempts, same, err)
		}
	})
}

func BenchmarkDecodePack(b *testing.B) {
	requests := make([]allocation.Request, 64)
	for i := range requests {
		requests[i] = goldenPack[0]
	}
	text := wire.AppendPack(nil, "edge", requests)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := wire.DecodePack(text); err != nil {
			b.Fatal(err)
		}
	}
}
