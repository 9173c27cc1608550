package backendstest

import (
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

var (
	//go:embed testdata/slowflush.c
	slowFlushSource string
	//go:embed testdata/run.c
	runSource string
)

// Flushes is how long the flushes of a test's own Postgres take.
type Flushes struct{ preload }

// NewFlushes makes flushes that can be slowed, to be given to New as the option
// that is its method Postgres. Without gcc the test is skipped or fails, as by
// RequireReal.
func NewFlushes(t testing.TB) *Flushes {
	t.Helper()
	p := newPreload(t, "0")
	p.library = p.compile("slowflush.so", slowFlushSource, "-shared", "-fPIC", "-ldl")
	p.env = []string{"SLOWFLUSH_FILE=" + p.control}
	return &Flushes{p}
}

// Take lets each flush that begins from now on take so much longer.
func (f *Flushes) Take(longer time.Duration) { f.write(strconv.FormatInt(longer.Milliseconds(), 10)) }

// Clock is the clock of a test's own Postgres.
type Clock struct{ preload }

// NewClock makes a clock that can be set, to be given to New as the option that
// is its method Postgres. Without libfaketime or gcc the test is skipped or fails, as
// by RequireReal.
func NewClock(t testing.TB) *Clock {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/*/faketime/libfaketime.so.1") // only a bad pattern fails
	RequireReal(t, "libfaketime", len(found) > 0)
	p := newPreload(t, "+0")
	p.library = found[0]
	p.env = []string{"FAKETIME_TIMESTAMP_FILE=" + p.control, "FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"}
	return &Clock{p}
}

// Set lets the clock go so much ahead of the true time; less than nothing is
// behind it.
func (c *Clock) Set(ahead time.Duration) { c.write(fmt.Sprintf("%+d", int64(ahead.Seconds()))) }

// preload is a library that is loaded into a Postgres of the test's own, and the
// file by which it is told what to do.
type preload struct {
	t                        testing.TB
	folder, control, library string
	env                      []string
}

// newPreload makes the folder, which the server's account can read, unlike that
// of t.TempDir.
func newPreload(t testing.TB, first string) preload {
	t.Helper()
	folder := ownConfig(t, true).Data
	p := preload{t: t, folder: folder, control: filepath.Join(folder, "control")}
	p.write(first)
	return p
}

// write replaces the control file, so that it is never seen half written.
func (p *preload) write(text string) {
	p.t.Helper()
	next := p.control + ".next"
	err := os.WriteFile(next, []byte(text+"\n"), 0o644) //nolint:gosec // another user's server reads it
	if err == nil {
		err = os.Rename(next, p.control)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// compile makes a program, or a library, in the folder.
func (p *preload) compile(name, source string, arguments ...string) (path string) {
	p.t.Helper()
	compiler, err := exec.LookPath("gcc")
	RequireReal(p.t, "gcc", err == nil)
	path = filepath.Join(p.folder, name)
	text := path + ".c"
	if err := os.WriteFile(text, []byte(source), 0o600); err != nil {
		p.t.Fatal(err)
	}
	arguments = append([]string{"-O1", "-o", path, text}, arguments...)
	if said, err := exec.CommandContext(p.t.Context(), compiler, arguments...).CombinedOutput(); err != nil {
		p.t.Fatalf("gcc: %v\n%s", err, said)
	}
	return path
}

// Postgres gives the test a Postgres server of its own with the library in it:
// its programs are such that run the installed ones, with a richer environment.
func (p *preload) Postgres(o *options) {
	p.t.Helper()
	installed := programs(p.t)
	for name, env := range map[string][]string{"initdb": nil, "postgres": append(p.env, "LD_PRELOAD="+p.library)} {
		var settings strings.Builder
		for _, e := range env {
			settings.WriteString(strconv.Quote(e) + ", ")
		}
		p.compile(name, runSource, "-DPROGRAM="+strconv.Quote(filepath.Join(installed, name)), "-DSETTINGS="+settings.String())
	}
	o.ownPostgres, o.pgBin = true, p.folder
}
