//go:build unix

package backends

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestKilledParentLeavesNoChild(t *testing.T) {
	t.Parallel()
	data := newSeeded(t)
	r := runParent(t, data)
	eventually(t, "all children gone", func() bool { return !slices.ContainsFunc([]int{r.Postgres, r.PostgresChild, r.Redis}, alive) })
	start(t, Config{Data: data})
}

// A start right after the parent was killed waits for its children by itself.
func TestStartRightAfterTheParentWasKilled(t *testing.T) {
	t.Parallel()
	data := newSeeded(t)
	for range 3 {
		runParent(t, data)
	}
	start(t, Config{Data: data})
}

// runParent runs the test binary as a parent and kills it.
func runParent(t *testing.T, data string) report {
	t.Helper()
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), parentOf+"="+data)
	parent.Stderr = os.Stderr
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = parent.Process.Kill(), parent.Wait() }()
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(line, &r); err != nil {
		t.Fatal(err)
	}
	if r.Redis == 0 {
		r.Redis = r.Postgres // no redis-server here
	}
	if !alive(r.Postgres) || !alive(r.Redis) || !alive(r.PostgresChild) {
		t.Errorf("children %+v do not live", r)
	}
	return r
}

func TestRootsChildrenAreNobody(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only for root")
	}
	nobody, err := childAccount("")
	if err != nil {
		t.Fatal(err)
	}
	checkChildrenRunAs(t, start(t, Config{Data: newData(t), Ephemeral: true}), nobody.uid)
	closed := t.TempDir() // its parent has mode 0700
	_, err = Start(t.Context(), Config{Data: filepath.Join(closed, "data")}, discard())
	if err == nil || !strings.Contains(err.Error(), "may not pass through "+filepath.Dir(closed)) {
		t.Errorf("closed folder: %v", err)
	}
}

func TestRootsChildrenAreTheFoldersOwner(t *testing.T) {
	t.Parallel()
	daemon, err := user.Lookup("daemon")
	if os.Geteuid() != 0 || err != nil {
		t.Skip("only for root, and with a user daemon")
	}
	uid, err := strconv.Atoi(daemon.Uid)
	if err != nil {
		t.Fatal(err)
	}
	data := newData(t)
	if err := errors.Join(os.Mkdir(data, 0o700), os.Chown(data, uid, uid)); err != nil {
		t.Fatal(err)
	}
	checkChildrenRunAs(t, start(t, Config{Data: data, Ephemeral: true}), uint32(uid))
}

func checkChildrenRunAs(t *testing.T, b *Backends, want uint32) {
	t.Helper()
	for _, c := range []*child{b.postgres.run.(*child), b.redis.run.(*child)} {
		if c == nil {
			continue
		}
		info, err := os.Stat("/proc/" + strconv.Itoa(c.process.Pid))
		if err != nil {
			t.Skip("needs /proc")
		}
		if uid := info.Sys().(*syscall.Stat_t).Uid; uid != want {
			t.Errorf("%s runs as user %d, want %d", c.spec.name, uid, want)
		}
	}
}

func TestChildrenLeadTheirGroups(t *testing.T) {
	t.Parallel()
	b := start(t, Config{Data: newSeeded(t), Ephemeral: true})
	for _, c := range []*child{b.postgres.run.(*child), b.redis.run.(*child)} {
		if c == nil {
			continue
		}
		if group, err := syscall.Getpgid(c.process.Pid); err != nil || group != c.process.Pid {
			t.Errorf("%s is in group %d (%v), want its own", c.spec.name, group, err)
		}
	}
}

func TestStopKillsWhatDoesNotListen(t *testing.T) {
	deaf := startScript(t, `trap "" TERM; echo deaf; while :; do sleep 1; done`)
	eventually(t, "trap set", func() bool { return strings.Contains(deaf.tail(), "deaf") })
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := deaf.stop(ctx, syscall.SIGTERM); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("error: %v", err)
	}
	if deaf.running() {
		t.Error("still running")
	}
}

func TestDiedShowsTheLog(t *testing.T) {
	c := startScript(t, "echo it hurts >&2; exit 3")
	<-c.done
	for _, want := range []string{"part", "exit status 3", c.spec.log, "it hurts"} {
		if err := c.died(); !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}

func TestChildSeesNoSecrets(t *testing.T) {
	t.Setenv("DATABASE_URL", "postgres://u:hidden@h")
	c := startScript(t, "env; pwd")
	<-c.done
	if text := c.tail(); strings.Contains(text, "hidden") || !strings.Contains(text, "PATH=") {
		t.Errorf("environment: %s", text)
	}
}

// startScript runs a shell as a child of ours.
func startScript(t *testing.T, script string) *child {
	t.Helper()
	c, err := startChild(childSpec{
		name: "part", program: "/bin/sh", args: []string{"-c", script},
		log: filepath.Join(t.TempDir(), "log"), onDeath: syscall.SIGKILL,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.kill() })
	return c
}

func TestWatchdog(t *testing.T) {
	for _, dismissed := range []bool{false, true} {
		sleeper := exec.Command("sleep", "60")
		if err := sleeper.Start(); err != nil {
			t.Fatal(err)
		}
		dog, err := startWatchdog(syscall.SIGTERM)
		if err != nil {
			t.Fatal(err)
		}
		if err := dog.guard(sleeper.Process.Pid); err != nil {
			t.Fatal(err)
		}
		if dismissed {
			dog.dismiss()
			if !alive(sleeper.Process.Pid) {
				t.Error("a dismissed watchdog bites")
			}
			_ = sleeper.Process.Kill()
		} else {
			_ = dog.pipe.Close() // as our death would
		}
		var exit *exec.ExitError
		if err := sleeper.Wait(); !errors.As(err, &exit) {
			t.Fatal(err)
		}
		want := map[bool]syscall.Signal{false: syscall.SIGTERM, true: syscall.SIGKILL}[dismissed]
		if got := exit.Sys().(syscall.WaitStatus).Signal(); got != want {
			t.Errorf("dismissed %v: ended by %v, want %v", dismissed, got, want)
		}
		_ = dog.cmd.Wait()
	}
}
