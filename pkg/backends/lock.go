//go:build unix

package backends

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"
)

// ErrInUse is wrapped by the error of a start on a folder that another running
// notsale has locked.
var ErrInUse = errors.New("another notsale runs on this folder")

// takeLock locks a file, or fails at once with ErrInUse. The kernel releases the lock
// when the process ends, however it ends; the file itself stays.
func takeLock(path string) (*flock.Flock, error) {
	l := flock.New(path)
	switch held, err := l.TryLock(); {
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%w: it is another user's folder: run notsale as that user, or choose another with --data", err)
	case err != nil:
		return nil, fmt.Errorf("lock file: %w; choose another folder with --data", err)
	case !held:
		pid, _ := os.ReadFile(path)
		return nil, fmt.Errorf("%w (process %s holds %s): stop it, or choose another folder with --data", ErrInUse, cmp.Or(strings.TrimSpace(string(pid)), "unknown"), path)
	}
	_ = os.WriteFile(path, fmt.Appendln(nil, os.Getpid()), 0o600) // for the error above only
	return l, nil
}

// release releases a lock, if there is one. Releasing again does nothing.
func release(l *flock.Flock) {
	if l != nil {
		_ = l.Unlock()
	}
}

// InUse reports whether a running notsale, or one of its parts, has locked a data
// folder. The answer may be out of date when it returns.
func InUse(data string) bool {
	for _, name := range []string{"notsale.lock", "postgres.lock", "redis.lock", "nats.lock"} {
		l := flock.New(filepath.Join(data, name), flock.SetFlag(os.O_RDONLY)) // creates no file
		held, err := l.TryLock()
		release(l)
		if !held && !errors.Is(err, fs.ErrNotExist) {
			return true
		}
	}
	return false
}
