package statement_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"notsale/pkg/effort"
	"notsale/services/auditor/statement"
)

type testKey struct {
	signer      note.Signer
	verifierKey string
}

// newKey makes a key that follows from the seed.
func newKey(t testing.TB, name string, seed byte) testKey {
	t.Helper()
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
	verifierKey, err := note.NewEd25519VerifierKey(name, ed25519.PublicKey(private[ed25519.SeedSize:]))
	if err != nil {
		t.Fatal(err)
	}
	hash := strings.Split(verifierKey, "+")[1]
	signer, err := note.NewSigner("PRIVATE+KEY+" + name + "+" + hash + "+" + base64.StdEncoding.EncodeToString(append([]byte{1}, private.Seed()...)))
	if err != nil {
		t.Fatal(err)
	}
	return testKey{signer, verifierKey}
}

func signed(t testing.TB, s statement.Statement, k testKey) []byte {
	t.Helper()
	text, err := statement.Sign(s, k.signer)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// cosign adds a signature, as any tool for notes does.
func cosign(t testing.TB, text []byte, k testKey) []byte {
	t.Helper()
	var unverified *note.UnverifiedNoteError
	if _, err := note.Open(text, nil); !errors.As(err, &unverified) {
		t.Fatal(err)
	}
	more, err := note.Sign(unverified.Note, k.signer)
	if err != nil {
		t.Fatal(err)
	}
	return more
}

// refused checks that nothing is learned from a note, with one of these errors.
func refused(t testing.TB, what string, text []byte, verifierKey string, want ...error) {
	t.Helper()
	got, err := statement.Verify(text, verifierKey)
	for _, w := range want {
		if errors.Is(err, w) && got == (statement.Statement{}) {
			return
		}
	}
	t.Errorf("%s: %+v, %v, want one of %v", what, got, err, want)
}

// Published statements stay readable: a golden file is never changed.
func TestGoldenStatements(t *testing.T) {
	k := newKey(t, "notsale-10000000", 1)
	for name, c := range map[string]struct {
		text []byte
		want statement.Statement
	}{
		"final.v1.txt":    {signed(t, final, k), final},
		"running.v1.txt":  {signed(t, running, k), running},
		"cosigned.v1.txt": {cosign(t, signed(t, final, k), newKey(t, "witness.example", 2)), final},
	} {
		golden := goldenFile(t, name, c.text)
		if !bytes.Equal(c.text, golden) {
			t.Errorf("%s: signed\n%s\nwant\n%s", name, c.text, golden)
		}
		if got, err := statement.Verify(golden, string(goldenFile(t, "key.pub", []byte(k.verifierKey+"\n")))); err != nil || got != c.want {
			t.Errorf("%s: read %+v, %v", name, got, err)
		}
	}
}

func goldenFile(t *testing.T, name string, text []byte) []byte {
	t.Helper()
	file := filepath.Join("testdata", name)
	golden, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) && effort.Update() {
		golden, err = text, os.WriteFile(file, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return golden
}

// A statement can be checked without this package, and even without package
// note: with Ed25519 alone.
func TestOtherToolsVerify(t *testing.T) {
	t.Parallel()
	k := newKey(t, "notsale-test", 1)
	text := signed(t, final, k)
	verifier, err := note.NewVerifier(k.verifierKey)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := note.Open(text, note.VerifierList(verifier)); err != nil || n.Text != string(statement.Encode(final)) {
		t.Errorf("note.Open: %+v, %v", n, err)
	}
	body, line, _ := bytes.Cut(text, []byte("\n\n"))
	signature, err := base64.StdEncoding.DecodeString(strings.Fields(string(line))[2])
	if err != nil {
		t.Fatal(err)
	}
	public, err := base64.StdEncoding.DecodeString(strings.SplitN(k.verifierKey, "+", 3)[2])
	if err != nil {
		t.Fatal(err)
	}
	if !ed25519.Verify(public[1:], append(body, '\n'), signature[4:]) {
		t.Error("Ed25519 alone does not verify it")
	}
}

// Every byte counts: changed, added or left out, in the text, between text and
// signature, in the signature.
func TestEveryAlteredByteIsRefused(t *testing.T) {
	t.Parallel()
	k := newKey(t, "notsale-test", 1)
	text := signed(t, final, k)
	all := []error{statement.ErrAltered, statement.ErrUnsigned, statement.ErrUnreadable}
	try := func(what string, at int, altered []byte) {
		t.Helper()
		refused(t, fmt.Sprintf("byte %d %s", at, what), altered, k.verifierKey, all...)
	}
	body := bytes.Index(text, []byte("\n\n"))
	for i := range text {
		for bit := range 8 {
			altered := bytes.Clone(text)
			altered[i] ^= 1 << bit
			try("flipped", i, altered)
		}
		if i < body && text[i] != '\n' { // stays visible, so that there is no doubt about the error
			altered := bytes.Clone(text)
			altered[i] ^= 1
			refused(t, "text", altered, k.verifierKey, statement.ErrAltered)
		}
		if i > body { // where spellings that mean the same would be
			for other := range 256 {
				if byte(other) != text[i] {
					altered := bytes.Clone(text)
					altered[i] = byte(other)
					try("replaced", i, altered)
				}
			}
		}
		try("left out", i, append(bytes.Clone(text[:i]), text[i+1:]...))
		try("cut off", i, text[:i])
	}
	for i := range len(text) + 1 {
		for _, more := range []string{" ", "\n", "\r", "\t", "\x00", "=", "A", "\u00a0", "\ufeff", "\n\n"} {
			try("put before", i, []byte(string(text[:i])+more+string(text[i:])))
		}
	}
}

// The last character of the signature has bits that mean nothing: with another
// value there, package note accepts what is another spelling of the note.
func TestSignaturesHaveOneSpelling(t *testing.T) {
	t.Parallel()
	k := newKey(t, "notsale-test", 1)
	text := signed(t, final, k)
	last := len(text) - len("=\n") - 1
	if !bytes.HasSuffix(text, []byte("=\n")) {
		t.Fatal("the signature fills its base64")
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	text[last] = alphabet[strings.IndexByte(alphabet, text[last])|1]
	verifier, err := note.NewVerifier(k.verifierKey)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := note.Open(text, note.VerifierList(verifier)); err != nil {
		t.Errorf("package note has become strict: %v", err)
	}
	refused(t, "stray bits", text, k.verifierKey, statement.ErrAltered)
}

func TestOtherKeysAreRefused(t *testing.T) {
	t.Parallel()
	k := newKey(t, "notsale-test", 1)
	text := signed(t, final, k)
	refused(t, "another key", text, newKey(t, "notsale-other", 2).verifierKey, statement.ErrUnsigned)
	refused(t, "another key of that name", text, newKey(t, "notsale-test", 2).verifierKey, statement.ErrUnsigned)
	refused(t, "that key under another name", text, newKey(t, "notsale-other", 1).verifierKey, statement.ErrUnsigned)
	for name, verifierKey := range map[string]string{
		"empty": "", "no key": "notsale-test", "two keys": k.verifierKey + "\n" + k.verifierKey,
		"other hash": strings.Replace(k.verifierKey, "+", "+0", 1), "cut": k.verifierKey[:len(k.verifierKey)-4],
	} {
		refused(t, name, text, verifierKey, statement.ErrVerifierKey)
	}
	if _, err := statement.Verify(text, "\t"+k.verifierKey+" \r\n"); err != nil {
		t.Errorf("a key with white space around it: %v", err)
	}
}

// forged is a signature line with the key's name and hash over another text.
func forged(t *testing.T, k testKey) string {
	t.Helper()
	lines := strings.SplitAfter(string(signed(t, running, k)), "\n")
	return lines[len(lines)-2]
}

func TestOthersMaySign(t *testing.T) {
	t.Parallel()
	k, witness := newKey(t, "notsale-test", 1), newKey(t, "witness.example/w", 2)
	own := signed(t, final, k)
	both := cosign(t, own, witness)
	lines := strings.SplitAfter(strings.TrimPrefix(string(both), string(statement.Encode(final))+"\n"), "\n")
	first := string(statement.Encode(final)) + "\n" + lines[1] + lines[0]
	for _, text := range []string{string(both), first} {
		for _, verifierKey := range []string{k.verifierKey, witness.verifierKey} {
			if got, err := statement.Verify([]byte(text), verifierKey); err != nil || got != final {
				t.Errorf("%s\nby %s: %+v, %v", text, verifierKey, got, err)
			}
		}
	}
	// One broken signature leaves the other as it is.
	broken := []byte(string(own) + forged(t, witness))
	if got, err := statement.Verify(broken, k.verifierKey); err != nil || got != final {
		t.Errorf("beside a broken signature: %+v, %v", got, err)
	}
	refused(t, "the broken signature", broken, witness.verifierKey, statement.ErrAltered)
	// Of one key only one is read, so there may be only one.
	refused(t, "a key's two signatures", []byte(string(own)+lines[0]), k.verifierKey, statement.ErrUnreadable)
	refused(t, "a second, false signature", []byte(string(own)+forged(t, k)), k.verifierKey, statement.ErrUnreadable)
	refused(t, "a first, false signature", []byte(string(statement.Encode(final))+"\n"+forged(t, k)+lines[0]), k.verifierKey, statement.ErrAltered)
}

// A valid signature over something else: only then is the text to blame.
func TestSignedButNoStatement(t *testing.T) {
	t.Parallel()
	k := newKey(t, "notsale-test", 1)
	text := string(statement.Encode(final))
	for _, c := range []struct {
		name, text string
		want       error
	}{
		{"a newer version", strings.Replace(text, "statement/1", "statement/2", 1), statement.ErrVersion},
		{"another format", "go.sum database tree\n1\n", statement.ErrUnreadable},
		{"an impossible statement", strings.Replace(text, "sold 10000", "sold 10001", 1), statement.ErrUnreadable},
		{"two statements", text + "\n" + text, statement.ErrUnreadable},
	} {
		note, err := note.Sign(&note.Note{Text: c.text}, k.signer)
		if err != nil {
			t.Fatal(err)
		}
		refused(t, c.name, note, k.verifierKey, c.want)
	}
	refused(t, "the text alone", []byte(text), k.verifierKey, statement.ErrUnreadable)
	refused(t, "nothing", nil, k.verifierKey, statement.ErrUnreadable)
	refused(t, "a newer version by nobody", bytes.Replace(signed(t, final, k), []byte("statement/1"), []byte("statement/2"), 1), k.verifierKey, statement.ErrAltered)
}

func TestSizeIsBounded(t *testing.T) {
	t.Parallel()
	k := newKey(t, "notsale-test", 1)
	own := string(signed(t, final, k))
	line := func(bytes int) string {
		return "— witness.example " + strings.Repeat("AAAA", bytes/3) + "\n"
	}
	large := own
	for n := range 15 { // the largest that others may sign with
		large += strings.Replace(line(5000), "AAAA", "AAA"+string(rune('A'+n)), 1)
	}
	if _, err := statement.Verify([]byte(large), k.verifierKey); err != nil {
		t.Errorf("16 signatures: %v", err)
	}
	refused(t, "too large", []byte(own+line(statement.MaxSize)), k.verifierKey, statement.ErrUnreadable)
}
