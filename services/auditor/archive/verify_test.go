//go:build unix

package archive

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"notsale/pkg/effort"
	"notsale/services/auditor"
)

// step is how many bytes apart the bytes are that are changed where there are
// many alike.
func step() int {
	if raceEnabled {
		return 61
	}
	return effort.Of(31, 1)
}

// Every byte of an archive is protected, and what is wrong is named.
func TestEveryChangedByteIsFoundAndNamed(t *testing.T) {
	file := everything(t).export()
	if d := verified(t, file); d != nil {
		t.Fatal(d)
	}
	changed := slices.Clone(file)
	bits := []byte{1, 0x80}
	if raceEnabled || !effort.Long() {
		bits = bits[:1]
	}
	for _, r := range regions(t, file) {
		every := 1
		if r.part == content && strings.Contains(r.member, "/") || r.member == readmeName || r.part == padding {
			every = step()
		}
		for i := r.from; i < r.to; i += every {
			for _, bit := range bits {
				changed[i] ^= bit
				d := verified(t, changed)
				changed[i] ^= bit
				if d == nil || !r.names(d, i) || d.Want == d.Got || d.Want == "" {
					t.Fatalf("byte %d, of %s %s, by %#x: found %v", i, r.member, r.part, bit, d)
				}
			}
		}
	}
}

// names reports whether a damage tells where a byte of the region was changed: the
// byte, or where its part begins. Whose header cannot be read has no name, and of
// the manifest and its sum nobody knows which is wrong.
func (r *region) names(d *DamageError, changed int) bool {
	switch at := int(d.Offset); {
	case r.member == sumName && r.part == content:
		return d.Member == manifestName
	case d.Member == "" && (r.part == header || r.part == end):
		return at == r.from || at == changed
	default:
		return d.Member == r.member && (at == r.from || at == changed)
	}
}

// An archive that lost its end says so, wherever that is.
func TestEveryTruncationIsFound(t *testing.T) {
	file := everything(t).export()
	for _, r := range regions(t, file) {
		for _, size := range []int{r.from, r.from + 1, (r.from + r.to) / 2, r.to - 1} {
			d := verified(t, file[:size])
			if d == nil || int(d.Offset) > size || r.part == content && (d.Member != r.member || int(d.Offset) != size) {
				t.Errorf("%d bytes, in %s %s: %v", size, r.member, r.part, d)
			}
		}
	}
}

func TestWhatComesAfterTheEndIsFound(t *testing.T) {
	file := everything(t).export()
	for _, more := range []int{1, block, 2 * block, 10 * block} {
		for _, c := range []byte{0, 'x'} {
			d := verified(t, slices.Concat(file, bytes.Repeat([]byte{c}, more)))
			if d == nil || d.Member != "" || d.Offset != int64(len(file)) {
				t.Errorf("%d bytes %q: %v", more, c, d)
			}
		}
	}
}

// A pair of a member and the manifest, or the manifest and its sum, is found.
func TestAMemberChangedWithWhatVouchesForItIsFound(t *testing.T) {
	file := everything(t).export()
	first := map[string]int{}
	for _, r := range regions(t, file) {
		if r.part == content {
			first[r.member] = r.from
		}
	}
	for _, pair := range [][2]string{
		{manifestName, sumName}, {manifestName, "decisions/000001.zst"}, {sumName, "stream/000001.zst"}, {sumName, readmeName}, {manifestName, readmeName},
	} {
		changed := slices.Clone(file)
		changed[first[pair[0]]] ^= 1
		changed[first[pair[1]]+20] ^= 1
		if d := verified(t, changed); d == nil || d.Member != manifestName {
			t.Errorf("%v: %v", pair, d)
		}
	}
}

// A damaged archive gives no record of a damaged member.
func TestADamagedMemberIsNotRead(t *testing.T) {
	s := everything(t)
	file := s.export()
	for _, r := range regions(t, file) {
		if r.part != content || r.member == readmeName {
			continue
		}
		changed := slices.Clone(file)
		changed[(r.from+r.to)/2] ^= 1
		a := opened(t, changed)
		_, err := auditor.Audit(t.Context(), a, a, s.of.ID, auditor.Options{})
		if !errors.Is(err, ErrDamaged) || !r.names(damageOf(err), r.from) {
			t.Errorf("%s: error %v", r.member, err)
		}
		var out bytes.Buffer
		if _, err := Write(t.Context(), &out, a, a, s.of.ID, nil); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: export: error %v", r.member, err)
		}
	}
}

