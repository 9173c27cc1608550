//go:build unix

package backends

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"notsale/pkg/effort"
)

func TestPostgresSurvivesKill(t *testing.T) {
	t.Parallel()
	p := startPostgres(t, newSeeded(t))
	address := p.Address()
	query(t, p.URL(), "CREATE TABLE kept AS SELECT 'hello' AS word")
	family, err := p.run.(*child).family()
	if err != nil || len(family) < 3 {
		t.Fatalf("processes: %v, %v", family, err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(family, alive) {
		t.Errorf("some of %v live", family)
	}
	if err := p.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := query(t, p.URL(), "SELECT word FROM kept"); got != "hello" || p.Address() != address {
		t.Errorf("%q on %s, want hello on %s", got, p.Address(), address)
	}
}

func TestPostgresPauses(t *testing.T) {
	t.Parallel()
	p := startPostgres(t, newSeeded(t))
	conn, err := pgx.Connect(t.Context(), p.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if err := p.Pause(); err != nil {
		t.Fatal(err)
	}
	answered := make(chan error, 1)
	go func() { _, err := conn.Exec(t.Context(), "SELECT"); answered <- err }()
	select {
	case err := <-answered:
		t.Errorf("a paused server answers: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	if err := p.Resume(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-answered:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(effort.Patience):
		t.Error("no answer after Resume")
	}
}

func TestPausedPostgresStops(t *testing.T) {
	t.Parallel()
	p := startPostgres(t, newSeeded(t))
	if err := p.Pause(); err != nil {
		t.Fatal(err)
	}
	stop(t, p.Stop)
}

// A pid file with an id that now belongs to another program, or to a zombie postmaster,
// must not prevent a start.
func TestStalePIDFileNamesAStranger(t *testing.T) {
	t.Parallel()
	for name, ends := range map[string]bool{"alive": false, "not reaped": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := newSeeded(t)
			p := startPostgres(t, data)
			pidFile := filepath.Join(p.dir, "postmaster.pid")
			if err := p.Kill(); err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(pidFile)
			if err != nil {
				t.Fatalf("a killed postgres leaves its pid file: %v", err)
			}
			stop(t, p.Stop)
			stranger := exec.Command("sleep", "60")
			stranger.SysProcAttr = p.account.attr()
			if err := stranger.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { _, _ = stranger.Process.Kill(), stranger.Wait() }()
			if ends {
				_ = stranger.Process.Kill()
				eventually(t, "it has ended", func() bool { return !alive(stranger.Process.Pid) || runtime.GOOS != "linux" })
			}
			_, rest, _ := strings.Cut(string(text), "\n")
			if err := os.WriteFile(pidFile, fmt.Appendf(nil, "%d\n%s", stranger.Process.Pid, rest), 0o600); err != nil {
				t.Fatal(err)
			}
			startPostgres(t, data)
		})
	}
}

func TestPostgresWaitsForAnOrphan(t *testing.T) {
	t.Parallel()
	data := newSeeded(t)
	p := startPostgres(t, data)
	release(p.lock) // as if our predecessor had been killed, and its postgres were still ending
	ended := make(chan error, 1)
	eventually(t, "occupants seen", func() bool { return len(occupants(p.dir)) > 0 })
	go func() { ended <- p.run.(*child).process.Signal(syscall.SIGQUIT) }()
	startPostgres(t, data)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestPostgresComplains(t *testing.T) {
	t.Parallel()
	data := newSeeded(t)
	stop(t, startPostgres(t, data).Stop)
	version, password := filepath.Join(data, "postgres", "PG_VERSION"), filepath.Join(data, "postgres.password")
	for _, c := range []struct {
		name, file, text, want string
		cfg                    Config
	}{
		{name: "older data", file: version, text: "11\n", want: "made by PostgreSQL 11"},
		{name: "ancient data", file: version, text: "9.6\n", want: "move the folder away"},
		{name: "password lost", file: password, want: "password file"},
		{name: "password wrong", file: password, text: "x\n", want: "does not fit"},
		{name: "file", cfg: Config{Data: version + "/x"}, want: "--data"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.file != "" {
				replace(t, c.file, c.text)
			}
			if c.cfg.Data == "" {
				c.cfg.Data = data
			}
			c.cfg.PGBin = installed(t).dir // never a download
			_, err := StartPostgres(t.Context(), c.cfg, discard())
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	startPostgres(t, data)
}

// replace changes a file, or removes it, until the test ends.
func replace(t *testing.T, path, text string) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	owner := info.Sys().(*syscall.Stat_t)
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		err := errors.Join(os.WriteFile(path, old, 0o600), os.Lchown(path, int(owner.Uid), int(owner.Gid)))
		if err != nil {
			t.Error(err)
		}
	})
	if text == "" {
		err = os.Remove(path)
	} else {
		err = os.WriteFile(path, []byte(text), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// installed finds the Postgres of this machine.
func installed(t *testing.T) pgInstall {
	t.Helper()
	account, err := childAccount("")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range append(pathFolders(), distributionFolders()...) {
		if found, err := suitable(t.Context(), dir, 0, account); err == nil {
			return found
		}
	}
	t.Skip("PostgreSQL is not installed: install it to run this test")
	return pgInstall{}
}

func TestExplainKnowsPostgresLogs(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	text := "old: Address already in use\nFATAL:  could not write: No space left on device\n"
	if err := os.WriteFile(log, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c := &child{spec: childSpec{log: log}, logFrom: int64(strings.Index(text, "FATAL"))}
	err := c.explain(errors.New("it ended"))
	for _, want := range []string{"the disk is full", "it ended", log, "FATAL:  could not write"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}

// A disk may be too full for the log that would say so.
func TestExplainKnowsAFullDisk(t *testing.T) {
	disk := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk).CombinedOutput(); err != nil {
		t.Skipf("needs to mount a small disk: %v: %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", disk).Run() })
	silent := &child{spec: childSpec{log: filepath.Join(disk, "postgres.log")}}
	if err := silent.explain(errors.New("it ended")); !strings.Contains(err.Error(), "the disk is full") {
		t.Errorf("%q does not say that the disk is full", err)
	}
	silent.spec.log = filepath.Join(t.TempDir(), "postgres.log")
	if err := silent.explain(errors.New("it ended")); strings.Contains(err.Error(), "full") {
		t.Errorf("%q", err)
	}
}

func TestFindPostgresPassesByWrappers(t *testing.T) {
	real := installed(t)
	wrapped := t.TempDir()
	for _, name := range []string{"initdb", "postgres"} {
		script := fmt.Sprintf("#!/bin/sh\nexec %s/%s \"$@\"\n", real.dir, name)
		if err := os.WriteFile(filepath.Join(wrapped, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	linked := t.TempDir()
	if err := os.Symlink(filepath.Join(real.dir, "postgres"), filepath.Join(linked, "postgres")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", wrapped+":"+linked)
	found, err := findPostgres(t.Context(), "", 0, nil, discard())
	if err != nil || found.dir != real.dir {
		t.Errorf("found %+v (%v), want %+v", found, err, real)
	}
	_, err = findPostgres(t.Context(), wrapped, 0, nil, discard())
	if err == nil || !strings.Contains(err.Error(), "script") {
		t.Errorf("PG_BIN with scripts: %v", err)
	}
}
