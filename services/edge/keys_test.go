//go:build unix

package edge_test

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
		err = os.WriteFile(path+".new", text, 0o600)
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func signedBy(f *edge.KeyFile) string {
	text, _ := f.Ring().Sign(code.Claims{Sale: sale.UUID{1}, Item: 1, User: "ann", Expires: 1}, code.Nonce{})
	return text
}

// Two edges learn an added key at different times, and a third starts between:
// whatever one has signed, all know.
func TestAnAddedKeySignsWhenAllEdgesKnowIt(t *testing.T) {
	const delay = time.Minute
	path := filepath.Join(t.TempDir(), "keys.json")
	writeKeys(t, path, 1)
	log := slog.New(slog.DiscardHandler)
	open := func() *edge.KeyFile {
		t.Helper()
		f, err := edge.OpenKeys(path, delay)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	edges := []*edge.KeyFile{open(), open()}
	check := func(when string, signing ...uint32) {
		t.Helper()
		for i, signer := range edges {
			if got := signer.Ring().Signing(); got != signing[i] {
				t.Errorf("%s: edge %d signs with key %d, want %d", when, i, got, signing[i])
			}
			for j, verifier := range edges {
				if _, err := verifier.Ring().Verify(signedBy(signer)); err != nil {
					t.Errorf("%s: edge %d refuses what edge %d signed", when, j, i)
				}
			}
		}
	}
	check("at the start", 1, 1)
	writeKeys(t, path, 1, 2)
	now := time.Now()
	edges[0].Follow(now, log)
	check("one edge has read the file", 1, 1)
	edges = append(edges, open())
	check("another has just started", 1, 1, 1)
	edges[1].Follow(now.Add(delay/2), log)
	check("all know it", 1, 1, 1)
	edges[0].Follow(now.Add(delay), log)
	check("the first signs with it", 2, 1, 1)
	for _, f := range edges {
		f.Follow(now.Add(2*delay), log)
	}
	check("all sign with it", 2, 2, 2)

	writeKeys(t, path, 2) // the old one is taken away
	old := edges[0]
	before := signedBy(open())
	text, _ := old.Ring().SigningWith(1).Sign(code.Claims{Sale: sale.UUID{1}, Item: 1, User: "ann", Expires: 1}, code.Nonce{})
	old.Follow(now.Add(3*delay), log)
	for _, text := range []string{before, text} {
		if _, err := old.Ring().Verify(text); err != nil {
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
		running, err := edge.OpenKeys(path, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		writeKeys(t, path, c.after...)
		started, err := edge.OpenKeys(path, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := running.Ring().Verify(signedBy(started)); (err != nil) != c.warns {
			t.Errorf("%s: refused %v", name, err)
		}
		var said bytes.Buffer
		for range 3 {
			running.Follow(time.Now(), slog.New(slog.NewTextHandler(&said, nil)))
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
	f, err := edge.OpenKeys(path, 0)
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
			f.Follow(time.Now(), log)
			if _, err := f.Ring().Verify(known); err != nil || f.Unusable() != 1 {
				t.Errorf("%d: a known key is forgotten, or nobody is told: %v, %v", n, err, f.Unusable())
			}
		}
		if warnings := strings.Count(said.String(), "level=WARN"); warnings != n+1 {
			t.Errorf("%d warnings, want %d:\n%s", warnings, n+1, &said)
		}
		writeKeys(t, path, 1)
		f.Follow(time.Now(), log)
		if f.Unusable() != 0 {
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
	var files []*edge.KeyFile
	for _, e := range edges {
		file, err := edge.OpenKeys(path, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		e.UseKeys(file.Ring())
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
				file.Follow(now, f.Log)
				edges[i].UseKeys(file.Ring())
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
