package statement

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// The errors of Verify.
var (
	// ErrUnsigned reports that the key in question did not sign the note.
	ErrUnsigned = errors.New("statement: no signature by that key")
	// ErrAltered reports that the key's signature does not fit the text: one of
	// them was changed.
	ErrAltered = errors.New("statement: the text or its signature was altered")
	// ErrVersion reports a statement of a version that this program does not know.
	ErrVersion = errors.New("statement: unknown version")
	// ErrUnreadable reports what is no statement, or not spelt as one.
	ErrUnreadable = errors.New("statement: unreadable")
	// ErrVerifierKey reports a verifier key that is none.
	ErrVerifierKey = errors.New("statement: not a verifier key (want name+hash+key, as in a .pub file)")
)

// MaxSize is the most bytes of a signed statement: room for the text and the 16
// signatures, of 5 kB each in base64, that c2sp.org/signed-note asks for.
const MaxSize = 128 << 10

// Sign returns the statement as a signed note. The same statement and key
// always give the same bytes. A statement that is not valid is not signed.
func Sign(s Statement, signer note.Signer) ([]byte, error) {
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("statement: not signed: %w", err)
	}
	signed, err := note.Sign(&note.Note{Text: string(Encode(s))}, signer)
	if err != nil {
		return nil, fmt.Errorf("statement: not signed: %w", err)
	}
	return signed, nil
}

// Verify returns what a signed note states if the verifier key's owner signed
// it. White space around the key is passed over; in the note every byte counts.
// Signatures by other keys are allowed and not looked at. The signature is
// judged first: only ErrVersion, and ErrUnreadable for a text, speak of what
// the key's owner wrote.
func Verify(signed []byte, verifierKey string) (Statement, error) {
	verifier, err := note.NewVerifier(strings.TrimSpace(verifierKey))
	if err != nil {
		return Statement{}, fmt.Errorf("%w: %w", ErrVerifierKey, err)
	}
	if len(signed) > MaxSize {
		return Statement{}, fmt.Errorf("%w: more than %d bytes", ErrUnreadable, MaxSize)
	}
	n, err := note.Open(signed, &single{verifier: verifier})
	if err != nil {
		return Statement{}, classify(err, verifier)
	}
	// note.Open passes over stray bits at the end of base64.
	if _, err := base64.StdEncoding.Strict().DecodeString(n.Sigs[0].Base64); err != nil {
		return Statement{}, fmt.Errorf("%w: signature: %w", ErrAltered, err)
	}
	return Parse([]byte(n.Text))
}

// classify turns an error of note.Open into one of Verify's.
func classify(err error, verifier note.Verifier) error {
	var unsigned *note.UnverifiedNoteError
	var invalid *note.InvalidSignatureError
	switch {
	case errors.As(err, &unsigned):
		return fmt.Errorf("%w: %s+%08x", ErrUnsigned, verifier.Name(), verifier.KeyHash())
	case errors.As(err, &invalid):
		return fmt.Errorf("%w: %w", ErrAltered, err)
	}
	return fmt.Errorf("%w: %w", ErrUnreadable, err)
}

// single knows one key and lets it sign once: note.Open, with a list of
// verifiers, would pass over a key's second signature without reading it.
type single struct {
	verifier note.Verifier
	seen     bool
}

var errTwice = errors.New("the key has signed twice")

// Verifier is asked by note.Open once for each signature, in their order.
func (k *single) Verifier(name string, hash uint32) (note.Verifier, error) {
	switch {
	case name != k.verifier.Name() || hash != k.verifier.KeyHash():
		return nil, &note.UnknownVerifierError{Name: name, KeyHash: hash}
	case k.seen:
		return nil, errTwice
	}
	k.seen = true
	return k.verifier, nil
}
