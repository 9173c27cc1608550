package stream_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"notsale/pkg/stream"
)

// guarded is a NATS server whose permissions a test changes by a reload, as an
// operator does.
type guarded struct {
	t    *testing.T
	file string
	srv  *server.Server
	dir  string
}

func startGuarded(t *testing.T) *guarded {
	t.Helper()
	g := &guarded{t: t, file: filepath.Join(t.TempDir(), "nats.conf"), dir: t.TempDir()}
	g.write("", server.RANDOM_PORT)
	opts, err := server.ProcessConfigFile(g.file)
	if err != nil {
		t.Fatal(err)
	}
	opts.NoSigs, opts.NoLog = true, true
	if g.srv, err = server.NewServer(opts); err != nil {
		t.Fatal(err)
	}
	g.srv.Start()
	t.Cleanup(func() { g.srv.Shutdown(); g.srv.WaitForShutdown() })
	if !g.srv.ReadyForConnections(patience) {
		t.Fatal("the server is not ready")
	}
	return g
}

func (g *guarded) write(permissions string, port int) {
	g.t.Helper()
	text := fmt.Sprintf(`
		listen: "127.0.0.1:%d"
		jetstream { store_dir: %q }
		authorization { users: [ { user: edge, password: secret, permissions: { %s } } ] }`, port, g.dir, permissions)
	if err := os.WriteFile(g.file, []byte(text), 0o600); err != nil {
		g.t.Fatal(err)
	}
}

// reload gives the user these permissions.
func (g *guarded) reload(permissions string) {
	g.t.Helper()
	g.write(permissions, g.srv.Addr().(*net.TCPAddr).Port)
	if err := g.srv.Reload(); err != nil {
		g.t.Fatal(err)
	}
}

func (g *guarded) url() string { return "nats://edge:secret@" + g.srv.Addr().String() }

// A subscription that NATS takes away is made again, and heard again, as soon as
// it gives it back; meanwhile the client says so.
func TestARefusedSubscriptionIsMadeAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ without string }{
		"of replies":     {`subscribe: { deny: ["replies.>"] }`},
		"of the library": {`subscribe: { deny: ["_INBOX.>"] }`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := startGuarded(t)
			client := connect(t, config(g.url()))
			open(t, client)
			heard := make(chan string, 100)
			stop, err := client.Replies("e", func(data []byte) { heard <- string(data) })
			if err != nil {
				t.Fatal(err)
			}
			defer stop()
			works := func() error {
				if err := errors.Join(client.Deaf(), client.Reply("e", []byte("reply")), client.PublishPack(t.Context(), 1, []byte("pack"))); err != nil {
					return err
				}
				select {
				case <-heard:
					return nil
				case <-time.After(100 * time.Millisecond):
					return errors.New("nothing is heard")
				}
			}
			eventually(t, "all works", works)
			g.reload(c.without)
			eventually(t, "the client knows that it is deaf", func() error {
				if client.Deaf() == nil {
					return errors.New("it hears")
				}
				return nil
			})
			g.reload("")
			eventually(t, "all works again", works)
		})
	}
}

// A publish that NATS forbids is an error of that publish, at once and for
// certain, and of no other.
func TestADeniedPublish(t *testing.T) {
	t.Parallel()
	g := startGuarded(t)
	client := connect(t, config(g.url()))
	open(t, client)
	g.reload(`publish: { deny: ["purchases.1"] }`)
	eventually(t, "the publish is denied", func() error {
		err := client.PublishPack(t.Context(), 1, []byte("pack"))
		if !errors.Is(err, stream.ErrDenied) {
			return fmt.Errorf("want ErrDenied: %w", errors.Join(err, errors.New("not denied")))
		}
		certain(t, "denied", err)
		return nil
	})
	if err := client.PublishAttempts(t.Context(), 1, []byte("attempts")); err != nil {
		t.Errorf("another subject: %v", err)
	}
	g.reload("")
	eventually(t, "it is allowed again", func() error { return client.PublishPack(t.Context(), 1, []byte("pack")) })
}
