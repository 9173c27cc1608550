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
	maxLogSize = 10 << 20 // bytes; a log larger than this at start moves to *.1, so two of them bound the disk used
	tailSize   = 2 << 10  // bytes of a log's end that an error shows
)

// prepareData creates the data folder and gives its absolute path. With an
// account, others than its owner may pass through it.
func prepareData(dir string, a *account) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("data folder: %w", err)
	}
	mode := fs.FileMode(0o700)
	if a != nil {
		mode = 0o711
	}
	if err := os.MkdirAll(filepath.Dir(dir), mode); err != nil {
		return "", fmt.Errorf("create data folder: %w; choose another with --data", err)
	}
	err = os.Mkdir(dir, mode)
	switch {
	case err == nil:
		err = os.Chmod(dir, mode) // whatever the umask
	case errors.Is(err, fs.ErrExist):
		err = checkFolder(dir)
	}
	if err != nil {
		return "", fmt.Errorf("create data folder: %w; choose another with --data", err)
	}
	return dir, nil
}

func checkFolder(dir string) error {
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() {
		return fmt.Errorf("%s is a file", dir)
	}
	return err
}

// partFolder creates a store's own folder, closed to others, and gives it to
// the account.
func partFolder(dir string, a *account) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("create folder: %w; choose another with --data", err)
	}
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		return fmt.Errorf("folder %s: %w: run notsale as the user whose it is, or choose another with --data", dir, err)
	}
	return a.own(dir)
}

// secret reads the password in a file, or makes one of 128 random bits or more.
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

// writePrivate replaces a file by one of mode 0600 that belongs to the account;
// a reader, or a crash, sees the old or the new one whole.
func writePrivate(path, text string, a *account) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone already when all went well
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

// openLog opens a log for appending and gives its size, where this run begins.
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

// logTail gives the end of a log, but nothing from before the offset.
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
