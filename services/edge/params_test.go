package edge

import (
	"net/url"
	"strings"
	"testing"

	"notsale/pkg/code"
	"notsale/pkg/sale"
	"notsale/pkg/wire"
)

func TestParseCheckout(t *testing.T) {
	long := strings.Repeat("x", maxURL)
	for query, want := range map[string]checkoutParams{
		"user_id=ann&id=7":           {user: "ann", item: 7, rawUser: "ann", rawItem: "7"},
		"id=7&user_id=ann":           {user: "ann", item: 7, rawUser: "ann", rawItem: "7"},
		"user_id=ann&item_id=7":      {user: "ann", item: 7, rawUser: "ann", rawItem: "7"},
		"user_id=a%40b.c&id=%37&x=y": {user: "a@b.c", item: 7, rawUser: "a@b.c", rawItem: "7"},
		"":                           {missing: true, err: errMissingUser},
		"id=7":                       {item: 7, rawItem: "7", missing: true, err: errMissingUser},
		"user_id=ann":                {user: "ann", rawUser: "ann", missing: true, err: errMissingItem},
		"USER_ID=ann&id=7":           {item: 7, rawItem: "7", missing: true, err: errMissingUser},
		"user_id=&id=7":              {item: 7, rawItem: "7", err: sale.ErrUserID},
		"user_id=ann&id=":            {user: "ann", rawUser: "ann", err: sale.ErrItemID},
		"user_id=+ann&id=7":          {item: 7, rawUser: " ann", rawItem: "7", err: sale.ErrUserID},
		"user_id=ann&id=07":          {user: "ann", rawUser: "ann", rawItem: "07", err: sale.ErrItemID},
		"user_id=ann&id=%2B7":        {user: "ann", rawUser: "ann", rawItem: "+7", err: sale.ErrItemID},
		"user_id=%00&id=7":           {item: 7, rawUser: "\x00", rawItem: "7", err: sale.ErrUserID},
		"user_id=%ff&id=%00":         {rawUser: "\xff", rawItem: "\x00", err: sale.ErrItemID},
		"user_id=a&user_id=b&id=7":   {item: 7, rawUser: "a,b", rawItem: "7", err: errManyUsers},
		"user_id=a&id=7&id=7":        {user: "a", rawUser: "a", rawItem: "7,7", err: errManyItems},
		"user_id=a&id=7&item_id=8":   {user: "a", rawUser: "a", rawItem: "7,8", err: errManyItems},
		"user_id=a%zz&id=7":          {user: "a%zz", item: 7, rawUser: "a%zz", rawItem: "7", err: errQuery},
		"user_id=a%&id=7%0":          {user: "a%", rawUser: "a%", rawItem: "7%0", err: errQuery},
		"user_id=a;id=7":             {user: "a;id=7", rawUser: "a;id=7", missing: true, err: errMissingItem},
		"user_id=a&id=7;x":           {user: "a", rawUser: "a", rawItem: "7;x", err: sale.ErrItemID},
		"user_id=a&item_id=7&%":      {user: "a", item: 7, rawUser: "a", rawItem: "7"},
		"user_id=a&id=7&ref=100%":    {user: "a", item: 7, rawUser: "a", rawItem: "7"},
		"user_id=a&id=7&utm=a;b":     {user: "a", item: 7, rawUser: "a", rawItem: "7"},
		"%zz=1&user_id=a&id=7":       {user: "a", item: 7, rawUser: "a", rawItem: "7"},
		"user%5Fid=a&id=7&user_id=b": {item: 7, rawUser: "a,b", rawItem: "7", err: errManyUsers},
		"user_id=a%2Bx%40b.c&id=7":   {user: "a+x@b.c", item: 7, rawUser: "a+x@b.c", rawItem: "7"},
		"user_id=a&id=7&x=" + long:   {user: "a", item: 7, rawUser: "a", rawItem: "7", err: errLongURL},
	} {
		if got := parseCheckout(&url.URL{Path: "/checkout", RawQuery: query}, ""); got != want {
			t.Errorf("%.80q:\n%+v, want\n%+v", query, got, want)
		}
	}
}

