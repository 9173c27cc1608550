//go:build unix

package backends

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrInUse is wrapped by the error of a start on a folder that another running
// notsale holds.
var ErrInUse = errors.New("another notsale runs on this folder")

// lock is an advisory lock on a file. The kernel lets go of it when the process
// ends, however it ends; the file itself stays.
type lock struct {
	file *os.File
}

// takeLock takes the lock at path, or fails at once with ErrInUse.
func takeLock(path string) (*lock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("%w: the folder is another user's: run notsale as that user, or choose another with --data", err)
	}
	if err != nil {
		return nil, fmt.Errorf("open lock file: %w; choose another folder with --data", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		_ = f.Truncate(0)
		_, _ = fmt.Fprintln(f, os.Getpid()) // a hint for the error below, no more
		return &lock{file: f}, nil
	}
	defer func() { _ = f.Close() }()
	if !errors.Is(err, unix.EWOULDBLOCK) {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return nil, fmt.Errorf("%w (process %s holds %s): stop it, or choose another folder with --data",
		ErrInUse, holder(path), path)
}

// waitLock takes the lock at path once nobody holds it, or fails when ctx ends.
func waitLock(ctx context.Context, path string) (*lock, error) {
	for {
		l, err := takeLock(path)
		if err == nil || !errors.Is(err, ErrInUse) {
			return l, err
		}
		if briefly(ctx) != nil {
			return nil, err
		}
	}
}

func holder(path string) string {
	text, err := os.ReadFile(path)
	pid := strings.TrimSpace(string(text))
	if err != nil || pid == "" {
		return "unknown"
	}
	return pid
}

// release gives the lock back. It unlocks by name, so that a descriptor which a
// fork has just copied does not keep it. Calling it again does nothing.
func (l *lock) release() {
	if l == nil || l.file == nil {
		return
	}
	_ = unix.Flock(int(l.file.Fd()), unix.LOCK_UN)
	_ = l.file.Close()
	l.file = nil
}

// InUse tells whether a running notsale, or one of its parts, holds a data
// folder. It may be out of date when it returns.
func InUse(data string) bool {
	for _, name := range []string{"notsale.lock", "postgres.lock", "redis.lock", "nats/notsale.lock"} {
		path := filepath.Join(data, name)
		if _, err := os.Stat(path); err != nil {
			continue
		}
		l, err := takeLock(path)
		if err != nil {
			return true
		}
		l.release()
	}
	return false
}
