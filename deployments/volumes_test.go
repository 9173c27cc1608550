//go:build unix

package deployments

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// The volumes are those of who writes to them, also after a run that was killed
// halfway, and are not given to another number of NATS servers, also where they
// are older than what says of how many they are.
func TestVolumes(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root gives folders away")
	}
	dir := t.TempDir()
	nats := filepath.Join(dir, "nats")
	for _, name := range []string{"archives", "nats"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	run := func(servers string) (string, error) {
		cmd := exec.CommandContext(t.Context(), "sh", "volumes.sh", dir)
		cmd.Env = append(os.Environ(), "NATS_SERVERS="+servers)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	taken := func(servers string) {
		t.Helper()
		if out, err := run(servers); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		for _, name := range []string{"archives", "nats"} {
			var s syscall.Stat_t
			if err := syscall.Stat(filepath.Join(dir, name), &s); err != nil || s.Uid != 10001 || s.Gid != 10001 {
				t.Errorf("%s belongs to %d:%d, %v", name, s.Uid, s.Gid, err)
			}
		}
	}
	refused := func(servers, why string) {
		t.Helper()
		if out, err := run(servers); err == nil || !strings.Contains(out, why) {
			t.Errorf("%s are taken: %v\n%s", servers, err, out)
		}
	}
	if err := os.WriteFile(filepath.Join(nats, "servers"), []byte("1\n"), 0o644); err != nil { // and was killed
		t.Fatal(err)
	}
	taken("nats")
	taken("nats")
	refused("nats nats-2 nats-3", "those of 1 server(s), and 3")
	if err := os.Remove(filepath.Join(nats, "servers")); err != nil {
		t.Fatal(err)
	}
	taken("nats nats-2 nats-3")
	refused("nats", "those of 3 server(s), and 1")
	if err := os.Truncate(filepath.Join(nats, "servers"), 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(nats, "jetstream"), 0o755); err != nil {
		t.Fatal(err)
	}
	refused("nats nats-2 nats-3", "those of 1 server(s), and 3")
	taken("nats")
}
