package sale

import (
	"errors"
	"strconv"
	"strings"
)

// MaxUserIDLength is the longest user id in bytes. It bounds a request's size
// on the wire, in a code and in the ledger.
const MaxUserIDLength = 128

// firstUserIDLength is the longest user id under version 1 of the rules.
const firstUserIDLength = 64

// MaxItemID bounds item ids so that they fit 15 decimal digits and stay exact
// in every JSON reader (2^53 is about 9.0e15).
const MaxItemID ItemID = 999_999_999_999_999

// ItemID is an item's id, global over all sales of an installation.
type ItemID int64

// String returns the id in decimal.
func (id ItemID) String() string { return strconv.FormatInt(int64(id), 10) }

// ErrItemID says what an item id must look like.
var ErrItemID = errors.New("item id must be a decimal integer from 1 to 999999999999999 without sign or leading zero")

// ErrUserID says what a user id must look like.
var ErrUserID = errors.New(`user id must be 1 to 128 visible ASCII characters other than " and \`)

// ErrFirstUserID says what a user id must look like in a sale under version 1
// of the rules.
var ErrFirstUserID = errors.New("user id must, in this sale, be 1 to 64 characters out of A-Z a-z 0-9 . _ @ : -")

// ParseItemID reads an item id in its one decimal form: no sign, no space, no
// leading zero, so that two spellings never name one item.
func ParseItemID(s string) (ItemID, error) {
	if s == "" || len(s) > 15 || s[0] == '0' {
		return 0, ErrItemID
	}
	var n ItemID
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, ErrItemID
		}
		n = n*10 + ItemID(s[i]-'0')
	}
	return n, nil
}

// UserID is a buyer's pseudonym, case-sensitive and untrimmed: 1 to 128 bytes
// of visible ASCII other than " and \, as e-mail addresses, UUIDs and the ids
// of identity providers are. It is what the caller says and proves nothing. A sale's
// rules say which user ids it takes.
type UserID string

// ParseUserID reads a user id that some version of the rules takes. It does not trim
// or fold it.
func ParseUserID(s string) (UserID, error) {
	if len(s) == 0 || len(s) > MaxUserIDLength {
		return "", ErrUserID
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return "", ErrUserID
		}
	}
	return UserID(s), nil
}

// Rules returns the first version of the rules that takes a user id from ParseUserID;
// all later versions take it, too.
func (u UserID) Rules() int {
	if len(u) > firstUserIDLength {
		return 2
	}
	for i := range len(u) {
		if strings.IndexByte(firstUserBytes, u[i]) < 0 {
			return 2
		}
	}
	return 1
}

const firstUserBytes = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._@:-"
