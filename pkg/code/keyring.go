package code

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

// Keyring signs with its last key and verifies with any of them. It never
// changes after NewKeyring, so any number of goroutines may use it; to rotate,
// make a new ring that has the old keys first and the new key last. A key must
// stay as long as a sale that it signed codes for can still be asked about.
type Keyring struct {
	signing Key
	byID    map[uint32]Key
	decoy   Key // for unknown key ids, so that they take as long as known ones
}

// NewKeyring checks the keys and makes a ring of them.
func NewKeyring(keys []Key) (*Keyring, error) {
	if len(keys) == 0 {
		return nil, errors.New("code keys: there is no key")
	}
	if len(keys) > MaxKeys {
		return nil, fmt.Errorf("code keys: %d keys are more than %d", len(keys), MaxKeys)
	}
	ring := &Keyring{byID: make(map[uint32]Key, len(keys)), decoy: Key{Secret: make([]byte, MinSecret)}}
	for _, k := range keys {
		if len(k.Secret) < MinSecret {
			return nil, fmt.Errorf("code keys: secret of %v has %d bytes, want at least %d", k, len(k.Secret), MinSecret)
		}
		if _, twice := ring.byID[k.ID]; twice {
			return nil, fmt.Errorf("code keys: %v stands twice", k)
		}
		ring.byID[k.ID] = k
		ring.signing = k
	}
	return ring, nil
}

type keyFile struct {
	Keys []Key `json:"keys"`
}

// ParseKeyring reads a key file: {"keys":[{"id":1,"secret":"<base64>"}]},
// oldest key first.
func ParseKeyring(data []byte) (*Keyring, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var f keyFile
	if err := dec.Decode(&f); err != nil {
		return nil, fmt.Errorf("code keys: want {\"keys\":[{\"id\":1,\"secret\":\"<base64 of 32 bytes>\"}]}: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("code keys: text after the closing brace")
	}
	return NewKeyring(f.Keys)
}

// FormatKeys writes a key file that ParseKeyring reads.
func FormatKeys(keys []Key) ([]byte, error) {
	return json.MarshalIndent(keyFile{Keys: keys}, "", "  ")
}
