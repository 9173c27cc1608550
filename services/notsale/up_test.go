//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"notsale/pkg/backends/backendstest"
	"notsale/pkg/backends/backendstest/testlog"
	"notsale/pkg/code"
	"notsale/pkg/effort"
	"notsale/pkg/ledger"
	"notsale/services/servicetest"
)

// programCommand is the program with arguments, and no variables of ours but
// those given.
func programCommand(variables []string, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append([]string{asProgram + "=1", "PATH=" + os.Getenv("PATH"), "PG_BIN=" + os.Getenv("PG_BIN")}, variables...)
	return cmd
}

// runProgram runs the program to its end, its input open as long.
func runProgram(t *testing.T, variables []string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTime)
	defer cancel()
	cmd := programCommand(variables, args...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer stop()
	err = cmd.Wait()
	_ = stdin.Close()
	return out.String(), said.String(), err
}

// Foreign variables, killed stores, hangups, new keys and a second program on
// the same folder: up sells on, until its folder is gone.
func TestUpSellsOnWhateverHappens(t *testing.T) {
	t.Parallel()
	foreign := []string{"PGSERVICE=prod", "PGSSLMODE=verify-full", "PGTARGETSESSIONATTRS=standby", "NOTSALE_NATS_CA=/nowhere", "NOTSALE_NATS_DOMAIN=other"}
	p := runUpWith(t, foreign, "--code-keys-delay", "1ms")
	of, data := p.FirstSale(t), filepath.Join(p.data, "stores")
	first := p.Checkout(t, "ann", of.FirstItem)
	sold := p.Purchase(t, first.Code)
	next := of.FirstItem
	sell := func(t *testing.T) {
		t.Helper()
		next++
		checkout := ""
		servicetest.Eventually(t, "a checkout is answered", func() bool {
			a := p.Post(t, servicetest.CheckoutPath("bob"+itoa(int(next)), next))
			if a.Status == http.StatusOK {
				var c servicetest.Checkout
				a.Decode(t, &c)
				checkout = c.Code
			}
			return a.Status == http.StatusOK
		})
		servicetest.Eventually(t, "an item is sold", func() bool { return p.Purchase(t, checkout).Status == http.StatusOK })
		if again := p.Purchase(t, first.Code); again.Status != http.StatusOK || !bytes.Equal(again.Body, sold.Body) {
			t.Errorf("a code of before: %d %s", again.Status, again.Body)
		}
	}
	t.Run("a killed store", func(t *testing.T) {
		for id, name := range p.children() {
			if name == "redis-server" || name == "postgres" {
				if err := syscall.Kill(id, syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
				servicetest.Eventually(t, name+" runs again", func() bool {
					for other, called := range p.children() {
						if other != id && called == name {
							return true
						}
					}
					return false
				})
			}
		}
		sell(t)
		servicetest.Eventually(t, "all stores answer", func() bool { return p.Get(t, "/health").Status == http.StatusOK })
	})
	t.Run("keys are added at a hangup", func(t *testing.T) { p.addKey(t, of, filepath.Join(data, "code-keys.json"), sell) })
	t.Run("a second one on the same folder", func(t *testing.T) {
		before, err := os.ReadFile(filepath.Join(data, storesFile))
		if err != nil {
			t.Fatal(err)
		}
		urls := strings.Fields(strings.NewReplacer("export ", "", "'", "").Replace(string(before)))
		_, said, err := runProgram(t, urls, "up", "--data", data, "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0")
		if err == nil || !strings.Contains(said, "another notsale runs on this folder") {
			t.Errorf("%v: %s", err, said)
		}
		if after, err := os.ReadFile(filepath.Join(data, storesFile)); err != nil || !bytes.Equal(before, after) {
			t.Errorf("the URLs of the first are gone: %v", err)
		}
		sell(t)
	})
	t.Run("the folder is removed", func(t *testing.T) {
		p.audit()
		if err := os.Rename(data, data+".removed"); err != nil {
			t.Fatal(err)
		}
		select {
		case <-p.ended:
		case <-time.After(stopTime):
			t.Fatal("it sells on")
		}
		if status := p.cmd.ProcessState.ExitCode(); status != 1 || !strings.Contains(p.output.String(), "notsale: the data folder "+data+" was removed") {
			t.Errorf("status %d:\n%s", status, p.output)
		}
		p.forget()
	})
}

// addKey adds a key, while shoppers buy, until it signs: no code is refused
// meanwhile.
func (p *process) addKey(t *testing.T, of servicetest.Sale, path string, sell func(*testing.T)) {
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := code.ParseKeys(text)
	if err != nil {
		t.Fatal(err)
	}
	old, err := code.NewKeyring(keys)
	if err != nil {
		t.Fatal(err)
	}
	text, err = code.FormatKeys(append(keys, code.Key{ID: 2, Secret: bytes.Repeat([]byte{2}, code.MinSecret)}))
	if err != nil {
		t.Fatal(err)
	}
	var enough atomic.Bool
	bought, ended := 0, make(chan error, 1)
	go func() {
		for n := 0; !enough.Load() || bought == 0; n++ {
			a, err := p.Do(http.MethodPost, servicetest.CheckoutPath("kim"+itoa(n), of.LastItem-int64(n)))
			var c servicetest.Checkout
			if err == nil && a.Status == http.StatusOK {
				a.Decode(t, &c)
				a, err = p.Do(http.MethodPost, servicetest.PurchasePath(c.Code))
			}
			if err != nil || a.Status != http.StatusOK {
				ended <- errors.Join(err, fmt.Errorf("%d %s", a.Status, a.Body))
				return
			}
			bought++
		}
		ended <- nil
	}()
	if err := errors.Join(writeDurably(path, text), p.cmd.Process.Signal(syscall.SIGHUP)); err != nil {
		t.Fatal(err)
	}
	servicetest.Eventually(t, "the new key signs", func() bool {
		_, err := old.Verify(p.Checkout(t, "eve", of.FirstItem+100).Code)
		return err != nil
	})
	enough.Store(true)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	sell(t)
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	servicetest.Eventually(t, "the broken file is warned of", func() bool {
		return strings.Contains(p.output.String(), "the code keys cannot be read again")
	})
	sell(t)
	if err := writeDurably(path, text); err != nil {
		t.Fatal(err)
	}
}

// The reader of the log stops reading, at its most talkative: up starts on a
// folder that is not there yet, sells, and stops as if somebody read.
func TestALogThatNobodyReadsBlocksNothing(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts the stores")
	}
	data, err := os.MkdirTemp("", "notsale-e2e-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(data) })
	if err := os.Chmod(data, 0o711); err != nil {
		t.Fatal(err)
	}
	log, unread, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	fillPipe(t, unread)
	cmd := programCommand(nil, "up", "--data", filepath.Join(data, "stores"), "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0",
		"--sale-every", always, "--log-level", "debug")
	p := &process{t: t, data: data, output: &testlog.Log{}, cmd: cmd, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.output, unread
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = unread.Close()
	go func() {
		_ = cmd.Wait()
		close(p.ended)
	}()
	defer func() { _ = cmd.Process.Kill() }()
	p.awaitAddress()
	of := p.FirstSale(t)
	if a := p.Purchase(t, p.Checkout(t, "ann", of.FirstItem).Code); a.Status != http.StatusOK {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	p.audit()
	p.stop()
}

// fillPipe writes until there is no room.
func fillPipe(t *testing.T, pipe *os.File) {
	t.Helper()
	raw, err := pipe.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = raw.Write(func(fd uintptr) bool {
		for err == nil {
			_, err = syscall.Write(int(fd), make([]byte, 512))
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A URL that cannot be used ends each command at once, and none of its secret is
// told.
func TestMalformedURLsTellNoSecret(t *testing.T) {
	good := map[string]string{"DATABASE_URL": "postgres://u:p@127.0.0.1:1/d", "REDIS_URL": "redis://:p@127.0.0.1:1/0", "NATS_URL": "nats://u:p@127.0.0.1:1"}
	data := t.TempDir()
	for _, command := range []string{
		"up --data " + data, "backends --data " + data, "migrate", "edge", "allocator", "recorder", "scheduler",
		"audit --sale 1", "audit explain --item 1", "audit publish --sale 1", "sale archive 1",
	} {
		for name, bad := range map[string][]string{
			"DATABASE_URL": {"postgres://u:S3cret%zz@h/d", "postgres://u:1#S3cret@h/d", "postgres://u:S3cret@h:x/d", "host=h password=S3cret x"},
			"REDIS_URL": {
				"redis://:S3cret%zz@h:1", "redis://:1#S3cret@h:1", "redis://:S3cret@h:1/x", "redis://:S3cret@h:1,i:2/0", "http://:S3cret@h:1",
				"redis+sentinel://:S3cret@h:1,i:2", "redis+sentinel://:S3cret/@h:1,i:2/main/0", "redis+sentinel://:S3cret@h:x,i:2/main/0", "redis+sentinel://:S3cret@h,,i/main",
			},
			"NATS_URL": {"nats://u:S3cret%zz@h:1", "nats://u:1#S3cret@h:1", "nats://u:p@h:1,nats://u:S3cret%@h:1"},
		} {
			for _, value := range bad {
				for n, v := range good {
					t.Setenv(n, v)
				}
				t.Setenv(name, value)
				root := newRoot()
				var out bytes.Buffer
				root.SetOut(&out)
				root.SetArgs(strings.Fields(command))
				err := root.ExecuteContext(t.Context())
				if err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error()+out.String(), "S3cret") {
					t.Errorf("%s with %s: %v %s", command, value, err, &out)
				}
			}
		}
	}
	if left, _ := os.ReadDir(data); len(left) != 0 {
		t.Errorf("something was started: %v", left)
	}
	out, said, err := runProgram(t, []string{"DATABASE_URL=" + good["DATABASE_URL"], "REDIS_URL=" + good["REDIS_URL"], "NATS_URL=nats://u:S3cret%zz@h:1"}, "recorder")
	if err == nil || strings.Count(said, "\n") != 1 || !strings.Contains(said, "NATS_URL") || strings.Contains(out+said, "S3cret") {
		t.Errorf("%v, %s%s", err, out, said)
	}
}

// A file that should hold a URL and cannot be used ends each command at once, and
// is named.
func TestURLFilesThatCannotBeUsed(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	files := map[string]string{
		filepath.Join(dir, "missing"): "no such file", dir: "is a directory", file("empty", " \n", 0o600): "nothing in",
		filepath.Join(dir, "empty", "below"):                "not a directory",
		file("broken", "postgres://u:S3cret%zz@h\n", 0o600): "_URL: it ",
		"postgres://u:S3cret@h/d":                           "must name a file",
	}
	if os.Geteuid() != 0 { // who may read everything
		files[file("unreadable", "x", 0)] = "permission denied"
	}
	ended, end := context.WithCancel(t.Context())
	end() // so that a command that is not refused does nothing
	for _, name := range []string{"DATABASE_URL", "REDIS_URL", "NATS_URL"} {
		for path, want := range files {
			for _, command := range []string{"up", "backends", "migrate", "edge", "allocator", "recorder", "scheduler", "archiver", "audit --sale 1"} {
				t.Setenv(name+"_FILE", path)
				root := newRoot()
				var out bytes.Buffer
				root.SetOut(&out)
				root.SetArgs(strings.Fields(command))
				err := root.ExecuteContext(ended)
				if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error()+out.String(), "S3cret") {
					t.Errorf("%s with %s_FILE=%s: %v %s, want %q", command, name, path, err, &out, want)
				}
				t.Setenv(name+"_FILE", "")
			}
		}
	}
}

// A file for NATS that cannot be used ends the program with one line, which names
// the setting and the file.
func TestNATSFilesThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	env := []string{"DATABASE_URL=postgres://u:p@127.0.0.1:1/d", "REDIS_URL=redis://:p@127.0.0.1:1/0", "NATS_URL=nats://127.0.0.1:1", "NOTSALE_NATS_CREDS=/nowhere"}
	for _, command := range []string{"recorder", "scheduler", "audit --sale 1", "sale archive 1"} {
		_, said, err := runProgram(t, env, strings.Fields(command)...)
		if err == nil || strings.Count(said, "\n") != 1 || !strings.Contains(said, "--nats-creds /nowhere") {
			t.Errorf("%s: %v:\n%s", command, err, said)
		}
	}
}

// Whoever finds the stores of a data folder, from whichever folder, finds how NATS
// is spoken to.
func TestNATSFilesAreFoundWithTheStores(t *testing.T) {
	t.Parallel()
	s, found := newSettings(), newSettings()
	s.data = t.TempDir()
	found.data = s.data
	s.natsURL, s.stream.Files.CA, s.stream.Files.NKey, s.stream.Domain = "tls://h", "it's/ca.pem", "/n", "hub"
	found.stream.Files.Cert = "another's"
	forget, err := s.leaveURLs()
	if err != nil {
		t.Fatal(err)
	}
	defer forget()
	want := s.stream
	if want.Files.CA, err = filepath.Abs("it's/ca.pem"); err != nil {
		t.Fatal(err)
	}
	if err := found.findURLs(); err != nil || found.natsURL != s.natsURL || found.stream != want {
		t.Errorf("%v, %q, %+v, want %+v", err, found.natsURL, found.stream, want)
	}
}

// A port that is taken ends the program with one line, which says what to do.
func TestATakenPortSaysWhatToDo(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	nowhere := []string{"DATABASE_URL=postgres://u:p@127.0.0.1:1/d", "REDIS_URL=redis://:p@127.0.0.1:1/0", "NATS_URL=nats://u:p@127.0.0.1:1"}
	_, said, err := runProgram(t, nowhere, "recorder", "--ops-listen", taken.Addr().String())
	if err == nil || strings.Count(said, "\n") != 1 || !strings.Contains(said, "address already in use: choose another with --ops-listen") {
		t.Errorf("%v:\n%s", err, said)
	}
}

// A data folder may be called anything, also from where the program was started:
// its stores run, and are found from elsewhere.
func TestBackendsOnAnOddFolder(t *testing.T) {
	t.Parallel()
	base, err := os.MkdirTemp(effort.Folder(), "notsale-e2e-*") // t.TempDir is out of bounds for root's children
	if err == nil {
		err = os.Chmod(base, 0o711)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(base) })
	const odd = `it's "odd", $HOME` + "\n%s#?&"
	if err := backendstest.SeedPostgres(filepath.Join(base, odd)); err != nil {
		t.Fatal(err)
	}
	cmd := programCommand(nil, "backends", "--data", odd)
	cmd.Dir = base
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	out, said := &testlog.Log{}, &testlog.Log{}
	cmd.Stdout, cmd.Stderr = out, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer func() { _ = cmd.Process.Kill() }()
	servicetest.Eventually(t, "the URLs are printed, or it has ended", func() bool {
		return strings.Count(out.String(), "\n") == 3 || len(ended) > 0
	})
	shell := exec.Command("/bin/sh", "-c", out.String()+`printf '%s' "$DATABASE_URL"`)
	read, err := shell.Output()
	s := newSettings()
	s.data = filepath.Join(base, odd)
	if err := errors.Join(err, s.findURLs()); err != nil || s.databaseURL != string(read) {
		t.Fatalf("%v, found %s, the shell reads %s\n%s", err, s.databaseURL, read, said)
	}
	if _, err := ledger.Migrate(t.Context(), s.databaseURL); err != nil {
		t.Errorf("%v\n%s", err, said)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("%v\n%s", err, said)
	}
}

// A shell that sources what backends prints has the very URLs, and so has a
// command that finds them; a closed terminal stops backends cleanly.
func TestBackendsPrintsWhatAShellReads(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "new")
	urls := []string{`DATABASE_URL=postgres://u:it's$HOME@h/d`, "REDIS_URL=redis://:a'b''c@h:1/0", "NATS_URL=nats://u:$(x)'@h:1"}
	cmd := programCommand(urls, "backends", "--data", data)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	out := &testlog.Log{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	servicetest.Eventually(t, "the URLs are printed", func() bool { return strings.Count(out.String(), "\n") == 3 })
	shell := exec.Command("/bin/sh", "-c", out.String()+`printf '%s\n' "DATABASE_URL=$DATABASE_URL" "REDIS_URL=$REDIS_URL" "NATS_URL=$NATS_URL"`)
	read, err := shell.CombinedOutput()
	if err != nil || string(read) != strings.Join(urls, "\n")+"\n" {
		t.Errorf("%v, the shell reads\n%s", err, read)
	}
	s := newSettings()
	s.data = data
	if err := s.findURLs(); err != nil || s.databaseURL != urls[0][len("DATABASE_URL="):] || s.natsURL != urls[2][len("NATS_URL="):] {
		t.Errorf("%v, found %s %s", err, s.databaseURL, s.natsURL)
	}
	stop := syscall.SIGHUP
	if nohup { // so are these tests, and the program with them
		stop = syscall.SIGTERM
	}
	if err := cmd.Process.Signal(stop); err != nil {
		t.Fatal(err)
	}
	defer time.AfterFunc(stopTime, func() { _ = cmd.Process.Kill() }).Stop()
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if _, err := os.Stat(filepath.Join(data, storesFile)); err == nil {
		t.Error("the URLs are left behind")
	}
}