func TestParseCode(t *testing.T) {
	for query, want := range map[string]struct {
		text string
		err  error
	}{
		"code=abc":        {"abc", nil},
		"code=a%62c":      {"abc", nil},
		"x=y&code=abc":    {"abc", nil},
		"code=abc&x=y":    {"abc", nil},
		"code=abc=":       {"abc=", nil},
		"code=a+b":        {"a b", nil},
		"":                {"", errMissingCode},
		"code":            {"", errMissingCode},
		"code=":           {"", errMissingCode},
		"x=y&code=":       {"", errMissingCode},
		"CODE=abc":        {"", errMissingCode},
		"code=a&code=b":   {"", errManyCodes},
		"code=a&code=":    {"", errManyCodes},
		"code=%zz":        {"", errQuery},
		"code=a;b":        {"a;b", nil}, // for the keyring to refuse
		"code=abc&x=%":    {"abc", nil},
		"code=\x00\xff\"": {"\x00\xff\"", nil}, // for the keyring to refuse
		"code=" + strings.Repeat("a", code.MaxLength+1): {strings.Repeat("a", code.MaxLength+1), nil},
	} {
		if text, err := parseCode(&url.URL{Path: "/purchase", RawQuery: query}); text != want.text || err != want.err { //nolint:errorlint // the very values
			t.Errorf("%.80q: %q, %v, want %q, %v", query, text, err, want.text, want.err)
		}
	}
}

// Whatever comes: what is accepted is valid, and what is kept can be stored.
func FuzzParseCheckout(f *testing.F) {
	for _, query := range []string{
		"user_id=ann&id=7", "user_id=ann&item_id=7", "user_id=%00&id=%ff", "user_id=a&user_id=b&id=1&id=2",
		"user_id=%zz&id=7;x", "id=999999999999999999999", "user_id=" + strings.Repeat("%F0", 300), "&&==;;%", "user_id=\x00\xff\"\\&id='",
	} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		p := parseCheckout(&url.URL{Path: "/checkout", RawQuery: query}, "")
		if p.err == nil {
			checkAccepted(t, p)
		}
		if p.missing && p.err != errMissingUser && p.err != errMissingItem { //nolint:errorlint // the very values
			t.Errorf("%q: missing, but %v", query, p.err)
		}
		a := wire.Attempt{ID: sale.UUID{1}, User: wire.Printable(p.rawUser), Item: wire.Printable(p.rawItem), Outcome: wire.InvalidParameter}
		_, stored, err := wire.DecodeAttempts(wire.AppendAttempts(nil, "edge-1", []wire.Attempt{a}))
		if err != nil || len(stored) != 1 || stored[0] != a {
			t.Errorf("%q is kept as %+v, and read as %+v, %v", query, a, stored, err)
		}
	})
}

func checkAccepted(t *testing.T, p checkoutParams) {
	t.Helper()
	user, errUser := sale.ParseUserID(p.rawUser)
	item, errItem := sale.ParseItemID(p.rawItem)
	if errUser != nil || errItem != nil || user != p.user || item != p.item || p.missing {
		t.Errorf("accepted %+v: %v, %v", p, errUser, errItem)
	}
	if string(p.user) != wire.Printable(string(p.user)) || p.item.String() != p.rawItem {
		t.Errorf("accepted %+v, which is not stored as it is", p)
	}
}

func FuzzParseCode(f *testing.F) {
	for _, query := range []string{"code=abc", "code=a%62c&x=y", "code=%zz", "code=a;b", "code=a&code=b", "code"} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		text, err := parseCode(&url.URL{Path: "/purchase", RawQuery: query})
		if (text == "") != (err != nil) {
			t.Errorf("%q: %q, %v", query, text, err)
		}
		// Without the pairs that the book refuses, it reads the same.
		var sound []string
		for pair := range strings.SplitSeq(query, "&") {
			if _, err := url.ParseQuery(pair); err == nil {
				sound = append(sound, pair)
			}
		}
		values, _ := url.ParseQuery(strings.Join(sound, "&"))
		if codes := values["code"]; err == nil && (len(codes) > 1 || len(codes) == 1 && codes[0] != text) {
			t.Errorf("%q: %q, and by the book %q", query, text, codes)
		}
	})
}
