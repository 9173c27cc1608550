package archive

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// Archive is an archive that was opened. It may be used by several goroutines.
type Archive struct {
	file  io.ReaderAt
	close func() error
	size  int64
	cut   int // see export

	members  []member            // in the order of the file
	sections map[string][]member // the same, by section
	manifest Manifest
	broken   error // why the archive cannot be relied upon: a DamageError

	mu     sync.Mutex
	recent map[string]recent // member that was read last, by section; guarded by mu
}

// member is where a member is.
type member struct {
	name     string
	at, size int64   // of the content
	said     *Member // by the manifest; nil: nothing
}

// recent is a member's content, decompressed.
type recent struct {
	name  string
	plain []byte
}

// Open opens an archive. A damaged one can be opened too: Manifest, Verify and all
// that reads records then return an error that is ErrDamaged. Open fails only
// where the file cannot be read. Members are checked when they are read.
func Open(path string) (*Archive, error) {
	file, err := os.Open(path) //nolint:gosec // the operator's choice
	if err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("archive: %s is not a file", path)
	}
	var a *Archive
	if err == nil {
		a, err = open(file, info.Size(), chunkSize)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	a.close = file.Close
	return a, nil
}

func open(file io.ReaderAt, size int64, cut int) (*Archive, error) {
	a := &Archive{
		file: file, close: func() error { return nil }, size: size, cut: cut,
		sections: map[string][]member{}, recent: map[string]recent{},
	}
	err := a.walk()
	if err == nil {
		err = a.load()
	}
	if a.broken = err; err != nil && !errors.Is(err, ErrDamaged) {
		return nil, err
	}
	return a, nil
}

// Close closes the file.
func (a *Archive) Close() error { return a.close() }

// Manifest returns what the archive says it holds. ErrDamaged: it cannot be
// relied upon.
func (a *Archive) Manifest() (Manifest, error) { return a.manifest, a.broken }

// read returns n bytes of the file, fewer at its end.
func (a *Archive) read(at, n int64) ([]byte, error) {
	buf := make([]byte, max(min(n, a.size-at), 0))
	if _, err := a.file.ReadAt(buf, at); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("archive: reading: %w", err)
	}
	return buf, nil
}

// walk finds the members.
func (a *Archive) walk() error {
	file := io.NewSectionReader(a.file, 0, a.size)
	for headers := tar.NewReader(file); ; {
		h, err := headers.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		at, errAt := file.Seek(0, io.SeekCurrent)
		if _, failed := errors.AsType[*os.PathError](err); failed || errAt != nil {
			return fmt.Errorf("archive: reading: %w", errors.Join(err, errAt))
		}
		if err != nil {
			return a.damage(min(a.end(), a.size), "the header of a member", err.Error())
		}
		a.members = append(a.members, member{name: h.Name, at: at, size: h.Size})
	}
}

// damage returns the damage at a place.
func (a *Archive) damage(offset int64, want, got string) *DamageError {
	d := &DamageError{Offset: offset, Want: want, Got: got}
	for _, m := range a.members {
		if offset >= m.at-block && offset < m.end() {
			d.Member = m.name
		}
	}
	return d
}

// block is the size of a header, and of what a content is filled up to a multiple
// of.
const block = 512

func (m *member) end() int64 { return m.at + (m.size+block-1)/block*block }

// end returns where the last member ends.
func (a *Archive) end() int64 {
	if n := len(a.members); n > 0 {
		return a.members[n-1].end()
	}
	return 0
}

// load reads the manifest. A DamageError: the archive cannot be relied upon.
func (a *Archive) load() error {
	last := len(a.members) - 2 // the manifest, and after it its sum
	if last < 0 || a.members[last].name != manifestName || a.members[last+1].name != sumName {
		return a.damage(a.size, "the manifest and its sum at the end", "none: this is no archive, or its end is missing")
	}
	text, err := a.read(a.members[last].at, min(a.members[last].size, maxManifest+1))
	if err != nil {
		return err
	}
	sum, err := a.read(a.members[last+1].at, int64(len(sumLine(nil))))
	if err != nil {
		return err
	}
	if !bytes.Equal(sum, sumLine(text)) {
		return a.damage(a.members[last].at, "the SHA-256 that "+sumName+" has", fmt.Sprintf("%x", sha256.Sum256(text)))
	}
	if a.manifest, err = parseManifest(text); err != nil {
		return a.damage(a.members[last].at, "a manifest", err.Error())
	}
	for i := range max(last, len(a.manifest.Members)) {
		m := &a.members[min(i, last)]
		if i >= last || i >= len(a.manifest.Members) || m.name != a.manifest.Members[i].Name || m.size != a.manifest.Members[i].Size {
			return a.damage(m.at, "the members that the manifest names, and no others", fmt.Sprintf("%s, of %d bytes", m.name, m.size))
		}
		m.said = &a.manifest.Members[i]
		section := sectionOf(m.name)
		a.sections[section] = append(a.sections[section], *m)
	}
	return nil
}

// plain returns the content of a member of a section, decompressed. It must not
// be changed.
func (a *Archive) plain(m *member) ([]byte, error) {
	section := sectionOf(m.name)
	a.mu.Lock()
	defer a.mu.Unlock()
	if r := a.recent[section]; r.name == m.name {
		return r.plain, nil
	}
	stored, err := a.read(m.at, m.size)
	if err != nil {
		return nil, err
	}
	if sum := Sum(sha256.Sum256(stored)); sum != m.said.Sum {
		return nil, a.damage(m.at, "SHA-256 "+m.said.Sum.String(), sum.String())
	}
	plain, err := decompress(stored)
	if err != nil {
		return nil, a.damage(m.at, "a zstd frame", err.Error())
	}
	if sum := Sum(sha256.Sum256(plain)); sum != m.said.PlainSum || int64(len(plain)) != m.said.Plain {
		return nil, a.damage(m.at, fmt.Sprintf("%d bytes decompressed, with SHA-256 %v", m.said.Plain, m.said.PlainSum), fmt.Sprintf("%d bytes, with %v", len(plain), sum))
	}
	a.recent[section] = recent{name: m.name, plain: plain}
	return plain, nil
}
