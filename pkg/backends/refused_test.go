//go:build unix

package backends

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"notsale/pkg/effort"
)

// unknownUser is an id that no passwd file has.
const unknownUser = 54_321

// asUser runs a parent on the folder (see beParent) as another user, and returns
// its output.
func asUser(t *testing.T, uid uint32, data string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(filepath.Dir(newData(t)), "parent") // where that user may run it
	if out, err := exec.CommandContext(t.Context(), "cp", self, program).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), effort.Patience) // one that starts does not end
	defer cancel()
	cmd := exec.CommandContext(ctx, program)
	cmd.Dir, cmd.Env = "/", []string{parentOf + "=" + data, "PATH=" + os.Getenv("PATH"), "LANG=xx_YY"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	said, err := cmd.CombinedOutput()
	if err == nil || ctx.Err() != nil {
		t.Fatalf("it starts: %s", said)
	}
	return string(said)
}

// If the stores cannot use a folder, or not as this user, the error says what to do.
func TestFoldersThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs to become other users")
	}
	const other = "choose another"
	nobody, err := childAccount("")
	if err != nil {
		t.Fatal(err)
	}
	mine := int(nobody.uid)
	for name, c := range map[string]struct {
		prepare func(data string) error
		want    []string
	}{
		"a file":                         {func(data string) error { return os.WriteFile(data, nil, 0o644) }, []string{"not a directory", other, "--data"}},
		"in a folder of somebody else's": {func(string) error { return nil }, []string{"permission denied", other, "--data"}},
		"somebody else's":                {func(data string) error { return os.Mkdir(data, 0o700) }, []string{"permission denied", "another user's", other, "--data"}},
		"read-only": {func(data string) error {
			return first(os.Mkdir(data, 0o700), os.Chown(data, mine, mine), os.Chmod(data, 0o500))
		}, []string{"permission denied", other, "--data"}},
		"of which Postgres's is somebody else's": {func(data string) error {
			return first(os.Mkdir(data, 0o700), os.Chown(data, mine, mine), os.Mkdir(filepath.Join(data, "postgres"), 0o700))
		}, []string{"belongs to user id 0", other, "--data"}},
		"of which NATS's is somebody else's": {func(data string) error {
			return first(os.Mkdir(data, 0o700), os.Chown(data, mine, mine), os.Mkdir(filepath.Join(data, "nats"), 0o700))
		}, []string{"permission denied", other, "--data"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := newData(t)
			if err := c.prepare(data); err != nil {
				t.Fatal(err)
			}
			said := asUser(t, nobody.uid, data)
			for _, want := range c.want {
				if !strings.Contains(said, want) {
					t.Errorf("it does not say %q: %s", want, said)
				}
			}
		})
	}
}

// PostgreSQL needs a user that has a name: our own or, for root, the folder's owner.
func TestAUserWithoutAName(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs to become other users")
	}
	folder := func() string {
		data := newData(t)
		if err := first(os.Mkdir(data, 0o700), os.Chown(data, unknownUser, unknownUser)); err != nil {
			t.Fatal(err)
		}
		return data
	}
	_, err := StartPostgres(t.Context(), Config{Data: folder(), Ephemeral: true}, discard())
	if err == nil {
		t.Fatal("it starts")
	}
	for by, said := range map[string]string{"root": err.Error(), "that user": asUser(t, unknownUser, folder())} {
		if !strings.Contains(said, "/etc/passwd") || !strings.Contains(said, "DATABASE_URL") {
			t.Errorf("by %s: %s", by, said)
		}
	}
}

// first is the first error.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
