package stream_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"notsale/pkg/backends/backendstest"
	"notsale/pkg/backends/backendstest/testlog"
	"notsale/pkg/stream"
)

// certified is a server's certificate and a client's, in files, and the server's
// settings.
func certified(t *testing.T, ca *backendstest.CA) (files stream.Files, settings string) {
	t.Helper()
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	files = stream.Files{CA: ca.File, Cert: path("client.pem"), Key: path("client.key")}
	ca.Issue("server", path("server.pem"), path("server.key"))
	ca.Issue("client", files.Cert, files.Key)
	return files, fmt.Sprintf("tls { cert_file: %q, key_file: %q, ca_file: %q, verify: true }\nhttps: \"127.0.0.1:-1\"",
		path("server.pem"), path("server.key"), ca.File)
}

// A NATS that requires client certificates accepts a client with one; the error of
// another says what it lacks.
func TestTLS(t *testing.T) {
	t.Parallel()
	files, settings := certified(t, backendstest.NewCA(t))
	others, _ := certified(t, backendstest.NewCA(t))
	nats := backendstest.Configure(t, settings)
	cfg := config("nats://127.0.0.1:1," + nats.URL(""))
	cfg.Files = files
	c := connect(t, cfg)
	open(t, c)
	publish(t, c, "pack")
	if err := c.Verify(t.Context(), "https://"+nats.MonitorAddr().String()); !errors.Is(err, stream.ErrNotDurable) || !strings.Contains(err.Error(), "sync_interval") {
		t.Errorf("what the monitor says over TLS: %v", err)
	}
	for want, files := range map[string]stream.Files{
		"--nats-ca":   {},
		"--nats-cert": {CA: files.CA},
		"--nats-key":  {CA: files.CA, Cert: others.Cert, Key: others.Key},
	} {
		cfg := config(nats.URL(""))
		cfg.Files = files
		refusedAtStart(t, cfg, want)
	}
	plain := config(backendstest.Configure(t, "").URL(""))
	plain.Files = files
	refusedAtStart(t, plain, "has no TLS")
}

// refusedAtStart fails unless the client cannot connect, and both its error and one
// line of its log say why.
func refusedAtStart(t *testing.T, cfg stream.Config, want string) {
	t.Helper()
	var log testlog.Log
	ctx := brief(t)
	c, err := stream.Connect(ctx, cfg, log.Logger())
	if err == nil {
		c.Close()
	}
	if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "does not answer") || log.Count(want) != 1 || log.Count("\n") != 1 {
		t.Errorf("%v, and the log\n%s\nwant both to say %q, once", err, &log, want)
	}
}

// overTLS starts a server that has certificates of an authority, and gives a client
// of it, with the client's files.
func overTLS(t *testing.T, ca *backendstest.CA, log *slog.Logger) (*backendstest.Configured, stream.Files, *stream.Client) {
	t.Helper()
	files, settings := certified(t, ca)
	nats := backendstest.Configure(t, settings)
	cfg := config(nats.URL(""))
	cfg.Files = files
	return nats, files, connectTelling(t, cfg, log)
}

// Certificates that were renewed on disk, also by a new authority, take effect at the
// next connection.
func TestRenewedCertificatesAreTaken(t *testing.T) {
	t.Parallel()
	old, renewed := backendstest.NewCA(t), backendstest.NewCA(t)
	var log testlog.Log
	nats, files, c := overTLS(t, old, log.Logger())
	open(t, c)
	nats.Stop()
	theirs, settings := certified(t, renewed)
	nats.Write(settings)
	nats.Start()
	eventually(t, "the client says that nobody it knows has signed", func() error {
		if log.Count("give --nats-ca") == 0 {
			return errors.New(log.String())
		}
		return nil
	})
	for from, to := range map[string]string{theirs.CA: files.CA, theirs.Cert: files.Cert, theirs.Key: files.Key} {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "a publish", func() error { return c.PublishPack(t.Context(), 1, []byte("pack")) })
	if n := log.Count("give --nats-ca"); n != 1 {
		t.Errorf("said %d times\n%s", n, &log)
	}
}

// An expired certificate is logged once, though the error of each try has another time.
func TestAnExpiredCertificateIsToldOnce(t *testing.T) {
	t.Parallel()
	ca := backendstest.NewCA(t)
	var log testlog.Log
	nats, _, c := overTLS(t, ca, log.Logger())
	nats.Stop()
	ca.Expired = true
	_, settings := certified(t, ca)
	nats.Write(settings)
	nats.Start()
	said := map[string]bool{}
	eventually(t, "tries in several seconds", func() error {
		if err := c.Ping(t.Context()); err != nil && strings.Contains(err.Error(), "has expired") {
			said[err.Error()] = true
		}
		if len(said) < 3 {
			return errors.New(log.String())
		}
		return nil
	})
	if n := log.Count("is not valid"); n != 1 {
		t.Errorf("said %d times\n%s", n, &log)
	}
}

