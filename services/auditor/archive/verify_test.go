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
	if damages := verified(t, file); len(damages) > 0 {
		t.Fatal(damages)
	}
	changed := slices.Clone(file)
	bits := []byte{1, 0x80}
	if raceEnabled || !effort.Long() {
		bits = bits[:1]
	}
	for _, r := range regions(t, file) {
		every := 1
		if r.part == Content && sectionOf(r.member) != "" || r.member == readmeName || r.part == Padding {
			every = step()
		}
		for i := r.from; i < r.to; i += every {
			for _, bit := range bits {
				changed[i] ^= bit
				damages := verified(t, changed)
				changed[i] ^= bit
				if len(damages) != 1 || damages[0].Member != r.member || damages[0].Part != r.part {
					t.Fatalf("byte %d, of %s %s, by %#x: found %v", i, r.member, r.part, bit, damages)
				}
				d := damages[0]
				exact := r.part != Content || r.member == manifestName || r.member == sumName
				if exact && d.Offset != int64(i) || !exact && d.Offset != int64(r.from) {
					t.Fatalf("byte %d, of %s %s, by %#x: offset %d", i, r.member, r.part, bit, d.Offset)
				}
				if d.Want == d.Got || d.Want == "" {
					t.Fatalf("byte %d: %v", i, d)
				}
			}
		}
	}
}

// An archive that lost its end says where, wherever that is.
func TestEveryTruncationIsFoundAndNamed(t *testing.T) {
	file := everything(t).export()
	for _, r := range regions(t, file) {
		for _, size := range []int{r.from, r.from + 1, (r.from + r.to) / 2, r.to - 1} {
			damages := verified(t, file[:size])
			if len(damages) == 0 {
				t.Fatalf("%d bytes, in %s %s: not found", size, r.member, r.part)
			}
			d := damages[0]
			member := r.member
			if r.part == Header && d.Member == "" { // which member is not there to be read
				member = ""
			}
			if d.Member != member || d.Part != r.part || d.Offset != int64(size) || d.Got != "the end of the file" {
				t.Errorf("%d bytes, in %s %s: %v", size, r.member, r.part, damages)
			}
			if len(damages) > 1 && (len(damages) > 2 || damages[1].Member != manifestName || r.part != Header) {
				t.Errorf("%d bytes, in %s %s: %v", size, r.member, r.part, damages)
			}
		}
	}
}

func TestWhatComesAfterTheEndIsFound(t *testing.T) {
	file := everything(t).export()
	for _, more := range []int{1, block, endLen, 10 * block} {
		for _, c := range []byte{0, 'x'} {
			damages := verified(t, slices.Concat(file, bytes.Repeat([]byte{c}, more)))
			if len(damages) != 1 || damages[0].Part != End || damages[0].Offset != int64(len(file)) {
				t.Errorf("%d bytes %q: %v", more, c, damages)
			}
		}
	}
}

// Several things that are wrong at once are all named.
func TestManyDamagesAreAllNamed(t *testing.T) {
	file := everything(t).export()
	all := regions(t, file)
	changed := slices.Clone(file)
	var want []string
	for _, r := range all {
		if r.member == manifestName || r.member == sumName || r.member == readmeName || r.part == Header {
			continue
		}
		changed[r.from] ^= 1
		want = append(want, r.member+" "+string(r.part))
	}
	var got []string
	for _, d := range verified(t, changed) {
		got = append(got, d.Member+" "+string(d.Part))
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// A pair of a member and the manifest, or the manifest and its sum, is found.
func TestAMemberAndWhatVouchesForItAreBothNamed(t *testing.T) {
	file := everything(t).export()
	first := map[string]int{}
	for _, r := range regions(t, file) {
		if r.part == Content {
			first[r.member] = r.from
		}
	}
	for _, pair := range [][2]string{
		{manifestName, sumName}, {manifestName, "decisions/000001.zst"}, {sumName, "stream/000001.zst"}, {sumName, readmeName}, {manifestName, readmeName},
	} {
		changed := slices.Clone(file)
		changed[first[pair[0]]] ^= 1
		changed[first[pair[1]]+20] ^= 1
		damages := verified(t, changed)
		for _, d := range damages {
			if pair[0] == d.Member || pair[1] == d.Member || d.Member == manifestName {
				continue
			}
			t.Errorf("%v: %v", pair, damages)
		}
		if len(damages) == 0 {
			t.Errorf("%v: not found", pair)
		}
	}
}

// A damaged archive gives no record of a damaged member.
func TestADamagedMemberIsNotRead(t *testing.T) {
	s := everything(t)
	file := s.export()
	for _, r := range regions(t, file) {
		if r.part != Content || r.member == readmeName {
			continue
		}
		changed := slices.Clone(file)
		changed[(r.from+r.to)/2] ^= 1
		a := opened(t, changed)
		_, err := auditor.Audit(t.Context(), a, a, s.of.ID, auditor.Options{})
		if !errors.Is(err, ErrDamaged) || r.member != sumName && !strings.Contains(err.Error(), r.member) {
			t.Errorf("%s: error %v", r.member, err)
		}
		var out bytes.Buffer
		if _, err := Write(t.Context(), &out, a, a, s.of.ID, nil); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: export: error %v", r.member, err)
		}
	}
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
		if damages := verified(t, forged); len(damages) > 0 {
			t.Errorf("%s %q: the sums do not fit: %v", c.section, c.to, damages)
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
		if damages := verified(t, forged); len(damages) != 1 || damages[0].Part != Content {
			t.Errorf("%s: %v", name, damages)
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
	m, err := Create(t.Context(), path, s.books, s.tape, s.of.ID, nil)
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

func TestWhatIsNoArchiveIsDamaged(t *testing.T) {
	for name, file := range map[string][]byte{
		"nothing": nil, "zeros": make([]byte, 4096), "text": bytes.Repeat([]byte("text "), 1000), "a short file": []byte("x"),
		"an empty tar": make([]byte, endLen), "a member that is too large": header(readmeName, maxTarSize), "a member of another kind": slices.Concat(header("x", 0), make([]byte, endLen)),
	} {
		if damages := verified(t, file); len(damages) == 0 {
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
