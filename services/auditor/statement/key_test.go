package statement_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"notsale/pkg/sale"
	"notsale/services/auditor/statement"
)

const keyName = "notsale-10000000"

func TestKeyName(t *testing.T) {
	t.Parallel()
	if got := statement.KeyName(sale.UUID{0x10, 15: 1}); got != keyName {
		t.Errorf("%q, want %q", got, keyName)
	}
}

func mode(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode()
}

func TestKeyIsMadeOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "statement.key")
	signer, verifierKey, created, err := statement.LoadOrCreateKey(path, keyName)
	if err != nil || !created || signer.Name() != keyName {
		t.Fatalf("%v, created %v, %v", signer, created, err)
	}
	if key, public := mode(t, path), mode(t, path+".pub"); key != 0o600 || public != 0o644 {
		t.Errorf("modes %v and %v, want 0600 and 0644", key, public)
	}
	if left, _ := filepath.Glob(path + "?*"); len(left) != 1 {
		t.Errorf("left beside the file: %v", left)
	}
	public, err := os.ReadFile(path + ".pub")
	if err != nil || string(public) != verifierKey+"\n" {
		t.Errorf("public half %q, %v, want %q", public, err, verifierKey)
	}
	_, same, created, err := statement.LoadOrCreateKey(path, keyName)
	if err != nil || created || same != verifierKey {
		t.Errorf("read again: %q, created %v, %v, want %q", same, created, err, verifierKey)
	}
	text, err := statement.Sign(final, signer)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := statement.Verify(text, string(public)); err != nil || got != final {
		t.Errorf("the public half does not verify what the key signed: %+v, %v", got, err)
	}
	if _, other, _, err := statement.LoadOrCreateKey(filepath.Join(t.TempDir(), "statement.key"), keyName); err != nil || other == verifierKey {
		t.Errorf("two files have the same key: %v", err)
	}
}

func TestMissingPublicHalfIsWrittenAgain(t *testing.T) {
	t.Parallel()
	path, verifierKey := keyFile(t)
	if err := os.Remove(path + ".pub"); err != nil {
		t.Fatal(err)
	}
	_, again, created, err := statement.LoadOrCreateKey(path, keyName)
	public, readErr := os.ReadFile(path + ".pub")
	if err != nil || readErr != nil || created || again != verifierKey || string(public) != verifierKey+"\n" {
		t.Errorf("%q, %q, created %v, %v, %v, want %q", again, public, created, err, readErr, verifierKey)
	}
}

// keyFile makes a key and its public half.
func keyFile(t *testing.T) (path, verifierKey string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "statement.key")
	_, verifierKey, _, err := statement.LoadOrCreateKey(path, keyName)
	if err != nil {
		t.Fatal(err)
	}
	return path, verifierKey
}

func TestKeysMadeAtOnceAreOne(t *testing.T) {
	t.Parallel()
	for range 20 {
		path := filepath.Join(t.TempDir(), "statement.key")
		var (
			all     sync.WaitGroup
			start   = make(chan struct{})
			keys    [8]string
			created [8]bool
			errs    [8]error
		)
		for i := range keys {
			all.Go(func() {
				<-start
				_, keys[i], created[i], errs[i] = statement.LoadOrCreateKey(path, keyName)
			})
		}
		close(start)
		all.Wait()
		made := 0
		for i := range keys {
			if created[i] {
				made++
			}
			if errs[i] != nil || keys[i] != keys[0] {
				t.Fatalf("%q and %q, %v", keys[i], keys[0], errs[i])
			}
		}
		if made != 1 {
			t.Fatalf("%d made the key", made)
		}
	}
}

// Two processes found no key; the second one takes what the first one made.
func TestKeyMadeMeanwhileStays(t *testing.T) {
	t.Parallel()
	path, verifierKey := keyFile(t)
	if created, err := statement.CreateKey(path, keyName); err != nil || created {
		t.Errorf("made again: %v, %v", created, err)
	}
	if _, same, _, err := statement.LoadOrCreateKey(path, keyName); err != nil || same != verifierKey {
		t.Errorf("%q, %v, want %q", same, err, verifierKey)
	}
	if left, _ := filepath.Glob(path + ".new*"); len(left) != 0 {
		t.Errorf("left beside the file: %v", left)
	}
}

