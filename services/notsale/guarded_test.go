//go:build unix

package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"notsale/pkg/sale"
	"notsale/services/edge"
	"notsale/services/notsale/notsaletest"
)

// guardedNATS is a NATS server whose settings a test writes, and reloads as an
// operator does. Its users are edge and others.
type guardedNATS struct {
	t          *testing.T
	file, data string
	settings   string
	srv        *server.Server
}

func startGuardedNATS(t *testing.T, settings string) *guardedNATS {
	t.Helper()
	g := &guardedNATS{t: t, file: filepath.Join(t.TempDir(), "nats.conf"), data: t.TempDir(), settings: settings}
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
	if !g.srv.ReadyForConnections(notsaletest.Patience) {
		t.Fatal("the server is not ready")
	}
	return g
}

func (g *guardedNATS) write(permissions string, port int) {
	g.t.Helper()
	text := fmt.Sprintf(`
		listen: "127.0.0.1:%d"
		%s
		jetstream { store_dir: %q, max_file_store: 16GB }
		authorization { users: [ { user: edge, password: secret, permissions: { %s } }, { user: others, password: secret } ] }`,
		port, g.settings, g.data, permissions)
	if err := os.WriteFile(g.file, []byte(text), 0o600); err != nil {
		g.t.Fatal(err)
	}
}

// reload gives the edge these permissions; none: all.
func (g *guardedNATS) reload(permissions string) {
	g.t.Helper()
	g.write(permissions, g.srv.Addr().(*net.TCPAddr).Port)
	if err := g.srv.Reload(); err != nil {
		g.t.Fatal(err)
	}
}

// serve makes it the stage's NATS, as the edge may use it, with a directory of
// sales, which a scheduler makes.
func (g *guardedNATS) serve(stage *notsaletest.Stage) {
	g.t.Helper()
	stage.NATSURL = g.url("others")
	if _, err := stage.Stream("scheduler").MakeDirectory(g.t.Context()); err != nil {
		g.t.Fatal(err)
	}
	stage.NATSURL = g.url("edge")
}

func (g *guardedNATS) url(user string) string {
	return fmt.Sprintf("nats://%s:secret@%v", user, g.srv.Addr())
}

// NATS takes the edge's subscription to replies away and gives it back: the edge
// says that it is not ready; a sold code is told so throughout, and what is
// decided meanwhile is learned from the ledger before 202 is said; afterwards
// replies come again.
func TestARefusedSubscriptionToReplies(t *testing.T) {
	t.Parallel()
	g := startGuardedNATS(t, "")
	stage := notsaletest.New(t)
	g.serve(stage)
	f := frontOn(t, stage, func(c *edge.Config) { c.PurchaseWait = time.Second })
	stage.NATSURL = g.url("others")
	of := f.OpenSale(1000, 1000)
	f.allocate()
	text := f.code(f.keys, of, 1, "ann", time.Hour)
	sold := decided(t, f.Shop, text)
	expectation{status: 200}.check(t, sold)
	ready := func(status int) {
		t.Helper()
		notsaletest.Eventually(t, fmt.Sprintf("readyz answers %d", status), func() bool { return f.Get(t, "/readyz").Status == status })
	}
	g.reload(`subscribe: { deny: ["replies.>"] }`)
	ready(http.StatusServiceUnavailable)
	sameAnswer(t, "a sold code", decided(t, f.Shop, text), sold)
	fresh := sale.ItemID(10)
	notsaletest.Eventually(t, "what is decided meanwhile is told at its first post", func() bool {
		fresh++
		return f.Purchase(t, f.code(f.keys, of, fresh, "ann", time.Hour)).Status == http.StatusOK
	})
	sameAnswer(t, "a sold code", decided(t, f.Shop, text), sold)
	g.reload("")
	ready(http.StatusOK)
	expectation{status: 200}.check(t, decided(t, f.Shop, f.code(f.keys, of, 3, "ann", time.Hour)))

	g.reload(`publish: { deny: ["purchases.>"] }`)
	notsaletest.Eventually(t, "a denied publish is told at once", func() bool {
		a := f.Purchase(t, f.code(f.keys, of, 4, "ann", time.Hour))
		return a.Status == http.StatusServiceUnavailable
	})
	g.reload("")
	notsaletest.Eventually(t, "it is allowed again", func() bool {
		return f.Purchase(t, f.code(f.keys, of, 4, "ann", time.Hour)).Status == http.StatusOK
	})
}
