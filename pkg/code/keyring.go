package code

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
)

// MinSecret is the least length of a key's secret in bytes: the length of the
// HMAC's hash, as RFC 2104 section 3 advises.
const MinSecret = 32

// MaxKeys bounds a key file: a key per day for over a year.
const MaxKeys = 400

// Key is one signing key. Its secret is never printed.
type Key struct {
	ID     uint32 `json:"id"`
	Secret []byte `json:"secret"`
}

// String hides the secret.
func (k Key) String() string { return fmt.Sprintf("key %d", k.ID) }

// Keyring signs with one key and verifies with all of them. It never changes, so
// any number of goroutines may use it. A key must be kept as long as shoppers may ask
// about a sale for which it signed codes.
//
// To rotate, give every edge a ring With the new key, and only after that one that is
// SigningWith it.
type Keyring struct {
	signing Key
	byID    map[uint32]Key
}

// decoy is used for unknown key ids, so that these take as long as known ones.
var decoy = Key{Secret: make([]byte, MinSecret)}

// NewKeyring checks the keys and makes a ring of them, which signs with the last.
func NewKeyring(list []Key) (*Keyring, error) {
	if len(list) == 0 {
		return nil, errors.New("code keys: there is no key")
	}
	if len(list) > MaxKeys {
		return nil, fmt.Errorf("code keys: %d keys are more than %d", len(list), MaxKeys)
	}
	byID := make(map[uint32]Key, len(list))
	for _, k := range list {
		if len(k.Secret) < MinSecret {
			return nil, fmt.Errorf("code keys: secret of %v has %d bytes, want at least %d", k, len(k.Secret), MinSecret)
		}
		if _, twice := byID[k.ID]; twice {
			return nil, fmt.Errorf("code keys: %v is there twice", k)
		}
		byID[k.ID] = k
	}
	return &Keyring{signing: list[len(list)-1], byID: byID}, nil
}

// With returns a ring that also verifies with these keys, and signs as this one
// does. It is an error if an id is known with another secret, or if there would be
// more than MaxKeys keys.
func (r *Keyring) With(list []Key) (*Keyring, error) {
	byID := maps.Clone(r.byID)
	for _, k := range list {
		if known, found := byID[k.ID]; found && !bytes.Equal(known.Secret, k.Secret) {
			return nil, fmt.Errorf("code keys: %v is known with another secret: give the new one an id of its own", k)
		}
		byID[k.ID] = k
	}
	if len(byID) > MaxKeys {
		return nil, fmt.Errorf("code keys: %d keys, with those known before, are more than %d", len(byID), MaxKeys)
	}
	return &Keyring{signing: r.signing, byID: byID}, nil
}

// SigningWith returns a ring that signs with another of its keys, or the same
// one if it has no key of this id.
func (r *Keyring) SigningWith(id uint32) *Keyring {
	key, found := r.byID[id]
	if !found {
		return r
	}
	return &Keyring{signing: key, byID: r.byID}
}

// Has reports whether the ring has a key of this id.
func (r *Keyring) Has(id uint32) bool {
	_, found := r.byID[id]
	return found
}

// Signing returns the id of the key that signs.
func (r *Keyring) Signing() uint32 { return r.signing.ID }

type keyFile struct {
	Keys []Key `json:"keys"`
}

// ParseKeys reads a key file: {"keys":[{"id":1,"secret":"<base64>"}]}, oldest key first.
// NewKeyring takes what it returns.
func ParseKeys(data []byte) ([]Key, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var f keyFile
	if err := dec.Decode(&f); err != nil {
		return nil, fmt.Errorf("code keys: want {\"keys\":[{\"id\":1,\"secret\":\"<base64 of 32 bytes>\"}]}: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("code keys: text after the closing brace")
	}
	_, err := NewKeyring(f.Keys)
	return f.Keys, err
}

// FormatKeys writes a key file that ParseKeys reads.
func FormatKeys(keys []Key) ([]byte, error) {
	return json.MarshalIndent(keyFile{Keys: keys}, "", "  ")
}
