package edge

import (
	"net/url"
	"slices"
	"strings"

	"notsale/pkg/code"
	"notsale/pkg/sale"
)

// checkoutParams is what a checkout was called with.
type checkoutParams struct {
	user    sale.UserID
	item    sale.ItemID
	rawUser string // as sent, several joined by commas
	rawItem string
	missing bool
	err     error // why it is no valid checkout
}

// paramError is shown to the caller. It never repeats what was sent.
type paramError string

func (e paramError) Error() string { return string(e) }

const (
	errQuery       = paramError("the query is not validly encoded")
	errMissingUser = paramError("user_id is missing")
	errMissingItem = paramError("id (or item_id) is missing")
	errManyUsers   = paramError("user_id must be given exactly once")
	errManyItems   = paramError("id (or item_id) must be given exactly once")
	errMissingCode = paramError("code is missing")
	errManyCodes   = paramError("code must be given exactly once")
	errLongURL     = paramError("the URL is longer than 2048 bytes")
)

// parseCheckout reads user_id and id or item_id, each given exactly once.
func parseCheckout(u *url.URL) checkoutParams {
	values, err := url.ParseQuery(u.RawQuery)
	users := values["user_id"]
	items := append(append([]string(nil), values["id"]...), values["item_id"]...)
	if err != nil { // what cannot be decoded is missing in values, but is to be recorded
		users, items = undecoded(u.RawQuery, "user_id"), undecoded(u.RawQuery, "id", "item_id")
	}
	p := checkoutParams{rawUser: strings.Join(users, ","), rawItem: strings.Join(items, ",")}
	switch {
	case tooLong(u):
		p.err = errLongURL
	case err != nil:
		p.err = errQuery
	case len(users) == 0:
		p.err, p.missing = errMissingUser, true
	case len(items) == 0:
		p.err, p.missing = errMissingItem, true
	case len(users) > 1:
		p.err = errManyUsers
	case len(items) > 1:
		p.err = errManyItems
	}
	if len(items) == 1 {
		var errItem error
		if p.item, errItem = sale.ParseItemID(items[0]); p.err == nil {
			p.err = errItem
		}
	}
	if len(users) == 1 {
		var errUser error
		if p.user, errUser = sale.ParseUserID(users[0]); p.err == nil {
			p.err = errUser
		}
	}
	return p
}

// undecoded returns the values of the named parameters as they stand in a query.
func undecoded(query string, names ...string) (values []string) {
	for pair := range strings.SplitSeq(query, "&") {
		if name, value, _ := strings.Cut(pair, "="); slices.Contains(names, name) {
			values = append(values, value)
		}
	}
	return values
}

// parseCode reads the code parameter, given exactly once.
func parseCode(u *url.URL) (string, error) {
	if tooLong(u) {
		return "", errLongURL
	}
	// The usual query is the code alone, whose characters need no decoding.
	if rest, only := strings.CutPrefix(u.RawQuery, "code="); only && len(rest) <= code.MaxLength && !strings.ContainsAny(rest, "&%+;=") {
		if rest == "" {
			return "", errMissingCode
		}
		return rest, nil
	}
	values, err := url.ParseQuery(u.RawQuery)
	codes := values["code"]
	switch {
	case err != nil:
		return "", errQuery
	case len(codes) == 0 || len(codes) == 1 && codes[0] == "":
		return "", errMissingCode
	case len(codes) > 1:
		return "", errManyCodes
	}
	return codes[0], nil
}

func tooLong(u *url.URL) bool { return len(u.Path)+1+len(u.RawQuery) > maxURL }
