//go:build unix

package backends

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"
)

// ErrInUse is wrapped by the error of a start on a folder that another running
// notsale holds.
var ErrInUse = errors.New("another notsale runs on this folder")

// takeLock takes the lock on a file, or fails at once with ErrInUse. The kernel
// lets go of it when the process ends, however it ends; the file itself stays.
func takeLock(path string) (*flock.Flock, error) {
	l := flock.New(path)
	switch held, err := l.TryLock(); {
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%w: the folder is another user's: run notsale as that user, or choose another with --data", err)
	case err != nil:
		return nil, fmt.Errorf("lock file: %w; choose another folder with --data", err)
	case !held:
		return nil, fmt.Errorf("%w (process %s holds %s): stop it, or choose another folder with --data", ErrInUse, holder(path), path)
	}
	_ = os.WriteFile(path, fmt.Appendln(nil, os.Getpid()), 0o600) // a hint for the error above, no more
	return l, nil
}

func holder(path string) string {
	text, err := os.ReadFile(path)
	pid := strings.TrimSpace(string(text))
	if err != nil || pid == "" {
		return "unknown"
	}
	return pid
}

// release gives a lock back, if there is one. Again it does nothing.
func release(l *flock.Flock) {
	if l != nil {
		_ = l.Unlock()
	}
}

// InUse tells whether a running notsale, or one of its parts, holds a data
// folder. It may be out of date when it returns.
func InUse(data string) bool {
	for _, name := range []string{"notsale.lock", "postgres.lock", "redis.lock", "nats/notsale.lock"} {
		l := flock.New(filepath.Join(data, name), flock.SetFlag(os.O_RDONLY)) // which makes no file
		held, err := l.TryLock()
		release(l)
		if !held && !errors.Is(err, fs.ErrNotExist) {
			return true
		}
	}
	return false
}
