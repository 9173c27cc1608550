//go:build unix

package backendstest

import (
	"fmt"
	"testing"
)

// Guarded is a NATS server whose permissions a test changes by a reload, as an
// operator does. Its users are edge, whom they bind, and others. The server's
// warnings go to the test's log.
type Guarded struct {
	*Configured

	settings string
}

// NewGuarded starts a server with these settings, lines of its configuration,
// that permits everything. It is stopped when the test ends.
func NewGuarded(t testing.TB, settings string) *Guarded {
	t.Helper()
	g := &Guarded{settings: settings}
	g.Configured = Configure(t, g.permitting(""))
	g.SetLoggerV2(warnings{t}, false, false, false)
	return g
}

func (g *Guarded) permitting(permissions string) string {
	return fmt.Sprintf(`%s
jetstream { store_dir: STORE, max_file_store: %d }
authorization { users: [ { user: edge, password: secret, permissions: { %s } }, { user: others, password: secret } ] }`,
		g.settings, int64(testStreamStore), permissions)
}

// Reload gives the user edge these permissions; none: all.
func (g *Guarded) Reload(permissions string) {
	g.t.Helper()
	g.Configured.Reload(g.permitting(permissions))
}

// URL is for the user, edge or others.
func (g *Guarded) URL(user string) string { return g.Configured.URL(user + ":secret@") }

// warnings is a server's log of which a test shows what is wrong.
type warnings struct{ t testing.TB }

func (w warnings) Warnf(format string, v ...any)  { w.t.Logf("NATS warns: "+format, v...) }
func (w warnings) Errorf(format string, v ...any) { w.t.Logf("NATS fails: "+format, v...) }
func (w warnings) Fatalf(format string, v ...any) { w.t.Errorf("NATS fails: "+format, v...) }
func (warnings) Noticef(string, ...any)           {}
func (warnings) Debugf(string, ...any)            {}
func (warnings) Tracef(string, ...any)            {}
