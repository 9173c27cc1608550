package code_test

import (
	"bytes"
	"testing"

	"notsale/pkg/code"
)

func key(id uint32, secret byte) code.Key {
	return code.Key{ID: id, Secret: bytes.Repeat([]byte{secret}, code.MinSecret)}
}

// An edge that has learnt a key accepts what others sign with it, and signs with
// it only when it is told to.
func TestAKeyIsLearntBeforeItSigns(t *testing.T) {
	old := ring(t, 1)
	both, err := old.With([]code.Key{{ID: 2, Secret: bytes.Repeat([]byte{2, 7}, 16)}})
	if err != nil {
		t.Fatal(err)
	}
	before, _ := both.Sign(claims, code.Nonce{1})
	if _, err := old.Verify(before); err != nil || both.Signing() != 1 {
		t.Error("it signs with a key that others do not know yet")
	}
	after, _ := both.SigningWith(2).Sign(claims, code.Nonce{1})
	for _, text := range []string{before, after} {
		for _, edge := range []*code.Keyring{both, both.SigningWith(2)} {
			if _, err := edge.Verify(text); err != nil {
				t.Error("a valid code is refused")
			}
		}
	}
	if _, err := old.Verify(after); err == nil || both.SigningWith(2).Signing() != 2 {
		t.Error("the new key does not sign")
	}
	if both.SigningWith(3).Signing() != 1 {
		t.Error("a key signs that is not there")
	}
}

func TestKeysThatCannotBeLearnt(t *testing.T) {
	r := ring(t, 1)
	many := make([]code.Key, code.MaxKeys)
	for i := range many {
		many[i] = key(uint32(i+2), 9)
	}
	for name, list := range map[string][]code.Key{
		"another secret for an id": {key(5, 5), key(1, 9)},
		"too many":                 many,
	} {
		if _, err := r.With(list); err == nil {
			t.Errorf("%s: learnt", name)
		}
	}
	if r.SigningWith(5) != r {
		t.Error("a ring has changed")
	}
}
