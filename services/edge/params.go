package edge

import (
	"cmp"
	"net/url"
	"slices"
	"strings"

	"notsale/pkg/sale"
	"notsale/services/edge/shop"
)

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
func parseCheckout(u *url.URL, known sale.UserID) shop.Wish {
	users, errUser := parameters(u.RawQuery, "user_id")
	if len(users) == 0 && known != "" {
		users = []string{string(known)}
	}
	items, errItem := parameters(u.RawQuery, "id", "item_id")
	w := shop.Wish{RawUser: strings.Join(users, ","), RawItem: strings.Join(items, ",")}
	switch {
	case tooLong(u):
		w.Invalid = errLongURL
	case errUser != nil || errItem != nil:
		w.Invalid = errQuery
	case len(users) == 0:
		w.Invalid, w.Missing = errMissingUser, true
	case len(items) == 0:
		w.Invalid, w.Missing = errMissingItem, true
	case len(users) > 1:
		w.Invalid = errManyUsers
	case len(items) > 1:
		w.Invalid = errManyItems
	}
	if len(items) == 1 {
		w.Item, errItem = sale.ParseItemID(items[0])
		w.Invalid = cmp.Or(w.Invalid, errItem)
	}
	if len(users) == 1 {
		w.User, errUser = sale.ParseUserID(users[0])
		w.Invalid = cmp.Or(w.Invalid, errUser)
	}
	return w
}

// parameters returns the values of those of a query's parameters that have one
// of the names, in their order. One that is not validly encoded comes as it
// was sent, with errQuery. Other parameters are ignored.
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
