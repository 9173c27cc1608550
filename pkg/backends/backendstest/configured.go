//go:build unix

package backendstest

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

// Configured is a NATS server with a configuration that a test writes, and may
// write again.
type Configured struct {
	*server.Server

	t    testing.TB
	file string
	data string
	port int
}

// Configure runs a server with these settings on any port of this machine, with
// JetStream and STORE as its folder, where they do not speak of it. It is stopped
// when the test ends.
func Configure(t testing.TB, settings string) *Configured {
	t.Helper()
	c := &Configured{t: t, file: filepath.Join(t.TempDir(), "nats.conf"), data: t.TempDir(), port: server.RANDOM_PORT}
	c.Write(settings)
	c.Start()
	t.Cleanup(c.Stop)
	return c
}

// Write changes the settings of the next start.
func (c *Configured) Write(settings string) {
	c.t.Helper()
	if !strings.Contains("\n"+settings, "\njetstream") {
		settings += "\njetstream { store_dir: STORE, max_file_store: 1GB }"
	}
	settings = strings.Replace(settings, "STORE", strconv.Quote(c.data), 1)
	text := fmt.Sprintf("listen: \"127.0.0.1:%d\"\n%s\n", c.port, settings)
	if err := os.WriteFile(c.file, []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// Start starts the server, on the port and the store that it had.
func (c *Configured) Start() {
	c.t.Helper()
	opts, err := server.ProcessConfigFile(c.file)
	if err != nil {
		c.t.Fatal(err)
	}
	opts.NoSigs, opts.NoLog = true, true
	if c.Server, err = server.NewServer(opts); err != nil {
		c.t.Fatal(err)
	}
	c.Server.Start()
	if !c.ReadyForConnections(startLimit) {
		c.t.Fatal("the server is not ready")
	}
	c.port = c.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // a TCP listener's
}

// Stop stops the server.
func (c *Configured) Stop() {
	c.Shutdown()
	c.WaitForShutdown()
}

// Reload gives the server other settings.
func (c *Configured) Reload(settings string) {
	c.t.Helper()
	c.Write(settings)
	if err := c.Server.Reload(); err != nil {
		c.t.Fatal(err)
	}
}

// URL is for a user, with a password and @, or for none.
func (c *Configured) URL(login string) string {
	return fmt.Sprintf("nats://%s127.0.0.1:%d", login, c.port)
}
