//go:build unix

package backends

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"notsale/pkg/backends/backendstest/testlog"
)

// A killed store is started again at the same address, with what it had stored.
func TestKilledStoresAreStartedAgain(t *testing.T) {
	b := start(t, Config{Data: newSeeded(t)})
	databaseURL, redisURL, natsURL := b.DatabaseURL(), b.RedisURL(), b.NATSURL()
	query(t, databaseURL, "CREATE TABLE kept AS SELECT 'hello' AS word")
	publish(t, natsURL)

	ended, _ := b.postgres.ended()
	signal(t, b.postgres.run.(*child), syscall.SIGKILL)
	<-ended
	if !b.redis.InProcess() {
		ended, _ = b.redis.ended()
		signal(t, b.redis.run.(*child), syscall.SIGKILL)
		<-ended
	}
	ended, _ = b.nats.ended()
	if err := b.nats.run.(*natsRun).server.DisableJetStream(); err != nil {
		t.Fatal(err)
	}
	<-ended

	eventually(t, "Postgres has what it had", func() bool {
		_, err := ask(t.Context(), databaseURL, "SELECT word FROM kept")
		return err == nil
	})
	eventually(t, "Redis answers", func() bool { return ping(t.Context(), b.redis) == nil })
	eventually(t, "NATS answers", func() bool {
		conn, err := nats.Connect(natsURL)
		if err != nil {
			return false
		}
		defer conn.Close()
		streams, err := conn.JetStream()
		if err != nil {
			return false
		}
		info, err := streams.StreamInfo("kept")
		return err == nil && info.State.Msgs == 1
	})
	if b.DatabaseURL() != databaseURL || b.RedisURL() != redisURL || b.NATSURL() != natsURL {
		t.Error("URLs changed")
	}
	nothingDone(t, b)
}

func signal(t *testing.T, c *child, sig syscall.Signal) {
	t.Helper()
	if err := c.process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

func nothingDone(t *testing.T, b *Backends) {
	t.Helper()
	select {
	case err := <-b.Done():
		t.Errorf("given up: %v", err)
	default:
	}
}

// hasty are pauses for tests of giving up.
var hasty = pauses{first: time.Millisecond, longest: time.Millisecond, steady: time.Hour, giveUp: 5 * time.Millisecond}

// A store that cannot be started again is given up with an error that says what to do; a
// cache is not, because selling goes on without it.
func TestAStoreThatDoesNotComeBack(t *testing.T) {
	p := startPostgres(t, newSeeded(t))
	if err := os.WriteFile(filepath.Join(p.dir, "PG_VERSION"), []byte("9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	b := &Backends{}
	err := b.keep(t.Context(), part{"postgres", p.ended, p.Restart, true}, hasty, discard())
	if err == nil {
		t.Fatal("not given up")
	}
	for _, want := range []string{"postgres does not stay up", p.dir + ".log", "another version of PostgreSQL: set PG_BIN"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan struct{})
	close(ended)
	broken, tries := errors.New("broken"), 0
	cache := part{
		name:  "redis",
		ended: func() (<-chan struct{}, func() error) { return ended, func() error { return broken } },
		restart: func(context.Context) error {
			if tries++; tries == 20 {
				cancel()
			}
			return broken
		},
	}
	if err := b.keep(ctx, cache, hasty, discard()); err != nil || tries != 20 {
		t.Errorf("a cache was given up after %d tries: %v", tries, err)
	}
}

// A removed or replaced folder is noticed, even if nothing writes to it, and no store
// starts in its place.
func TestARemovedDataFolderIsNoticed(t *testing.T) {
	b := start(t, Config{
		Data: newData(t), Ephemeral: true, InProcessRedis: true,
		NATSURL: "nats://elsewhere", DatabaseURL: "postgres://elsewhere",
	})
	aside := b.cfg.Data + ".aside"
	if err := os.Rename(b.cfg.Data, aside); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"was removed", "was replaced"} {
		if err := b.gone(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		_ = os.Mkdir(b.cfg.Data, 0o700)
	}
	select {
	case err := <-b.Done():
		if !strings.Contains(err.Error(), "the data folder "+b.cfg.Data) {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("nothing reported")
	}
	if err := errors.Join(os.Remove(b.cfg.Data), os.Rename(aside, b.cfg.Data)); err != nil {
		t.Fatal(err)
	}
}

// A stream whose disk was full refuses everything until the server is started again,
// even when there is room: so that must happen by itself.
func TestNATSSellsOnAfterAFullDisk(t *testing.T) {
	disk := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=100m,mode=0711", "tmpfs", disk).CombinedOutput(); err != nil {
		t.Skipf("needs to mount a small disk: %v: %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", disk).Run() })
	var said testlog.Log
	b, err := Start(t.Context(), Config{
		Data: filepath.Join(disk, "data"), DatabaseURL: "postgres://elsewhere", RedisURL: "redis://elsewhere",
	}, slog.New(slog.NewTextHandler(&said, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, b.Stop) })
	publish(t, b.NATSURL())
	filler := filepath.Join(disk, "filler")
	fillDisk(t, filler)
	conn, err := nats.Connect(b.NATSURL(), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	streams, err := conn.JetStream(nats.MaxWait(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the disk is full, and said to be", func() bool {
		_, err := streams.Publish("kept", make([]byte, 64<<10))
		return err != nil && strings.Contains(said.String(), "free some space")
	})
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	eventually(t, "messages are taken again", func() bool {
		_, err := streams.Publish("kept", []byte("hello"))
		return err == nil
	})
	first, err := streams.GetMsg("kept", 1)
	if err != nil || string(first.Data) != "hello" {
		t.Errorf("the first message: %v", err)
	}
	nothingDone(t, b)
}

// After a start on a full disk, the streams can use the room that comes later, as if the
// disk had not been full.
func TestRoomThatCameAfterAStartOnAFullDiskIsUsed(t *testing.T) {
	disk := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=200m,mode=0711", "tmpfs", disk).CombinedOutput(); err != nil {
		t.Skipf("needs to mount a small disk: %v: %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", disk).Run() })
	cfg := Config{Data: filepath.Join(disk, "data"), Ephemeral: true}
	first, err := StartNATS(t.Context(), cfg, discard())
	if err != nil {
		t.Fatal(err)
	}
	limit := first.StreamStore()
	reserve(t, first.URL(), "one", limit/2)
	filler := filepath.Join(disk, "filler")
	fillDisk(t, filler)
	if err := os.Truncate(filler, 192<<20); err != nil {
		t.Fatal(err)
	}
	if err := first.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := first.StreamStore(); n != limit {
		t.Errorf("started again on a full disk it has a store of %d bytes, want %d", n, limit)
	}
	stop(t, first.Stop)
	second := startNATS(t, cfg, discard())
	if n := second.StreamStore(); n != limit {
		t.Errorf("a new one on a full disk has a store of %d bytes, want %d", n, limit)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	reserve(t, second.URL(), "two", limit/4)
}

// reserve makes a stream that reserves so many bytes.
func reserve(t *testing.T, url, name string, bytes int64) {
	t.Helper()
	cfg := jetstream.StreamConfig{Name: name, Subjects: []string{name}, MaxBytes: bytes}
	if _, err := streamsOf(t, url).CreateStream(t.Context(), cfg); err != nil {
		t.Errorf("no room for %d bytes: %v", bytes, err)
	}
}

func fillDisk(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for chunk := make([]byte, 1<<20); len(chunk) > 0 && err == nil; {
		if _, err = f.Write(chunk); err != nil && len(chunk) > 1 {
			chunk, err = chunk[:len(chunk)/2], nil
		}
	}
}
