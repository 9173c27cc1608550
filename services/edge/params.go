package edge

import (
	"cmp"
	"net/url"
	"slices"
	"strings"

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
	errQuery       = paramError("a parameter is not validly encoded")
	errMissingUser = paramError("user_id is missing")
	errMissingItem = paramError("id (or item_id) is missing")
	errManyUsers   = paramError("user_id must be given exactly once")
	errManyItems   = paramError("id (or item_id) must be given exactly once")
	errMissingCode = paramError("code is missing")
	errManyCodes   = paramError("code must be given exactly once")
	errLongURL     = paramError("the URL is longer than 2048 bytes")
)

// parseCheckout reads user_id and id or item_id, each given exactly once. That
// the user id suits the item's sale is checked when that is found. Where the user
// is known already, user_id may be missing.
func parseCheckout(u *url.URL, known sale.UserID) checkoutParams {
	users, errUser := parameters(u.RawQuery, "user_id")
	if len(users) == 0 && known != "" {
		users = []string{string(known)}
	}
	items, errItem := parameters(u.RawQuery, "id", "item_id")
	p := checkoutParams{rawUser: strings.Join(users, ","), rawItem: strings.Join(items, ",")}
	switch {
	case tooLong(u):
		p.err = errLongURL
	case errUser != nil || errItem != nil:
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
		p.item, errItem = sale.ParseItemID(items[0])
		p.err = cmp.Or(p.err, errItem)
	}
	if len(users) == 1 {
		p.user, errUser = sale.ParseUserID(users[0])
		p.err = cmp.Or(p.err, errUser)
	}
	return p
}

// parameters returns the values of those of a query's parameters that have one
// of the names, in their order. One that is not validly encoded comes as it
// stands, with errQuery. What else stands in a query is others' business.
func parameters(query string, names ...string) (values []string, err error) {
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if decoded, errName := url.QueryUnescape(name); errName != nil || !slices.Contains(names, decoded) {
			continue
		}
		decoded, errValue := url.QueryUnescape(value)
		if errValue != nil {
			decoded, err = value, errQuery
		}
		values = append(values, decoded)
	}
	return values, err
}

// parseCode reads the code parameter, given exactly once.
func parseCode(u *url.URL) (string, error) {
	codes, err := parameters(u.RawQuery, "code")
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

// tooLong is asked of every request: what it costs to read a query is bounded.
func tooLong(u *url.URL) bool { return len(u.Path)+1+len(u.RawQuery) > maxURL }
