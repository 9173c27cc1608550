package archive

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"notsale/pkg/sale"
	"notsale/services/auditor"
)

// Create writes the archive of a sale into a new file, as Write does. The file
// is there whole and durable, or not at all; only its owner can read it. An error that wraps fs.ErrExist: a
// file of this name exists, and was not touched.
func Create(ctx context.Context, path string, l auditor.Ledger, streams auditor.Streams, id sale.ID, progress auditor.Progress) (m Manifest, err error) {
	if err := absent(path); err != nil {
		return Manifest{}, err
	}
	file, err := Temporary(path)
	if err != nil {
		return Manifest{}, fmt.Errorf("archive: %w", err)
	}
	defer os.Remove(file.Name())        //nolint:errcheck // it is gone where all went well
	defer func() { _ = file.Close() }() // closed before, where all went well
	buffered := bufio.NewWriterSize(file, 1<<20)
	if m, err = Write(ctx, buffered, l, streams, id, progress); err != nil {
		return Manifest{}, err
	}
	if err := errors.Join(buffered.Flush(), file.Sync(), file.Close()); err != nil {
		return Manifest{}, fmt.Errorf("archive: %w", err)
	}
	if err := publish(file.Name(), path); err != nil {
		return Manifest{}, err
	}
	return m, syncFolder(filepath.Dir(path))
}

// Temporary makes the file in which an archive is written, beside the archive.
func Temporary(path string) (*os.File, error) {
	return os.CreateTemp(filepath.Dir(path), unfinished(path)+"*")
}

// unfinished is how the names of an archive's temporary files begin; those of what
// copies files into the folder do not.
func unfinished(path string) string { return "." + filepath.Base(path) + ".unfinished-" }

// Sweep removes the temporary files of this archive that nobody has written to for
// so long: whoever did was killed.
func Sweep(path string, idle time.Duration) error {
	entries, err := os.ReadDir(filepath.Dir(path))
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), unfinished(path)) {
			continue
		}
		info, errInfo := entry.Info()
		if errInfo == nil && time.Since(info.ModTime()) > idle {
			errInfo = os.Remove(filepath.Join(filepath.Dir(path), entry.Name()))
		}
		err = errors.Join(err, errInfo)
	}
	return err
}

func absent(path string) error {
	_, err := os.Lstat(path) //nolint:gosec // the operator's choice
	if err == nil {
		return fmt.Errorf("archive: %s: %w, and archives are never overwritten", path, fs.ErrExist)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("archive: %w", err)
	}
	return nil
}

// publish gives the finished file its name. A link never replaces a file that
// came to be there meanwhile; some file systems have none.
func publish(temporary, path string) error {
	err := os.Link(temporary, path)
	if err == nil {
		return nil
	}
	if err := absent(path); err != nil {
		return err
	}
	if err := os.Rename(temporary, path); err != nil { //nolint:gosec // the operator's choice
		return fmt.Errorf("archive: %w", err)
	}
	return nil
}

// syncFolder makes the file's name durable.
func syncFolder(path string) error {
	folder, err := os.Open(path) //nolint:gosec // the operator's choice
	if err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	defer func() { _ = folder.Close() }() // read only
	if err := folder.Sync(); err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	return nil
}
