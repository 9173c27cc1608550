//go:build unix

package archive

import (
	"bytes"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"notsale/services/auditor"
)

var record = flag.String("record", "", "write a new archive of this name into testdata")

// recorded are archives of earlier versions of this program, with the SHA-256 of
// their manifests. The list only ever grows: archives must stay readable.
var recorded = map[string]string{
	"format-1.notsale.tar": "8b77fe7b0d421d87b3c48720665f7227db72303d3f470f1787fe71387b805472",
}

func TestRecordedArchivesStayReadable(t *testing.T) {
	if *record != "" {
		s := everything(t)
		if _, err := Create(t.Context(), filepath.Join("testdata", *record), s.ledger, s.streams, s.of.ID, nil); err != nil {
			t.Fatal(err)
		}
	}
	for name, sum := range recorded {
		file, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		if d := verified(t, file); d != nil {
			t.Errorf("%s: %v", name, d)
		}
		a := opened(t, file)
		m, err := a.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		if m.Sum().String() != sum {
			t.Errorf("%s: the manifest has SHA-256 %v: it is not the archive that was recorded; add a new one instead", name, m.Sum())
		}
		if r := audit(t, a, a, m.Number); !r.Clean() || r.Holes != 1 {
			t.Errorf("%s: %+v", name, r)
		}
		var again bytes.Buffer
		if _, err := Write(t.Context(), &again, a, a, m.Number, nil); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(file, again.Bytes()) {
			t.Errorf("%s: an export of it gives other bytes: has the compressor changed, or readme.txt? Both are a part of the format", name)
		}
	}
}

// firstRecorded is the archive that fuzzing changes.
func firstRecorded(f *testing.F) []byte {
	f.Helper()
	file, err := os.ReadFile(filepath.Join("testdata", "format-1.notsale.tar"))
	if err != nil {
		f.Fatal(err)
	}
	return file
}

// spliced replaces what stands between two places. Fuzzing changes what is put
// there: small inputs are tried much faster than whole files.
func spliced(text []byte, from, to uint32, with []byte) []byte {
	begin := min(int(from), len(text))
	return slices.Concat(text[:begin], with, text[max(begin, min(int(to), len(text))):])
}

// Whatever a file holds, opening, verifying and reading it ends, and never
// panics; where nothing is damaged, all of it can be read.
func FuzzOpenVerify(f *testing.F) {
	recorded := firstRecorded(f)
	size := uint32(len(recorded))
	f.Add(uint32(0), uint32(0), []byte{})
	f.Add(uint32(0), uint32(block), headerOf(f, readmeName, 77))
	f.Add(size-2*block, size, []byte{})
	f.Add(size, size, []byte("more"))
	f.Add(uint32(0), size, headerOf(f, manifestName, 3))
	for _, r := range regions(f, recorded) {
		f.Add(uint32(r.from), uint32(r.from+1), []byte("0"))
	}
	f.Fuzz(func(t *testing.T, from, to uint32, with []byte) {
		file := spliced(recorded, from, to, with)
		damage, a := verified(t, file), opened(t, file)
		if (damage == nil) != bytes.Equal(file, recorded) {
			t.Errorf("changed, and found %v", damage)
		}
		m, err := a.Manifest()
		if damage == nil && err != nil {
			t.Errorf("no damage, but %v", err)
		}
		_, _ = Write(t.Context(), io.Discard, a, a, m.Number, nil)
	})
}

var sections = [...]string{sectionSale, sectionCommits, sectionDecisions, sectionAttempts, sectionStream, sectionAttemptsStream}

// Whatever the records of a section are, with sums that fit: verifying,
// exporting and auditing them ends, and never panics.
func FuzzRecords(f *testing.F) {
	recorded := firstRecorded(f)
	a := opened(f, recorded)
	whole, err := a.Manifest()
	if err != nil {
		f.Fatal(err)
	}
	for i, section := range sections {
		text, err := a.plain(&a.sections[section][0])
		if err != nil {
			f.Fatal(err)
		}
		f.Add(byte(i), uint32(0), uint32(0), []byte{})
		f.Add(byte(i), uint32(0), uint32(1), []byte("9"))
		f.Add(byte(i), uint32(len(text)/2), uint32(len(text)), []byte("\n"))
	}
	f.Fuzz(func(t *testing.T, section byte, from, to uint32, with []byte) {
		i := int(section) % len(sections)
		forged := rebuilt(t, recorded, sections[i], func(text []byte) []byte { return spliced(text, from, to, with) })
		damage, a := verified(t, forged), opened(t, forged)
		if _, err := a.Manifest(); damage == nil && err != nil {
			t.Errorf("no damage, but %v", err)
		}
		_, _ = auditor.Audit(t.Context(), a, a, whole.Number, auditor.Options{})
		var out bytes.Buffer
		if _, err := Write(t.Context(), &out, a, a, whole.Number, nil); damage == nil && (err != nil || !bytes.Equal(out.Bytes(), forged)) {
			t.Errorf("no damage, but an export gives other bytes: %v", err)
		}
	})
}

// BenchmarkDecisions reads 100,000 decisions.
func BenchmarkDecisions(b *testing.B) {
	s := newSynthetic(100_000, 250)
	var file bytes.Buffer
	if _, err := Write(b.Context(), &file, s, s, s.of.ID, nil); err != nil {
		b.Fatal(err)
	}
	a := opened(b, file.Bytes())
	for b.Loop() {
		n := 0
		for _, err := range a.Decisions(b.Context(), s.of.ID, 0, 1<<62) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != len(s.decisions) {
			b.Fatalf("%d decisions", n)
		}
	}
}
