//go:build unix

// Package seed gives test servers data folders that need not be made.
//
// # Purpose
//
// To make the data folder of a Postgres takes most of a second of a processor,
// to copy one a twentieth of that; and a run of all tests starts a hundred. So
// the first test of a run makes one, and the others get copies.
//
// # Invariants
//
// A run of `go test` makes its own, which no other uses: what is tested is the
// program as it is now. It stays behind in the temporary folder until the next
// run. Tests of how a folder is made, or whose it is, use none of this.
//
// # Authority
//
// None: it is test support. Who imports it says how a folder is made.
package seed

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/gofrs/flock"

	"notsale/pkg/effort"
)

const prefix = "notsale-seed-" // and the process id of the run

// Postgres copies what a new Postgres keeps in a data folder, its password
// included, into the folder named data, which is made if need be. The first call
// of a run lets build make that in a folder of its name.
func Postgres(data string, build func(data string) error) error {
	home := filepath.Join(effort.Folder(), prefix+strconv.Itoa(os.Getppid()))
	if err := openFolder(home); err != nil {
		return fmt.Errorf("seed: %w", err)
	}
	lock := flock.New(filepath.Join(home, "lock"))
	if err := lock.Lock(); err != nil {
		return fmt.Errorf("seed: %w", err)
	}
	defer func() { _ = lock.Close() }()
	model := filepath.Join(home, "data")
	if _, err := os.Stat(model); errors.Is(err, fs.ErrNotExist) {
		sweep()
		half := model + ".new"
		err := errors.Join(os.RemoveAll(half), build(half), os.Rename(half, model))
		if err != nil {
			return fmt.Errorf("seed: %w", err)
		}
	}
	if err := openFolder(data); err != nil {
		return fmt.Errorf("seed: %w", err)
	}
	text, err := exec.Command("cp", "-a", filepath.Join(model, "postgres"), filepath.Join(model, "postgres.password"), data).CombinedOutput()
	if err != nil {
		return fmt.Errorf("seed: %w: %s", err, text)
	}
	return nil
}

// openFolder makes a folder that root's children may pass through.
func openFolder(path string) error {
	err := os.Mkdir(path, 0o711) //nolint:gosec // Postgres's user goes through it
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return errors.Join(err, os.Chmod(path, 0o711)) //nolint:gosec // whatever the umask: another user's servers pass through it
}

// sweep removes what runs that have ended left behind.
func sweep() {
	old, _ := filepath.Glob(filepath.Join(effort.Folder(), prefix+"*")) // only a bad pattern fails
	for _, home := range old {
		run, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(home), prefix))
		if err == nil && errors.Is(syscall.Kill(run, 0), syscall.ESRCH) {
			_ = os.RemoveAll(home) // another user's stays
		}
	}
}
