package stream_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

// configured is a NATS server with a configuration that a test writes, and may
// write again.
type configured struct {
	*server.Server

	t    *testing.T
	file string
	data string
	port int
}

// configure runs a server with these settings beside a store and any port of this
// machine. It is stopped when the test ends.
func configure(t *testing.T, settings string) *configured {
	t.Helper()
	c := &configured{t: t, file: filepath.Join(t.TempDir(), "nats.conf"), data: t.TempDir(), port: server.RANDOM_PORT}
	c.write(settings)
	c.start()
	t.Cleanup(c.stop)
	return c
}

func (c *configured) write(settings string) {
	c.t.Helper()
	text := fmt.Sprintf("listen: \"127.0.0.1:%d\"\njetstream { store_dir: %q, max_file_store: 1GB }\n%s\n", c.port, c.data, settings)
	if err := os.WriteFile(c.file, []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

func (c *configured) start() {
	c.t.Helper()
	opts, err := server.ProcessConfigFile(c.file)
	if err != nil {
		c.t.Fatal(err)
	}
	opts.NoSigs, opts.NoLog = true, true
	if c.Server, err = server.NewServer(opts); err != nil {
		c.t.Fatal(err)
	}
	c.Start()
	if !c.ReadyForConnections(patience) {
		c.t.Fatal("the server is not ready")
	}
	c.port = c.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // a TCP listener's
}

func (c *configured) stop() {
	c.Shutdown()
	c.WaitForShutdown()
}

// reload gives the server other settings.
func (c *configured) reload(settings string) {
	c.t.Helper()
	c.write(settings)
	if err := c.Reload(); err != nil {
		c.t.Fatal(err)
	}
}

// url is for a user with a password, or none.
func (c *configured) url(login string) string {
	return fmt.Sprintf("nats://%s127.0.0.1:%d", login, c.port)
}

// diary is a log that a test reads. Any goroutine may write to it.
type diary struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (d *diary) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.text.Write(p)
}

func (d *diary) logger() *slog.Logger { return slog.New(slog.NewTextHandler(d, nil)) }

// count is how many lines say this.
func (d *diary) count(words string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Count(d.text.String(), words)
}

func (d *diary) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.text.String()
}
