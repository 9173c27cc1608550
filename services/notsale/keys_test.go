package main

import (
	"bytes"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"notsale/pkg/code"
	"notsale/pkg/effort"
	"notsale/pkg/sale"
	"notsale/services/edge"
	"notsale/services/servicetest"
)

func TestKeysAreMadeOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	first, err := ensureKeys(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v, want 0600", info.Mode(), err)
	}
	second, err := ensureKeys(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := first.ring.Sign(code.Claims{Sale: sale.UUID{1}, Item: 1, User: "ann", Expires: 1}, code.Nonce{})
	if _, err := second.ring.Verify(text); err != nil {
		t.Errorf("the file's key does not verify what the made one signed: %v", err)
	}
	other, err := ensureKeys(filepath.Join(t.TempDir(), "keys.json"), 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.ring.Verify(text); err == nil {
		t.Error("two installations have the same key")
	}
	if left, _ := filepath.Glob(path + "?*"); len(left) != 0 {
		t.Errorf("left beside the file: %v", left)
	}
}

func TestBadKeyFilesAreRefused(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct{ text, want string }{
		"empty":   {"", "code-keys"},
		"no keys": {`{"keys":[]}`, "no key"},
		"short":   {`{"keys":[{"id":1,"secret":"AAAA"}]}`, "at least 32"},
		"cut":     {`{"keys":[{"id":1,"secret":"AA`, "code-keys"},
		"twice":   {`{"keys":[]} {}`, "closing brace"},
	} {
		path := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ensureKeys(path, 0); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if text, err := os.ReadFile(path); err != nil || string(text) != c.text {
			t.Errorf("%s: the file is now %q, %v", name, text, err)
		}
	}
	if _, err := openKeys("", 0); err == nil || !strings.Contains(err.Error(), "--code-keys") {
		t.Errorf("no file: %v", err)
	}
	if _, err := openKeys(filepath.Join(dir, "none"), 0); err == nil {
		t.Error("a file that does not exist is read")
	}
}

// writeKeys writes a file of keys with these ids, as an operator would: beside
// and renamed.
func writeKeys(t *testing.T, path string, ids ...uint32) {
	t.Helper()
	var list []code.Key
	for _, id := range ids {
		list = append(list, code.Key{ID: id, Secret: bytes.Repeat([]byte{byte(id)}, code.MinSecret)})
	}
	text, err := code.FormatKeys(list)
	if err == nil {
		err = writeDurably(path, text)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func signedBy(f *keyFile) string {
	text, _ := f.ring.Sign(code.Claims{Sale: sale.UUID{1}, Item: 1, User: "ann", Expires: 1}, code.Nonce{})
	return text
}

// Two edges learn an added key at different times, and a third starts between:
// whatever one has signed, all know.
func TestAnAddedKeySignsWhenAllEdgesKnowIt(t *testing.T) {
	const delay = time.Minute
	path := filepath.Join(t.TempDir(), "keys.json")
	writeKeys(t, path, 1)
	log := slog.New(slog.DiscardHandler)
	open := func() *keyFile {
		t.Helper()
		f, err := openKeys(path, delay)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	edges := []*keyFile{open(), open()}
	check := func(when string, signing ...uint32) {
		t.Helper()
		for i, signer := range edges {
			if got := signer.ring.Signing(); got != signing[i] {
				t.Errorf("%s: edge %d signs with key %d, want %d", when, i, got, signing[i])
			}
			for j, verifier := range edges {
				if _, err := verifier.ring.Verify(signedBy(signer)); err != nil {
					t.Errorf("%s: edge %d refuses what edge %d signed", when, j, i)
				}
			}
		}
	}
	check("at the start", 1, 1)
	writeKeys(t, path, 1, 2)
	now := time.Now()
	edges[0].follow(now, log)
	check("one edge has read the file", 1, 1)
	edges = append(edges, open())
	check("another has just started", 1, 1, 1)
	edges[1].follow(now.Add(delay/2), log)
	check("all know it", 1, 1, 1)
	edges[0].follow(now.Add(delay), log)
	check("the first signs with it", 2, 1, 1)
	for _, f := range edges {
		f.follow(now.Add(2*delay), log)
	}
	check("all sign with it", 2, 2, 2)

	writeKeys(t, path, 2) // the old one is taken away
	old := edges[0]
	before := signedBy(open())
	text, _ := old.ring.SigningWith(1).Sign(code.Claims{Sale: sale.UUID{1}, Item: 1, User: "ann", Expires: 1}, code.Nonce{})
	old.follow(now.Add(3*delay), log)
	for _, text := range []string{before, text} {
		if _, err := old.ring.Verify(text); err != nil {
			t.Error("a code is refused that was valid when the process began")
		}
	}
}

// Keys are changed so that an edge which starts now signs with one that those
// that run may not have read yet: whoever reads it warns. One that is added
// behind the former is as it should be.
func TestAChangeOfKeysThatAStartMakesUnsafeIsWarnedOf(t *testing.T) {
	for name, c := range map[string]struct {
		before, after []uint32
		warns         bool
	}{
		"one is added":         {[]uint32{1}, []uint32{1, 2}, false},
		"and another, later":   {[]uint32{1, 2}, []uint32{1, 2, 3}, false},
		"the oldest is taken":  {[]uint32{1, 2}, []uint32{2}, false},
		"one takes its place":  {[]uint32{1}, []uint32{2}, true},
		"two are added":        {[]uint32{1}, []uint32{1, 2, 3}, true},
		"two take their place": {[]uint32{1, 2}, []uint32{3, 4}, true},
	} {
		path := filepath.Join(t.TempDir(), "keys.json")
		writeKeys(t, path, c.before...)
		running, err := openKeys(path, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		writeKeys(t, path, c.after...)
		started, err := openKeys(path, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := running.ring.Verify(signedBy(started)); (err != nil) != c.warns {
			t.Errorf("%s: refused %v", name, err)
		}
		var said bytes.Buffer
		for range 3 {
			running.follow(time.Now(), slog.New(slog.NewTextHandler(&said, nil)))
		}
		if n := strings.Count(said.String(), "level=WARN"); n > 1 || (n == 1) != c.warns {
			t.Errorf("%s: %d warnings:\n%s", name, n, &said)
		}
	}
}

// While the file cannot be used, what is known is used, with one warning; and it
// can be repaired.
func TestABrokenKeyFileIsWarnedOfOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	writeKeys(t, path, 1)
	f, err := openKeys(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	log := slog.New(slog.NewTextHandler(&said, nil))
	known := signedBy(f)
	other, err := code.FormatKeys([]code.Key{{ID: 1, Secret: bytes.Repeat([]byte{9}, code.MinSecret)}})
	if err != nil {
		t.Fatal(err)
	}
	for n, breakIt := range []func() error{
		func() error { return os.Remove(path) },
		func() error { return os.WriteFile(path, nil, 0o600) },
		func() error { return os.WriteFile(path, []byte(`{"keys":[{"id":1,`), 0o600) },
		func() error { return os.WriteFile(path, other, 0o600) },
	} {
		if err := breakIt(); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			f.follow(time.Now(), log)
			if _, err := f.ring.Verify(known); err != nil || f.unusable() != 1 {
				t.Errorf("%d: a known key is forgotten, or nobody is told: %v, %v", n, err, f.unusable())
			}
		}
		if warnings := strings.Count(said.String(), "level=WARN"); warnings != n+1 {
			t.Errorf("%d warnings, want %d:\n%s", warnings, n+1, &said)
		}
		writeKeys(t, path, 1)
		f.follow(time.Now(), log)
		if f.unusable() != 0 {
			t.Error("repaired, and still unusable")
		}
	}
}

// Keys come and go while shoppers check out at one edge and buy at another, which
// read the file at different times: no code is refused.
func TestKeysAreChangedUnderLoad(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil)
	of := f.OpenSale(effort.Of(200, 2000), 10)
	f.Allocate()
	other, second := f.UnreadyEdge(t)
	servicetest.Eventually(t, "the other edge is ready", func() bool { return second.Ready(t.Context()) == nil })
	shops, edges := []*servicetest.Shop{f.Shop, other}, []*edge.Edge{f.Edge, second}
	path := t.TempDir() + "/keys.json"
	writeKeys(t, path, 1)
	var files []*keyFile
	for _, e := range edges {
		file, err := openKeys(path, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		e.UseKeys(file.ring)
		files = append(files, file)
	}
	var next, bought, rounds atomic.Int64
	var over atomic.Bool
	var shoppers sync.WaitGroup
	for n := range 8 {
		shoppers.Go(func() {
			for i := next.Add(1) - 1; i < int64(of.Stock); i = next.Add(1) - 1 {
				c := shops[n%2].Checkout(t, servicetest.User(int(i)), int64(of.FirstItem)+i)
				if a := shops[(n+1)%2].Purchase(t, c.Code); a.Status != http.StatusOK {
					t.Errorf("a code is refused after %d changes: %d %s", rounds.Load(), a.Status, a.Body)
				}
				bought.Add(1)
			}
		})
	}
	go func() {
		shoppers.Wait()
		over.Store(true)
	}()
	now := time.Now()
	for key := uint32(2); !over.Load(); key++ { // behind the one that signs; an hour later it signs, and the first goes
		writeKeys(t, path, key-1, key)
		for _, pause := range []time.Duration{0, time.Hour} {
			now = now.Add(pause)
			for i, file := range files {
				file.follow(now, f.Log)
				edges[i].UseKeys(file.ring)
				// More than are under way are sold before the other edge reads it.
				for from := bought.Load(); bought.Load() <= from+8 && !over.Load(); {
					time.Sleep(time.Millisecond)
				}
			}
		}
		rounds.Add(1)
	}
	if n := rounds.Load(); n < 3 {
		t.Errorf("only %d changes of keys", n)
	}
}
