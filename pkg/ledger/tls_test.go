//go:build unix

package ledger_test

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"notsale/pkg/backends/backendstest"
	"notsale/pkg/ledger"
)

// intoServer writes a file into the server's data folder, as the server's user.
func (w *world) intoServer(t *testing.T, name, text string) {
	t.Helper()
	w.exec(t, `CREATE TEMP TABLE IF NOT EXISTS lines (n int, line text)`)
	w.exec(t, `TRUNCATE lines`)
	w.exec(t, `INSERT INTO lines SELECT n, line FROM unnest(string_to_array($1, E'\n')) WITH ORDINALITY AS of (line, n)`, strings.TrimSpace(text))
	w.exec(t, `COPY (SELECT line FROM lines ORDER BY n) TO PROGRAM 'umask 077; cat > `+name+`'`)
}

// The connection is secured by what the URL says, with a certificate of the
// client's where the server wants one; whatever is wrong is said with what to do,
// and without the password.
func TestTLSByTheURL(t *testing.T) {
	t.Parallel()
	w := newWorld(t, backendstest.WithOwnPostgres)
	ca, stranger, dir := backendstest.NewCA(t), backendstest.NewCA(t), t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	read := func(name string) string {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	ca.Issue("server", file("server.crt"), file("server.key"))
	ca.Issue("client", file("client.crt"), file("client.key"))
	for name, from := range map[string]string{"server.crt": file("server.crt"), "server.key": file("server.key"), "ca.crt": ca.File} {
		w.intoServer(t, name, read(from))
	}
	w.intoServer(t, "pg_hba.conf", "hostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca\nhostnossl all notsale 127.0.0.1/32 scram-sha-256") //nolint:dupword // all databases, all roles
	w.Alter(`SET ssl_ca_file = 'ca.crt'`)
	w.Alter(`SET ssl = on`)
	u, err := url.Parse(w.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	open := func(parameters map[string]string) error {
		of := *u
		values := url.Values{}
		for name, value := range parameters {
			values.Set(name, value)
		}
		of.RawQuery = values.Encode()
		l, err := ledger.Open(t.Context(), ledger.Config{URL: of.String(), Name: "secured", Conns: 1})
		if err != nil {
			return err
		}
		defer l.Close()
		return l.CheckSchema(t.Context())
	}
	client := map[string]string{"sslmode": "verify-full", "sslrootcert": ca.File, "sslcert": file("client.crt"), "sslkey": file("client.key")}
	with := func(changes ...string) map[string]string {
		all := map[string]string{}
		for name, value := range client {
			all[name] = value
		}
		for i := 0; i < len(changes); i += 2 {
			all[changes[i]] = changes[i+1]
		}
		return all
	}
	eventually(t, "the server speaks TLS", func() error { return open(client) })
	for name, c := range map[string]struct {
		parameters map[string]string
		unfit      bool
		want       string
	}{
		"a CA that did not sign it":   {with("sslrootcert", stranger.File), true, "sslrootcert"},
		"so with verify-ca":           {with("sslrootcert", stranger.File, "sslmode", "verify-ca"), true, "sslrootcert"},
		"the system's CAs":            {map[string]string{"sslmode": "verify-full"}, true, "sslrootcert"},
		"no certificate of its own":   {map[string]string{"sslmode": "verify-full", "sslrootcert": ca.File}, false, "sslcert"},
		"a file that there is not":    {with("sslrootcert", file("gone.crt")), false, "gone.crt"},
		"a key that there is not":     {with("sslkey", file("gone.key")), false, "gone.key"},
		"a certificate without a key": {with("sslkey", ""), false, "sslkey"},
	} {
		err := open(c.parameters)
		if err == nil || errors.Is(err, ledger.ErrUnfit) != c.unfit || !strings.Contains(err.Error(), c.want) || strings.Contains(fmt.Sprint(err), password) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
