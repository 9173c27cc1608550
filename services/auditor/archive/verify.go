package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"notsale/services/auditor"
)

// Verify accounts for every byte of the file: it writes the archive anew, from its
// own records, with the compressed members that it has, and compares. It says
// nothing about the sale: that is an audit's. progress may be nil. The error is a
// DamageError where the file is not as it was written; any other one: it cannot be
// read, or the context ended.
func (a *Archive) Verify(ctx context.Context, progress auditor.Progress) error {
	if a.broken != nil {
		return a.broken
	}
	file := &same{Archive: a}
	e := newExport(ctx, file, a, a, a.manifest.Number)
	e.progress, e.cut, e.compress = progress, a.cut, a.stored
	err := e.run()
	_, failed := errors.AsType[*os.PathError](err)
	switch {
	case ctx.Err() != nil, failed, errors.Is(err, ErrDamaged):
		return err
	case err != nil: // its records give no archive
		return a.damage(file.at, "what an export writes", err.Error())
	case file.at != a.size:
		return a.damage(file.at, "the end of the file", fmt.Sprintf("%d more bytes", a.size-file.at))
	}
	return nil
}

// stored returns a member as the file has it, if these records are in it.
func (a *Archive) stored(name string, records []byte) ([]byte, error) {
	i := slices.IndexFunc(a.members, func(m member) bool { return m.name == name })
	if i < 0 {
		return nil, a.damage(a.size, "a member "+name, "none")
	}
	m := &a.members[i]
	plain, err := a.plain(m)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(plain, records) {
		return nil, a.damage(m.at, "records as an export writes them, and in its members", "others")
	}
	return a.read(m.at, m.size)
}

// same is a file that takes only what it has.
type same struct {
	*Archive

	at int64 // how much was written
}

func (s *same) Write(want []byte) (int, error) {
	got, err := s.read(s.at, int64(len(want)))
	if err != nil {
		return 0, err
	}
	for i := range want {
		if i >= len(got) || got[i] != want[i] {
			return i, s.damage(s.at+int64(i), excerpt(want[i:]), excerpt(got[min(i, len(got)):]))
		}
	}
	s.at += int64(len(want))
	return len(want), nil
}

// excerpt shows how a text begins.
func excerpt(text []byte) string {
	if len(text) == 0 {
		return "the end of the file"
	}
	return fmt.Sprintf("%.24q", text[:min(len(text), 24)])
}