// A file that must not be used is refused, the error says what to do, nothing
// is changed, and no error tells the secret.
func TestBadKeyFilesAreRefused(t *testing.T) {
	t.Parallel()
	_, other := keyFile(t)
	write := func(text string) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			t.Helper()
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	chmod := func(mode fs.FileMode) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			t.Helper()
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		damage func(t *testing.T, path string)
		want   string
	}{
		"group may read":    {chmod(0o640), "chmod 600"},
		"others may read":   {chmod(0o604), "chmod 600"},
		"others may change": {chmod(0o602), "chmod 600"},
		"empty":             {write(""), "restore it from a backup"},
		"no key":            {write("secret\n"), "restore it from a backup"},
		"long":              {write(strings.Repeat("A", 1<<20)), "restore it from a backup"},
		"cut": {func(t *testing.T, path string) {
			t.Helper()
			if err := os.Truncate(path, 60); err != nil {
				t.Fatal(err)
			}
		}, "restore it from a backup"},
		"a verifier key": {write(other + "\n"), "restore it from a backup"},
		"a folder": {func(t *testing.T, path string) {
			t.Helper()
			if err := errors.Join(os.Remove(path), os.Mkdir(path, 0o700)); err != nil {
				t.Fatal(err)
			}
		}, "not a file"},
		"the public half of another key": {func(t *testing.T, path string) {
			t.Helper()
			write(other+"\n")(t, path+".pub")
		}, "not the public half"},
		"the public half alone": {func(t *testing.T, path string) {
			t.Helper()
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}, "restore the key from a backup"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path, _ := keyFile(t)
			secret, _ := os.ReadFile(path)
			c.damage(t, path)
			before, beforeErr := os.ReadFile(path)
			signer, verifierKey, created, err := statement.LoadOrCreateKey(path, keyName)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("%v, want %q and the path", err, c.want)
			}
			if signer != nil || verifierKey != "" || created {
				t.Errorf("%v, %q, created %v", signer, verifierKey, created)
			}
			if begin := strings.SplitN(string(secret), "+", 5)[4][:8]; err != nil && strings.Contains(err.Error(), begin) {
				t.Errorf("the error tells the secret: %v", err)
			}
			if after, afterErr := os.ReadFile(path); string(after) != string(before) || errors.Is(afterErr, fs.ErrNotExist) != errors.Is(beforeErr, fs.ErrNotExist) {
				t.Errorf("the file was changed to %q, %v", after, afterErr)
			}
		})
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	path, _ := keyFile(t)
	if _, _, _, err := statement.LoadOrCreateKey(path, "notsale-20000000"); err == nil || !strings.Contains(err.Error(), "another installation") {
		t.Errorf("a key of another name: %v", err)
	}
	for _, name := range []string{"", "a b", "a+b", "a\nb", "a\x01b", "ä", "a\u00a0b", "\xff"} {
		path := filepath.Join(t.TempDir(), "statement.key")
		if _, _, _, err := statement.LoadOrCreateKey(path, name); err == nil || !strings.Contains(err.Error(), "no name") {
			t.Errorf("name %q: %v", name, err)
		}
		if left, _ := filepath.Glob(path + "*"); len(left) != 0 {
			t.Errorf("name %q: left %v", name, left)
		}
	}
	if _, _, _, err := statement.LoadOrCreateKey(filepath.Join(t.TempDir(), "none", "statement.key"), keyName); err == nil || !strings.Contains(err.Error(), "statement.key") {
		t.Errorf("a folder that is not there: %v", err)
	}
}

// A key is read where nothing can be written: here, no file beside it can have
// a name as long as its own and more.
func TestToSignItIsEnoughToRead(t *testing.T) {
	t.Parallel()
	short := filepath.Join(t.TempDir(), "key")
	_, verifierKey, _, err := statement.LoadOrCreateKey(short, keyName)
	if err != nil {
		t.Fatal(err)
	}
	long := short + strings.Repeat("y", 255-len("key"))
	if err := os.Rename(short, long); err != nil {
		t.Fatal(err)
	}
	_, same, created, err := statement.LoadOrCreateKey(long, keyName)
	if err != nil || created || same != verifierKey {
		t.Errorf("%q, created %v, %v, want %q", same, created, err, verifierKey)
	}
	if err := os.Remove(long); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := statement.LoadOrCreateKey(long, keyName); err == nil || !strings.Contains(err.Error(), "there is no signing key") {
		t.Errorf("no key: %v", err)
	}
}
