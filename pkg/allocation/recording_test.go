package allocation_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"notsale/pkg/allocation"
)

const (
	recorded = "testdata/recorded"
	sums     = "SUMS" // as sha256sum writes and checks them
)

// recordings returns the names of all recordings.
func recordings(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(recorded, "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	for i := range files {
		files[i] = filepath.Base(files[i])
	}
	return files
}

// Whatever becomes of the engine, each recorded stream gives what it gave when
// it was recorded. Where this fails, the engine is wrong and no recording: old
// sales would fail their audit. Rules change by a version of their own.
func TestRecordings(t *testing.T) {
	for _, name := range recordings(t) {
		t.Run(name, func(t *testing.T) {
			r, text := readRecording(t, filepath.Join(recorded, name))
			got := r.replay(t, r.sale(t).Rules)
			if got.text != text {
				t.Errorf("the recording came out otherwise, from line %s", firstDifference(got.text, text))
			}
			decisions, cursor := r.audit(t, got)
			if !reflect.DeepEqual(decisions, got.decisions) || cursor != got.cursor {
				t.Errorf("an audit of what is left comes to\n%+v, want\n%+v", cursor, got.cursor)
			}
		})
	}
}

// firstDifference shows the first line in which the texts differ.
func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("%d:\n%s\nwant\n%s", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("%d: %d lines, want %d", min(len(g), len(w)), len(g), len(w))
}

// The naive engine knows nothing of the real one and agrees.
func TestRecordingsAreTheModels(t *testing.T) {
	for _, name := range recordings(t) {
		r, _ := readRecording(t, filepath.Join(recorded, name))
		naive := &model{sale: r.sale(t)}
		for i := range r.events {
			e := &r.events[i]
			if e.hole {
				continue
			}
			naive.stamped(e.at)
			if i == 0 {
				continue
			}
			for _, request := range e.pack(t).Requests {
				naive.ask(request)
			}
		}
		if got := r.replay(t, naive.sale.Rules); !reflect.DeepEqual(got.decisions, naive.log) {
			t.Errorf("%s: the model decides\n%+v, the engine\n%+v", name, naive.log, got.decisions)
		}
	}
}

// Recordings are only ever added.
func TestRecordingsAreAppendOnly(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(recorded, sums))
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for line := range strings.Lines(string(text)) {
		sum, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		listed = append(listed, name)
		data, err := os.ReadFile(filepath.Join(recorded, name))
		if err != nil {
			t.Errorf("recordings are never removed: %v", err)
		} else if got := fmt.Sprintf("%x", sha256.Sum256(data)); got != sum {
			t.Errorf("%s was edited: take the edit back and add a new recording instead, with -record", name)
		}
	}
	for _, name := range recordings(t) {
		if !slices.Contains(listed, name) {
			t.Errorf("%s does not stand in %s: add a recording with -record, not by hand", name, sums)
		}
	}
}

// A version without recordings could be edited and nobody would notice.
func TestEveryVersionIsRecorded(t *testing.T) {
	names := recordings(t)
	for version := 1; allocation.KnownRules(version); version++ {
		for script := range scripts {
			if name := recordingName(version, script); !slices.Contains(names, name) {
				t.Errorf("%s is missing: go test ./pkg/allocation -run TestRecord$ -record %s", name, strings.TrimSuffix(name, ".txt"))
			}
		}
	}
}
