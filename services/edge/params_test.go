package edge

import (
	"net/url"
	"strings"
	"testing"

	"notsale/pkg/code"
	"notsale/pkg/sale"
	"notsale/pkg/wire"
	"notsale/services/edge/shop"
)

func TestParseCheckout(t *testing.T) {
	long := strings.Repeat("x", maxURL)
	for query, want := range map[string]shop.Wish{
		"user_id=ann&id=7":           {User: "ann", Item: 7, RawUser: "ann", RawItem: "7"},
		"id=7&user_id=ann":           {User: "ann", Item: 7, RawUser: "ann", RawItem: "7"},
		"user_id=ann&item_id=7":      {User: "ann", Item: 7, RawUser: "ann", RawItem: "7"},
		"user_id=a%40b.c&id=%37&x=y": {User: "a@b.c", Item: 7, RawUser: "a@b.c", RawItem: "7"},
		"":                           {Missing: true, Invalid: errMissingUser},
		"id=7":                       {Item: 7, RawItem: "7", Missing: true, Invalid: errMissingUser},
		"user_id=ann":                {User: "ann", RawUser: "ann", Missing: true, Invalid: errMissingItem},
		"USER_ID=ann&id=7":           {Item: 7, RawItem: "7", Missing: true, Invalid: errMissingUser},
		"user_id=&id=7":              {Item: 7, RawItem: "7", Invalid: sale.ErrUserID},
		"user_id=ann&id=":            {User: "ann", RawUser: "ann", Invalid: sale.ErrItemID},
		"user_id=+ann&id=7":          {Item: 7, RawUser: " ann", RawItem: "7", Invalid: sale.ErrUserID},
		"user_id=ann&id=07":          {User: "ann", RawUser: "ann", RawItem: "07", Invalid: sale.ErrItemID},
		"user_id=ann&id=%2B7":        {User: "ann", RawUser: "ann", RawItem: "+7", Invalid: sale.ErrItemID},
		"user_id=%00&id=7":           {Item: 7, RawUser: "\x00", RawItem: "7", Invalid: sale.ErrUserID},
		"user_id=%ff&id=%00":         {RawUser: "\xff", RawItem: "\x00", Invalid: sale.ErrItemID},
		"user_id=a&user_id=b&id=7":   {Item: 7, RawUser: "a,b", RawItem: "7", Invalid: errManyUsers},
		"user_id=a&id=7&id=7":        {User: "a", RawUser: "a", RawItem: "7,7", Invalid: errManyItems},
		"user_id=a&id=7&item_id=8":   {User: "a", RawUser: "a", RawItem: "7,8", Invalid: errManyItems},
		"user_id=a%zz&id=7":          {User: "a%zz", Item: 7, RawUser: "a%zz", RawItem: "7", Invalid: errQuery},
		"user_id=a%&id=7%0":          {User: "a%", RawUser: "a%", RawItem: "7%0", Invalid: errQuery},
		"user_id=a;id=7":             {User: "a;id=7", RawUser: "a;id=7", Missing: true, Invalid: errMissingItem},
		"user_id=a&id=7;x":           {User: "a", RawUser: "a", RawItem: "7;x", Invalid: sale.ErrItemID},
		"user_id=a&item_id=7&%":      {User: "a", Item: 7, RawUser: "a", RawItem: "7"},
		"user_id=a&id=7&ref=100%":    {User: "a", Item: 7, RawUser: "a", RawItem: "7"},
		"user_id=a&id=7&utm=a;b":     {User: "a", Item: 7, RawUser: "a", RawItem: "7"},
		"%zz=1&user_id=a&id=7":       {User: "a", Item: 7, RawUser: "a", RawItem: "7"},
		"user%5Fid=a&id=7&user_id=b": {Item: 7, RawUser: "a,b", RawItem: "7", Invalid: errManyUsers},
		"user_id=a%2Bx%40b.c&id=7":   {User: "a+x@b.c", Item: 7, RawUser: "a+x@b.c", RawItem: "7"},
		"user_id=a&id=7&x=" + long:   {User: "a", Item: 7, RawUser: "a", RawItem: "7", Invalid: errLongURL},
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
		if p.Invalid == nil {
			checkAccepted(t, p)
		}
		if p.Missing && p.Invalid != errMissingUser && p.Invalid != errMissingItem { //nolint:errorlint // the very values
			t.Errorf("%q: missing, but %v", query, p.Invalid)
		}
		a := wire.Attempt{ID: sale.UUID{1}, User: wire.Printable(p.RawUser), Item: wire.Printable(p.RawItem), Outcome: wire.InvalidParameter}
		_, stored, err := wire.DecodeAttempts(wire.AppendAttempts(nil, "edge-1", []wire.Attempt{a}))
		if err != nil || len(stored) != 1 || stored[0] != a {
			t.Errorf("%q is kept as %+v, and read as %+v, %v", query, a, stored, err)
		}
	})
}

func checkAccepted(t *testing.T, p shop.Wish) {
	t.Helper()
	user, errUser := sale.ParseUserID(p.RawUser)
	item, errItem := sale.ParseItemID(p.RawItem)
	if errUser != nil || errItem != nil || user != p.User || item != p.Item || p.Missing {
		t.Errorf("accepted %+v: %v, %v", p, errUser, errItem)
	}
	if string(p.User) != wire.Printable(string(p.User)) || p.Item.String() != p.RawItem {
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
