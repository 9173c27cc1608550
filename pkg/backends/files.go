//go:build unix

package backends

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	maxLogSize = 10 << 20 // bytes; a larger log is renamed to *.1 at start, so that logs do not fill the disk
	tailSize   = 2 << 10  // bytes of a log's end that an error shows
)

// openData creates the data folder and decides who runs the stores in it.
func openData(dir string) (data string, a *account, err error) {
	if a, err = childAccount(dir); err == nil {
		data, err = prepareData(dir, a)
	}
	return data, a, err
}

// prepareData creates the data folder and returns its absolute path. With an
// account, other users than its owner may pass through it.
func prepareData(dir string, a *account) (string, error) {
	mode := fs.FileMode(0o700)
	if a != nil {
		mode = 0o711
	}
	dir, err := filepath.Abs(dir)
	if err == nil {
		_, missing := os.Stat(dir)
		if err = os.MkdirAll(dir, mode); err == nil && missing != nil {
			err = os.Chmod(dir, mode) // whatever the umask
		}
	}
	if err != nil {
		return "", fmt.Errorf("create data folder: %w; choose another with --data", err)
	}
	return dir, nil
}

// partFolder creates a store's own folder, closed to others, and gives it to
// the account.
func partFolder(dir string, a *account) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("create folder: %w; choose another with --data", err)
	}
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		return fmt.Errorf("folder %s: %w: run notsale as the user who owns it, or choose another with --data", dir, err)
	}
	return a.own(dir)
}

// secret reads the password in a file, or makes one of at least 128 random bits.
// The file has mode 0600 and belongs to the account.
func secret(path string, a *account) (string, error) {
	text, err := os.ReadFile(path)
	if word := strings.TrimSpace(string(text)); err == nil && word != "" {
		return word, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read password: %w", err)
	}
	word := rand.Text()
	return word, writePrivate(path, word+"\n", a)
}

// writePrivate replaces a file atomically by one of mode 0600 that belongs to the
// account.
func writePrivate(path, text string, a *account) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	defer func() { _ = os.Remove(f.Name()) }() // fails after the rename
	_, err = f.WriteString(text)
	err = errors.Join(err, f.Sync(), f.Close(), a.own(f.Name()))
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return nil
}

// openLog opens a log for appending and returns its size, where this run begins.
func openLog(path string) (*os.File, int64, error) {
	if info, err := os.Stat(path); err == nil && info.Size() > maxLogSize {
		_ = os.Rename(path, path+".1") // at worst the log goes on growing
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, 0, fmt.Errorf("open log: %w", err)
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("open log: %w", err), f.Close())
	}
	return f, size, nil
}

// logTail returns the end of a log, but nothing from before the offset.
func logTail(path string, from int64) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	start := max(from, info.Size()-tailSize)
	text, _ := io.ReadAll(io.NewSectionReader(f, start, tailSize))
	return strings.TrimSpace(string(text))
}
