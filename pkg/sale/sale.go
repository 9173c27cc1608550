package sale

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// RulesVersion is the version of the allocation rules that new sales are
// opened under. A sale is decided, replayed and audited under the version in
// its opening record. pkg/allocation says how to change the rules; this number
// is raised last, when every allocator that runs knows the version.
const RulesVersion = 2

// MaxStock is the largest stock a sale may have: a guard against a mistyped
// configuration, a hundred times the usual 10,000.
const MaxStock = 1_000_000

// MaxUserLimit is the largest per-user limit: it bounds what one fact of the
// rejection cache may hold (one code id per grant).
const MaxUserLimit = 1000

// ID is the number of a sale: 1 for the first sale of an installation, then
// one more for each. It names the sale in URLs and stream names.
type ID int64

// String returns the number in decimal, as used in stream names and URLs.
func (id ID) String() string { return strconv.FormatInt(int64(id), 10) }

// UUID identifies an installation or a sale for ever. After a restore that lost
// data, numbers may be used again, UUIDs never are.
type UUID [16]byte

// IsZero reports whether the UUID was never set.
func (u UUID) IsZero() bool { return u == UUID{} }

// String returns the usual 36-character form.
func (u UUID) String() string {
	h := hex.EncodeToString(u[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// ParseUUID reads the 36-character lower- or upper-case form.
func ParseUUID(s string) (UUID, error) {
	var u UUID
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return UUID{}, errors.New("uuid: want 36 characters, xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx")
	}
	digits := s[0:8] + s[9:13] + s[14:18] + s[19:23] + s[24:36]
	if _, err := hex.Decode(u[:], []byte(digits)); err != nil {
		return UUID{}, errors.New("uuid: not hexadecimal")
	}
	return u, nil
}

// MarshalText writes the 36-character form.
func (u UUID) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// UnmarshalText reads the 36-character form.
func (u *UUID) UnmarshalText(b []byte) error {
	parsed, err := ParseUUID(string(b))
	if err != nil {
		return err
	}
	*u = parsed
	return nil
}

// Sale is one sale's unchanging description: the content of its opening
// record. A replay takes no parameter from anywhere else.
type Sale struct {
	Installation UUID      // the installation that opened it
	UUID         UUID      // this sale, for ever
	ID           ID        // its number
	OpensAt      time.Time // start of its slot, UTC, whole microseconds
	Stock        int       // items on sale, 1 to MaxStock
	UserLimit    int       // items one user may buy, 1 to MaxUserLimit
	FirstItem    ItemID    // its items are FirstItem to LastItem()
	Seed         uint64    // source of names and pictures, below 2^63
	Rules        int       // version of the allocation rules
}

// LastItem returns the highest item id of the sale.
func (s Sale) LastItem() ItemID { return s.FirstItem + ItemID(s.Stock) - 1 }

// Contains reports whether the item belongs to the sale.
func (s Sale) Contains(item ItemID) bool {
	return item >= s.FirstItem && item <= s.LastItem()
}

// Takes reports whether the sale's rules take the user id, or returns why not.
func (s Sale) Takes(user UserID) error {
	if user.Rules() > s.Rules {
		return ErrFirstUserID
	}
	return nil
}

// Validate reports the first field that no sale may have.
func (s Sale) Validate() error {
	switch {
	case s.Installation.IsZero():
		return errors.New("sale: installation id is missing")
	case s.UUID.IsZero():
		return errors.New("sale: sale id is missing")
	case s.ID < 1:
		return fmt.Errorf("sale: number %d is not positive", s.ID)
	case s.OpensAt.IsZero():
		return errors.New("sale: opening time is missing")
	case s.Stock < 1 || s.Stock > MaxStock:
		return fmt.Errorf("sale: stock %d is not in 1..%d", s.Stock, MaxStock)
	case s.UserLimit < 1 || s.UserLimit > MaxUserLimit:
		return fmt.Errorf("sale: user limit %d is not in 1..%d", s.UserLimit, MaxUserLimit)
	case s.FirstItem < 1 || s.FirstItem > MaxItemID-ItemID(s.Stock):
		return fmt.Errorf("sale: first item %d is out of range", s.FirstItem)
	case s.Seed >= 1<<63:
		return errors.New("sale: seed is not below 2^63")
	case s.Rules < 1:
		return fmt.Errorf("sale: rules version %d is not positive", s.Rules)
	}
	return nil
}
