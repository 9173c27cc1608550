package deployments

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"notsale/pkg/effort"
)

// natsServer runs a server with nats.conf, and returns its address and the
// folder of secrets.
func natsServer(t *testing.T) (*server.Options, string, string) {
	t.Helper()
	secrets, dir := makeSecrets(t), t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "secrets"), 0o700); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{
		filepath.Join("nats", "nats.conf"):               "nats.conf",
		filepath.Join(secrets, "nats", "passwords.conf"): "secrets/passwords.conf",
	} {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, to), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	opts, err := server.ProcessConfigFile(filepath.Join(dir, "nats.conf"))
	if err != nil {
		t.Fatal(err)
	}
	run := opts.Clone()
	run.Host, run.Port, run.HTTPPort = "127.0.0.1", server.RANDOM_PORT, 0
	run.StoreDir, run.NoSigs, run.NoLog = t.TempDir(), true, true
	srv, err := server.NewServer(run)
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(effort.Patience) {
		t.Fatal("the server is not ready")
	}
	return opts, srv.Addr().String(), secrets
}

// connect comes in as a service, with the URL that secrets.sh made for it.
// Its errors, which the server tells afterwards, go to the channel.
func connect(t *testing.T, addr, secrets, user string) (*nats.Conn, jetstream.JetStream, chan error) {
	t.Helper()
	url, err := os.ReadFile(filepath.Join(secrets, user, "nats_url"))
	if err != nil {
		t.Fatal(err)
	}
	errs := make(chan error, 10)
	nc, err := nats.Connect(strings.Replace(strings.TrimSpace(string(url)), "nats:4222", addr, 1),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { errs <- err }))
	if err != nil {
		t.Fatalf("%s: %v", user, err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(effort.Patience))
	if err != nil {
		t.Fatal(err)
	}
	return nc, js, errs
}

func TestNATSIsDurable(t *testing.T) {
	opts, _, _ := natsServer(t)
	if !opts.JetStream || !opts.SyncAlways {
		t.Errorf("JetStream %v, SyncAlways %v: an acknowledged request must survive power loss", opts.JetStream, opts.SyncAlways)
	}
	if opts.StoreDir != "/data" || opts.MaxPayload < 512<<10 {
		t.Errorf("store %q, payload %d", opts.StoreDir, opts.MaxPayload)
	}
}

func TestNATSHasOneIdentityPerService(t *testing.T) {
	_, addr, secrets := natsServer(t)
	if nc, err := nats.Connect("nats://" + addr); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("came in without a name: %v, %v", nc, err)
	}
	_, scheduler, _ := connect(t, addr, secrets, "scheduler")
	for name, subject := range map[string]string{"SALE_1": "purchases.1", "CHECKOUTS_1": "checkouts.1"} {
		if _, err := scheduler.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{subject}}); err != nil {
			t.Fatalf("the scheduler makes %s: %v", name, err)
		}
	}
	const destroy = "$JS.API.STREAM.DELETE.SALE_1"
	for user, subjects := range map[string]struct{ may, mustNot []string }{
		"edge":      {[]string{"purchases.1", "checkouts.1"}, []string{"replies.e", "$KV.SALES.1", destroy, "$JS.API.STREAM.UPDATE.SALE_1"}},
		"allocator": {[]string{"replies.e"}, []string{"purchases.1", "checkouts.1", "$KV.SALES.1", destroy}},
		"recorder":  {nil, []string{"purchases.1", "checkouts.1", "replies.e", "$KV.SALES.1", destroy}},
		"scheduler": {[]string{"purchases.1", "$KV.SALES.1"}, []string{"checkouts.1", "replies.e", "$JS.API.STREAM.PURGE.SALE_1", "$JS.API.STREAM.MSG.DELETE.SALE_1"}},
		"auditor":   {nil, []string{"purchases.1", "checkouts.1", "replies.e", "$KV.SALES.1", destroy, "$JS.API.STREAM.UPDATE.SALE_1", "$JS.API.STREAM.CREATE.X"}},
		"operator":  {[]string{"$KV.SALES.1"}, nil},
	} {
		nc, js, errs := connect(t, addr, secrets, user)
		if _, err := js.Stream(t.Context(), "SALE_1"); err != nil {
			t.Errorf("%s cannot look at the stream: %v", user, err)
		}
		for _, s := range subjects.may {
			if err := publish(nc, errs, s); err != nil {
				t.Errorf("%s may publish on %s: %v", user, s, err)
			}
		}
		for _, s := range subjects.mustNot {
			if err := publish(nc, errs, s); !errors.Is(err, nats.ErrPermissionViolation) {
				t.Errorf("%s must not publish on %s: got %v", user, s, err)
			}
		}
	}
}

// publish returns what the server had to say. It tells a violation before it
// answers the flush; the client hands it over by a goroutine of its own.
func publish(nc *nats.Conn, errs chan error, subject string) error {
	if err := nc.Publish(subject, []byte("x")); err != nil {
		return err
	}
	if err := nc.Flush(); err != nil {
		return err
	}
	if nc.LastError() == nil {
		return nil
	}
	select {
	case err := <-errs:
		return err
	case <-time.After(effort.Patience):
		return nil // an earlier violation, none by this subject
	}
}
