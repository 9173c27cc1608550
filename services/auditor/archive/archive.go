package archive

import (
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

	found    []place // members by their headers, from the front, as long as these are in order
	foundEnd int64   // where the first header is that is not, or the end
	text     []byte  // of manifest.json, nil where it was not found
	textAt   int64   // its offset
	sums     []byte  // of manifest.sha256, as far as it is there

	manifest Manifest
	damage   *Damage // why the manifest cannot be relied upon
	broken   error   // the same
	members  []place // by the manifest

	mu     sync.Mutex
	recent map[string]recent // member that was read last, by section; guarded by mu
}

// place is where a member is.
type place struct {
	name   string
	at     int64 // offset of the header
	size   int64 // of the content
	member *Member
}

func (p *place) content() int64 { return p.at + block }
func (p *place) end() int64     { return p.at + extent(p.size) }

// recent is a member's content, decompressed.
type recent struct {
	index int // of the member
	plain []byte
}

// Open opens an archive. A damaged one can be opened too: Manifest and all that
// reads records then return an error that wraps ErrDamaged, and Verify says what
// is wrong. Open fails only where the file cannot be read. Members are checked
// when they are read.
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
	a := &Archive{file: file, close: func() error { return nil }, size: size, cut: cut, recent: map[string]recent{}}
	if err := a.walk(); err != nil {
		return nil, err
	}
	if err := a.find(); err != nil {
		return nil, err
	}
	if a.damage = a.load(); a.damage != nil {
		a.broken = a.damage.err()
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
	n = max(min(n, a.size-at), 0)
	buf := make([]byte, n)
	if _, err := a.file.ReadAt(buf, at); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("archive: reading: %w", err)
	}
	return buf, nil
}

// walk goes from header to header.
func (a *Archive) walk() error {
	for a.foundEnd+block <= a.size {
		h, err := a.read(a.foundEnd, block)
		if err != nil {
			return err
		}
		name, size, ok := parseHeader(h)
		if !ok {
			return nil
		}
		a.found = append(a.found, place{name: name, at: a.foundEnd, size: size})
		a.foundEnd += extent(size)
	}
	return nil
}

// find finds the manifest: where the headers lead to, or, where these are
// damaged, before the end.
func (a *Archive) find() error {
	for i := range a.found {
		p := &a.found[i]
		if p.name != manifestName {
			continue
		}
		if p.size > maxManifest || p.content()+p.size > a.size {
			return nil
		}
		return a.take(p.content(), p.size)
	}
	return a.findFromEnd()
}

// take takes what stands there for the manifest.
func (a *Archive) take(at, size int64) error {
	text, err := a.read(at, size)
	if err != nil {
		return err
	}
	a.text, a.textAt = text, at
	a.sums, err = a.read(at+size+padding(size)+block, int64(len(sumLine(nil))))
	return err
}

// findFromEnd looks for the text of a manifest in front of its sum, which is
// the last member.
func (a *Archive) findFromEnd() error {
	last := header(sumName, int64(len(sumLine(nil))))
	end := a.size - endLen - extent(int64(len(sumLine(nil))))
	if end < 0 {
		return nil
	}
	if h, err := a.read(end, block); err != nil || !bytes.Equal(h, last) {
		return err
	}
	from := max(end-maxManifest, 0)
	from += padding(from)
	tail, err := a.read(from, end-from)
	if err != nil {
		return err
	}
	begin := fmt.Appendf(nil, "{\n  \"format\": %q", format)
	for at := len(tail) - block; at >= 0; at -= block {
		if bytes.HasPrefix(tail[at:], begin) {
			return a.take(from+int64(at), int64(len(bytes.TrimRight(tail[at:], "\x00"))))
		}
	}
	return nil
}

// load reads the manifest, and says why it cannot be relied upon.
func (a *Archive) load() *Damage {
	at := &Damage{Member: manifestName, Part: Content, Offset: a.textAt, Want: "a manifest"}
	if a.text == nil {
		at.Offset, at.Got = a.size, "none: this is no archive, or its end is missing"
		return at
	}
	m, err := parseManifest(a.text)
	if err != nil {
		at.Got = err.Error()
		return at
	}
	a.manifest = m
	if !bytes.Equal(a.sums, sumLine(a.text)) {
		at.Want, at.Got = "the SHA-256 that "+sumName+" has", fmt.Sprintf("%x", sha256.Sum256(a.text))
		return at
	}
	next := int64(0)
	for i := range a.manifest.Members {
		one := &a.manifest.Members[i]
		a.members = append(a.members, place{name: one.Name, at: next, size: one.Size, member: one})
		next += extent(one.Size)
	}
	if next+block != a.textAt {
		at.Offset, at.Want, at.Got = next, "the manifest after the members that it names", fmt.Sprintf("a manifest at byte %d", a.textAt)
		return at
	}
	return nil
}

// plain returns the content of a member of a section, decompressed. It must not
// be changed.
func (a *Archive) plain(section string, index int) ([]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r, ok := a.recent[section]; ok && r.index == index {
		return r.plain, nil
	}
	p := &a.members[index]
	stored, err := a.read(p.content(), p.size)
	if err != nil {
		return nil, err
	}
	plain, d := p.decode(stored)
	if d != nil {
		return nil, d.err()
	}
	a.recent[section] = recent{index: index, plain: plain}
	return plain, nil
}

// decode decompresses the content of a member of a section, and compares it with
// what the manifest says of it, if that is known.
func (p *place) decode(stored []byte) ([]byte, *Damage) {
	at := Damage{Member: p.name, Part: Content, Offset: p.content()}
	m := p.member
	if m != nil && sha256.Sum256(stored) != m.Sum {
		at.Want, at.Got = fmt.Sprintf("SHA-256 %v", m.Sum), fmt.Sprintf("%x", sha256.Sum256(stored))
		return nil, &at
	}
	if sectionOf(p.name) == "" {
		return stored, nil
	}
	plain, err := decompress(stored)
	if err != nil {
		at.Want, at.Got = "a zstd frame", err.Error()
		return nil, &at
	}
	if m != nil && (int64(len(plain)) != m.Plain || sha256.Sum256(plain) != m.PlainSum) {
		at.Want = fmt.Sprintf("%d bytes decompressed, of SHA-256 %v", m.Plain, m.PlainSum)
		at.Got = fmt.Sprintf("%d bytes, of %x", len(plain), sha256.Sum256(plain))
		return nil, &at
	}
	return plain, nil
}