// Records that are not those whose sum the manifest has are not read, though the
// compressed bytes have theirs.
func TestAMemberOfOtherRecordsIsNotRead(t *testing.T) {
	s := everything(t)
	file := s.export()
	for name, say := range map[string]func(m *Member){
		"sum":  func(m *Member) { m.PlainSum[5] ^= 1 },
		"size": func(m *Member) { m.Plain++ },
	} {
		for _, section := range sections {
			a := opened(t, rebuiltWith(t, file, "none", nil, func(m *Member) {
				if sectionOf(m.Name) == section {
					say(m)
				}
			}))
			if _, err := auditor.Audit(t.Context(), a, a, s.of.ID, auditor.Options{}); !errors.Is(err, ErrDamaged) || sectionOf(damageOf(err).Member) != section {
				t.Errorf("another %s of %s: error %v", name, section, err)
			}
		}
	}
}

// Without one of the records that there is one of, the section sale is damaged,
// not read as if that were zero.
func TestASaleWithoutItsCursorIsNotRead(t *testing.T) {
	file := everything(t).export()
	for i, table := range []string{"sales", "cursors", "streams"} {
		a := opened(t, rebuilt(t, file, sectionSale, func(text []byte) []byte {
			return slices.Concat(slices.Delete(bytes.SplitAfter(text, []byte("\n")), i, i+1)...)
		}))
		if _, err := a.Snapshot(t.Context(), 1); !errors.Is(err, ErrDamaged) {
			t.Errorf("without %s: error %v", table, err)
		}
	}
}

func damageOf(err error) *DamageError {
	if d, ok := errors.AsType[*DamageError](err); ok {
		return d
	}
	return &DamageError{}
}

// Whoever changes a record and all sums is found by the audit.
func TestARecordChangedWithItsSumsIsFoundByTheAudit(t *testing.T) {
	s := everything(t)
	file := s.export()
	if !bytes.Equal(file, rebuilt(t, file, "none", nil)) {
		t.Fatal("rebuilding an archive changes it")
	}
	for _, c := range []struct{ section, from, to, table, row, field string }{
		{sectionDecisions, "\t1\tann\t0\t", "\t1\teve\t0\t", "decisions", "1", "user_id"},
		{sectionDecisions, "\t1\tbob\t5\t", "\t1\tbob\t0\t", "decisions", "2", "reason"},
		{sectionDecisions, "\n2\t02", "\n2\t12", "decisions", "2", "code_id"},
		{sectionAttempts, "\tbob\t", "\teve\t", "checkout_attempts", "fc000000-0000-0000-0000-000000000000", "user_param"},
		{sectionAttempts, "\tedge-1\n", "\tedge-2\n", "checkout_attempts", "fc000000-0000-0000-0000-000000000000", "edge"},
		{sectionSale, "items\t1\t1\tann", "items\t1\t1\teve", "items", "1", "user_id"},
		{sectionCommits, "1\t4\t5\t", "1\t4\t4\t", "commits", "1/4", "position"},
		{sectionStream, `"user":"bob"`, `"user":"eve"`, "decisions", "2", "user_id"},
	} {
		seen := false
		forged := rebuilt(t, file, c.section, func(text []byte) []byte {
			seen = bytes.Contains(text, []byte(c.from))
			return bytes.Replace(text, []byte(c.from), []byte(c.to), 1)
		})
		if !seen {
			t.Errorf("there is no %q in %s", c.from, c.section)
			continue
		}
		if d := verified(t, forged); d != nil {
			t.Errorf("%s %q: the sums do not fit: %v", c.section, c.to, d)
		}
		a := opened(t, forged)
		r := audit(t, a, a, s.of.ID)
		named := slices.ContainsFunc(r.Findings, func(f auditor.Finding) bool {
			return f.Table == c.table && f.Row == c.row && f.Field == c.field
		})
		if !named {
			t.Errorf("%s %q: findings %v", c.section, c.to, r.Findings)
		}
	}
}

