//go:build unix

package backendstest

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

// Guarded is a NATS server whose permissions a test changes by a reload, as an
// operator does. Its users are edge, whom they bind, and others. What the server
// warns of stands in the test's log.
type Guarded struct {
	t          testing.TB
	file, data string
	settings   string
	srv        *server.Server
}

// NewGuarded starts a server with these settings, lines of its configuration,
// that permits everything. It is stopped when the test ends.
func NewGuarded(t testing.TB, settings string) *Guarded {
	t.Helper()
	g := &Guarded{t: t, file: filepath.Join(t.TempDir(), "nats.conf"), data: t.TempDir(), settings: settings}
	g.write("", server.RANDOM_PORT)
	opts, err := server.ProcessConfigFile(g.file)
	if err != nil {
		t.Fatal(err)
	}
	opts.NoSigs = true
	if g.srv, err = server.NewServer(opts); err != nil {
		t.Fatal(err)
	}
	g.srv.SetLoggerV2(warnings{t}, false, false, false)
	g.srv.Start()
	t.Cleanup(func() { g.srv.Shutdown(); g.srv.WaitForShutdown() })
	if !g.srv.ReadyForConnections(startLimit) {
		t.Fatal("the server is not ready")
	}
	return g
}

func (g *Guarded) write(permissions string, port int) {
	g.t.Helper()
	text := fmt.Sprintf(`
		listen: "127.0.0.1:%d"
		%s
		jetstream { store_dir: %q, max_file_store: %d }
		authorization { users: [ { user: edge, password: secret, permissions: { %s } }, { user: others, password: secret } ] }`,
		port, g.settings, g.data, int64(testStreamStore), permissions)
	if err := os.WriteFile(g.file, []byte(text), 0o600); err != nil {
		g.t.Fatal(err)
	}
}

// Reload gives the user edge these permissions; none: all.
func (g *Guarded) Reload(permissions string) {
	g.t.Helper()
	g.write(permissions, g.srv.Addr().(*net.TCPAddr).Port) //nolint:forcetypeassert // a TCP listener's
	if err := g.srv.Reload(); err != nil {
		g.t.Fatal(err)
	}
}

// URL is for the user, edge or others.
func (g *Guarded) URL(user string) string {
	return fmt.Sprintf("nats://%s:secret@%v", user, g.srv.Addr())
}

// warnings is a server's log of which a test shows what is wrong.
type warnings struct{ t testing.TB }

func (w warnings) Warnf(format string, v ...any)  { w.t.Logf("NATS warns: "+format, v...) }
func (w warnings) Errorf(format string, v ...any) { w.t.Logf("NATS fails: "+format, v...) }
func (w warnings) Fatalf(format string, v ...any) { w.t.Errorf("NATS fails: "+format, v...) }
func (warnings) Noticef(string, ...any)           {}
func (warnings) Debugf(string, ...any)            {}
func (warnings) Tracef(string, ...any)            {}
