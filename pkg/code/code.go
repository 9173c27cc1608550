package code

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"

	"notsale/pkg/sale"
)

const (
	version    = 1
	offKey     = 1
	offSale    = offKey + 4
	offItem    = offSale + 16
	offExpires = offItem + 8
	offNonce   = offExpires + 8
	offUser    = offNonce + 12
	tagSize    = 16

	minSize = offUser + 1 + tagSize
	maxSize = offUser + sale.MaxUserIDLength + tagSize
)

// MaxLength is the longest code in characters. A longer string is refused unread.
const MaxLength = (maxSize*8 + 5) / 6

const minLength = (minSize*8 + 5) / 6

// ErrInvalid is the one error for every string that is no valid code.
var ErrInvalid = errors.New("code: not a valid code")

var encoding = base64.RawURLEncoding.Strict()

// ID identifies a code without being usable as one.
type ID [16]byte

// IsZero reports whether the ID was never set; no code has the zero ID.
func (id ID) IsZero() bool { return id == ID{} }

// String returns the ID as 32 hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// ParseID reads what String writes: 32 lower-case hexadecimal digits.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != 2*len(id) {
		return ID{}, errors.New("code id: want 32 hexadecimal digits")
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return ID{}, errors.New("code id: not lower-case hexadecimal")
		}
	}
	_, err := hex.Decode(id[:], []byte(s))
	return id, err
}

// Nonce makes two codes for the same claims different. It must be random: 96
// bits keep a collision among a billion codes below one in 10^11.
type Nonce [12]byte

// Claims is what a code proves.
type Claims struct {
	Sale    sale.UUID
	Item    sale.ItemID
	User    sale.UserID
	Expires sale.Instant // the code is refused at stream times after it
}

// Verified is a code that a known key signed.
type Verified struct {
	Claims
	ID ID
}

// Sign makes the code for the claims with the ring's signing key. The claims'
// user must have come from sale.ParseUserID.
func (r *Keyring) Sign(c Claims, nonce Nonce) (string, Verified) {
	key := r.signing
	raw := make([]byte, offUser, maxSize+sha256.Size)
	raw[0] = version
	binary.BigEndian.PutUint32(raw[offKey:], key.ID)
	copy(raw[offSale:], c.Sale[:])
	binary.BigEndian.PutUint64(raw[offItem:], uint64(c.Item))
	binary.BigEndian.PutUint64(raw[offExpires:], uint64(c.Expires))
	copy(raw[offNonce:], nonce[:])
	raw = append(raw, c.User...)
	id := idOf(raw)
	raw = append(raw, tag(key, raw)...)
	return encoding.EncodeToString(raw), Verified{Claims: c, ID: id}
}

// Verify returns what a code proves, or ErrInvalid.
func (r *Keyring) Verify(s string) (Verified, error) {
	var buf [maxSize]byte
	payload, got, err := split(s, &buf)
	if err != nil {
		return Verified{}, err
	}
	key, ok := r.byID[binary.BigEndian.Uint32(payload[offKey:])]
	if !ok {
		key = decoy
	}
	if !hmac.Equal(tag(key, payload), got) || !ok {
		return Verified{}, ErrInvalid
	}
	return parseSigned(payload)
}

// Read returns what a code says without verifying it, so that nothing is proved. It
// is for people who inspect a code, never for deciding about one. ErrInvalid: it does
// not have the form of a code.
func Read(s string) (ID, Claims, error) {
	var buf [maxSize]byte
	payload, _, err := split(s, &buf)
	if err != nil {
		return ID{}, Claims{}, err
	}
	v, err := parseSigned(payload)
	return v.ID, v.Claims, err
}

// split decodes a code into its signed part and its tag.
func split(s string, buf *[maxSize]byte) (payload, tag []byte, err error) {
	if len(s) < minLength || len(s) > MaxLength {
		return nil, nil, ErrInvalid
	}
	n, err := encoding.Decode(buf[:], []byte(s))
	// base64 skips line breaks; the length shows whether it did.
	if err != nil || encoding.EncodedLen(n) != len(s) || n < minSize || buf[0] != version {
		return nil, nil, ErrInvalid
	}
	return buf[:n-tagSize], buf[n-tagSize : n], nil
}

// parseSigned reads a payload whose tag is right. It refuses what Sign never makes:
// keys may be shared with other software by mistake.
func parseSigned(payload []byte) (Verified, error) {
	user, err := sale.ParseUserID(string(payload[offUser:]))
	if err != nil {
		return Verified{}, ErrInvalid
	}
	v := Verified{ID: idOf(payload), Claims: Claims{
		Item:    sale.ItemID(binary.BigEndian.Uint64(payload[offItem:])),
		User:    user,
		Expires: sale.Instant(binary.BigEndian.Uint64(payload[offExpires:])),
	}}
	copy(v.Sale[:], payload[offSale:offItem])
	if v.Item < 1 || v.Item > sale.MaxItemID || v.Expires < 0 {
		return Verified{}, ErrInvalid
	}
	return v, nil
}

func idOf(payload []byte) ID {
	sum := sha256.Sum256(payload)
	return ID(sum[:len(ID{})])
}

func tag(key Key, payload []byte) []byte {
	mac := hmac.New(sha256.New, key.Secret)
	mac.Write(payload)
	return mac.Sum(nil)[:tagSize]
}