// Sums that fit do not make an archive of what no export writes.
func TestAFormThatNoExportGivesIsDamage(t *testing.T) {
	file := everything(t).export()
	for name, c := range map[string]struct {
		section string
		change  func(text []byte) []byte
	}{
		"a leading zero":        {sectionDecisions, func(text []byte) []byte { return append([]byte("0"), text...) }},
		"a record less":         {sectionDecisions, func(text []byte) []byte { return text[bytes.IndexByte(text, '\n')+1:] }},
		"a record twice":        {sectionCommits, func(text []byte) []byte { return append(text, text...) }},
		"no line feed":          {sectionAttempts, func(text []byte) []byte { return text[:len(text)-1] }},
		"nothing":               {sectionAttempts, func([]byte) []byte { return nil }},
		"a field more":          {sectionDecisions, func(text []byte) []byte { return append(text[:len(text)-1], "\t1\n"...) }},
		"a message left out":    {sectionStream, func(text []byte) []byte { return text[bytes.Index(text, []byte("\n2 "))+1:] }},
		"a message cut":         {sectionAttemptsStream, func(text []byte) []byte { return text[:len(text)-2] }},
		"another opening":       {sectionStream, func(text []byte) []byte { return bytes.Replace(text, []byte(`"stock":4`), []byte(`"stock":5`), 1) }},
		"another state":         {sectionSale, func(text []byte) []byte { return bytes.Replace(text, []byte("\tsold_out\t"), []byte("\topen\t"), 1) }},
		"no cursor":             {sectionSale, func(text []byte) []byte { return bytes.Replace(text, []byte("cursors"), []byte("carsors"), 1) }},
		"rows in another order": {sectionSale, func(text []byte) []byte { return bytes.Replace(text, []byte("items\t2"), []byte("items\t0"), 1) }},
	} {
		seen := false
		forged := rebuilt(t, file, c.section, func(text []byte) []byte {
			changed := c.change(slices.Clone(text))
			seen = !bytes.Equal(changed, text)
			return changed
		})
		if !seen {
			t.Errorf("%s: nothing was changed", name)
		}
		if d := verified(t, forged); d == nil {
			t.Errorf("%s: not found", name)
		}
	}
}

// What claims to become larger than members are is not decompressed.
func TestABombIsNotDecompressed(t *testing.T) {
	enc, err := compressor()
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	bomb := enc.EncodeAll(make([]byte, 64<<20), nil)
	allocated := testing.Benchmark(func(b *testing.B) {
		for range b.N {
			if _, err := decompress(bomb); !errors.Is(err, errFrame) {
				b.Fatalf("error %v", err)
			}
		}
	}).AllocedBytesPerOp()
	if allocated > 1<<20 {
		t.Errorf("%d bytes were allocated", allocated)
	}
	two := slices.Concat(enc.EncodeAll([]byte("one"), nil), bomb[:0], enc.EncodeAll([]byte("two"), nil))
	if plain, err := decompress(two); !errors.Is(err, errFrame) {
		t.Errorf("two frames: %q, %v", plain, err)
	}
}

// An archive can be read and checked without this program.
func TestOthersReadAnArchive(t *testing.T) {
	s := everything(t)
	path := filepath.Join(t.TempDir(), "sale.tar")
	m, err := Create(t.Context(), path, s.ledger, s.streams, s.of.ID, nil)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	reader, names := tar.NewReader(file), []string{}
	for {
		h, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Format != tar.FormatUSTAR || h.ModTime.Unix() != 0 || h.Mode != 0o644 || h.Uid != 0 || h.Uname != "" {
			t.Errorf("header %+v", h)
		}
		names = append(names, h.Name)
	}
	if len(names) != len(m.Members)+2 || names[0] != readmeName || names[len(names)-1] != sumName {
		t.Errorf("members %v", names)
	}
	for _, tool := range []string{"tar", "zstd", "sha256sum"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no %s here: not read by it", tool)
		}
	}
	script := `set -e; tar -xf sale.tar; sha256sum -c manifest.sha256; zstd -dc decisions/*.zst; zstd -dc stream/*.zst`
	cmd := exec.CommandContext(t.Context(), "sh", "-c", script)
	cmd.Dir = filepath.Dir(path)
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("manifest.json: OK")) || !bytes.Contains(out, []byte("\tbob\t")) || !bytes.Contains(out, []byte(`"kind":"opening"`)) {
		t.Errorf("%v: %s", err, out)
	}
}

// headerOf is the header of a member of this size.
func headerOf(t testing.TB, name string, size int64) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := tar.NewWriter(&out).WriteHeader(&tar.Header{Name: name, Size: size, Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestWhatIsNoArchiveIsDamaged(t *testing.T) {
	for name, file := range map[string][]byte{
		"nothing": nil, "zeros": make([]byte, 4096), "text": bytes.Repeat([]byte("text "), 1000), "a short file": []byte("x"),
		"an empty tar": make([]byte, 2*block), "a member that is too large": headerOf(t, readmeName, 1<<33-1), "a member of another kind": slices.Concat(headerOf(t, "x", 0), make([]byte, 2*block)),
		"a manifest that is too large": slices.Concat(headerOf(t, manifestName, 1<<33-1), headerOf(t, sumName, 80)),
	} {
		if d := verified(t, file); d == nil {
			t.Errorf("%s: not found", name)
		}
		a := opened(t, file)
		if _, err := a.Manifest(); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: error %v", name, err)
		}
		if _, err := a.Snapshot(t.Context(), 1); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if _, err := Open(t.TempDir()); err == nil {
		t.Error("a folder was opened")
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}