// A client logs in with a key, or with credentials.
func TestKeysAndCredentials(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	user, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	seed, public := keep(t, user, filepath.Join(dir, "user.nk"))
	t.Run("key", func(t *testing.T) {
		t.Parallel()
		cfg := config(backendstest.Configure(t, "authorization { users: [ { nkey: "+public+" } ] }").URL(""))
		cfg.Files.NKey = seed
		open(t, connect(t, cfg))
		cfg.Files = stream.Files{}
		refusedAtStart(t, cfg, "refuses the login")
	})
	t.Run("credentials", func(t *testing.T) {
		t.Parallel()
		settings, creds := trusted(t, user, public)
		file := filepath.Join(dir, "user.creds")
		if err := os.WriteFile(file, creds, 0o600); err != nil {
			t.Fatal(err)
		}
		cfg := config(backendstest.Configure(t, settings).URL(""))
		cfg.Files.Creds = file
		open(t, connect(t, cfg))
		cfg.Files = stream.Files{NKey: seed}
		refusedAtStart(t, cfg, "refuses the login")
	})
}

// keep writes the seed of a key pair into the file.
func keep(t *testing.T, pair nkeys.KeyPair, file string) (path, public string) {
	t.Helper()
	seed, err := pair.Seed()
	if err == nil {
		public, err = pair.PublicKey()
	}
	if err == nil {
		err = os.WriteFile(file, seed, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return file, public
}

// trusted are settings of a server that trusts an operator, with an account that
// has JetStream, and credentials of a user in it.
func trusted(t *testing.T, user nkeys.KeyPair, userKey string) (settings string, creds []byte) {
	t.Helper()
	operator, errOperator := nkeys.CreateOperator()
	account, errAccount := nkeys.CreateAccount()
	system, errSystem := nkeys.CreateAccount()
	if err := errors.Join(errOperator, errAccount, errSystem); err != nil {
		t.Fatal(err)
	}
	public := func(pair nkeys.KeyPair) string {
		key, err := pair.PublicKey()
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	encode := func(claims jwt.Claims, by nkeys.KeyPair) string {
		text, err := claims.Encode(by)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	ofOperator := jwt.NewOperatorClaims(public(operator))
	ofOperator.SystemAccount = public(system)
	ofAccount := jwt.NewAccountClaims(public(account))
	ofAccount.Limits.JetStreamLimits = jwt.JetStreamLimits{DiskStorage: -1, MemoryStorage: -1, Streams: -1, Consumer: -1}
	settings = fmt.Sprintf("operator: %q\nresolver: MEMORY\nresolver_preload: { %s: %q, %s: %q }",
		encode(ofOperator, operator), public(account), encode(ofAccount, operator),
		public(system), encode(jwt.NewAccountClaims(public(system)), operator))
	seed, err := user.Seed()
	if err != nil {
		t.Fatal(err)
	}
	creds, err = jwt.FormatUserConfig(encode(jwt.NewUserClaims(userKey), account), seed)
	if err != nil {
		t.Fatal(err)
	}
	return settings, creds
}

// A file that cannot be used is refused at once, with its name and the setting's.
func TestFilesThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	files, _ := certified(t, backendstest.NewCA(t))
	junk := filepath.Join(t.TempDir(), "junk")
	if err := os.WriteFile(junk, []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, files := range map[string]stream.Files{
		"--nats-ca: open /nowhere":           {CA: "/nowhere"},
		"--nats-ca " + junk:                  {CA: junk},
		"--nats-cert /nowhere":               {Cert: "/nowhere", Key: files.Key},
		"--nats-key " + junk:                 {Cert: files.Cert, Key: junk},
		"--nats-cert and --nats-key":         {Cert: files.Cert},
		"--nats-creds " + junk:               {Creds: junk},
		"--nats-creds /nowhere":              {Creds: "/nowhere"},
		"--nats-nkey " + junk:                {NKey: junk},
		"--nats-nkey /nowhere":               {NKey: "/nowhere"},
		"--nats-creds and --nats-nkey: give": {Creds: junk, NKey: junk},
	} {
		cfg := config("nats://127.0.0.1:1")
		cfg.Files = files
		if _, err := stream.Connect(t.Context(), cfg, quiet()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want it to say %q", err, want)
		}
	}
}

// A refused login is reported as such, at start and later, and logged once. It works
// again once the operator has repaired it.
func TestARefusedLogin(t *testing.T) {
	t.Parallel()
	users := func(password string) string {
		return "authorization { users: [ { user: edge, password: " + password + " } ] }"
	}
	nats := backendstest.Configure(t, users("right"))
	refusedAtStart(t, config(nats.URL("edge:wrong@")), "refuses the login")
	var log testlog.Log
	c := connectTelling(t, config(nats.URL("edge:right@")), log.Logger())
	open(t, c)
	nats.Reload(users("changed"))
	eventually(t, "it is told", func() error {
		if log.Count("refuses the login") == 0 || c.Connected() {
			return errors.New(log.String())
		}
		return nil
	})
	if err := c.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "refuses the login") {
		t.Errorf("ping: %v", err)
	}
	eventually(t, "it was tried a few times", func() error {
		closed, err := nats.Connz(&server.ConnzOptions{State: server.ConnClosed})
		if err == nil && closed.Total < 5 {
			err = fmt.Errorf("%d connections", closed.Total)
		}
		return err
	})
	nats.Reload(users("right"))
	eventually(t, "a publish", func() error { return c.PublishPack(t.Context(), 1, []byte("pack")) })
	if n := log.Count("refuses the login"); n != 1 || log.Count("\n") > 4 {
		t.Errorf("said %d times\n%s", n, &log)
	}
}
