//go:build unix

package backendstest

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Pooler runs PgBouncer before a database, until the test ends, with its default
// settings but for these lines of its configuration, and returns the URL through
// it. Where it is not installed the test is skipped or fails, as by RequireReal.
func Pooler(t testing.TB, databaseURL string, lines ...string) string {
	t.Helper()
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		program, err = exec.LookPath("/usr/sbin/pgbouncer")
	}
	RequireReal(t, "pgbouncer", err == nil)
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "notsale-pooler-*") //nolint:usetesting // its account cannot read that of t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	password, _ := u.User.Password()
	users, config := filepath.Join(dir, "users"), filepath.Join(dir, "ini")
	server, port := u.Host, freePorts(t, 1)[0]
	host, serverPort, _ := net.SplitHostPort(server)
	settings := append([]string{
		"[databases]", fmt.Sprintf("* = host=%s port=%s", host, serverPort), "[pgbouncer]",
		"listen_addr = 127.0.0.1", fmt.Sprintf("listen_port = %d", port), "unix_socket_dir =",
		"auth_type = plain", "auth_file = " + users,
	}, lines...)
	for path, text := range map[string]string{
		users:  fmt.Sprintf("%q %q\n", u.User.Username(), password),
		config: strings.Join(settings, "\n") + "\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil { //nolint:gosec // another user's server reads it
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // as above
		t.Fatal(err)
	}
	arguments := []string{config}
	if os.Geteuid() == 0 { // as which it refuses to run
		arguments = []string{"-u", "nobody", config}
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), program, arguments...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	u.Host = fmt.Sprintf("127.0.0.1:%d", port)
	awaitListener(t, u.Host)
	return u.String()
}

// awaitListener waits until somebody listens at an address.
func awaitListener(t testing.TB, address string) {
	t.Helper()
	for deadline := time.Now().Add(startLimit); ; time.Sleep(10 * time.Millisecond) {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
		if err == nil {
			_ = conn.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}
