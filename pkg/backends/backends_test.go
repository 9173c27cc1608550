//go:build unix

package backends

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"
)

func TestStartAgainKeepsWhatWasStored(t *testing.T) {
	t.Parallel()
	cfg := Config{Data: newData(t)}
	first, err := Start(t.Context(), cfg, discard())
	if err != nil {
		t.Fatal(err)
	}
	query(t, first.DatabaseURL(), "CREATE TABLE kept AS SELECT 'hello' AS word")
	publish(t, first.NATSURL())
	if err := redisClient(t, first.RedisURL()).Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Error(err)
	}
	stop(t, first.Stop)
	stop(t, first.Stop)

	second := start(t, cfg)
	if got := query(t, second.DatabaseURL(), "SELECT word FROM kept"); got != "hello" {
		t.Errorf("postgres: %q", got)
	}
	if seq := publish(t, second.NATSURL()); seq != 2 {
		t.Errorf("nats: next sequence %d, want 2", seq)
	}
	if n, err := redisClient(t, second.RedisURL()).DBSize(t.Context()).Result(); err != nil || n != 0 {
		t.Errorf("redis: %d keys (%v), want 0: a cache starts empty", n, err)
	}
}

// publish makes the stream kept if it is not there, and gives the message's sequence.
func publish(t *testing.T, url string) uint64 {
	t.Helper()
	const name = "kept"
	conn, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	streams, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	cfg := jetstream.StreamConfig{Name: name, Subjects: []string{name}}
	if _, err := streams.CreateOrUpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	ack, err := streams.Publish(t.Context(), name, []byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	return ack.Sequence
}

func redisClient(t *testing.T, url string) *redis.Client {
	t.Helper()
	options, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func TestSettingsAreDurable(t *testing.T) {
	t.Parallel()
	b := start(t, Config{Data: newData(t)})
	for name, want := range map[string]string{
		"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on",
		"max_connections": "100", "shared_buffers": "128MB", "listen_addresses": "127.0.0.1",
		"server_encoding": "UTF8", "lc_collate": "C", "TimeZone": "UTC", "jit": "off",
	} {
		if got := query(t, b.DatabaseURL(), "SHOW "+name); got != want {
			t.Errorf("%s = %s, want %s", name, got, want)
		}
	}
	js := b.nats.run.(*natsRun).server.JetStreamConfig()
	if js == nil || !js.SyncAlways || js.StoreDir != filepath.Join(b.nats.Dir(), "jetstream") {
		t.Errorf("JetStream: %+v", js)
	}
	if b.redis.InProcess() {
		return
	}
	for name, want := range map[string]string{"save": "", "appendonly": "no", "maxmemory": "268435456", "maxmemory-policy": "allkeys-lru"} {
		got, err := redisClient(t, b.RedisURL()).ConfigGet(t.Context(), name).Result()
		if err != nil || got[name] != want {
			t.Errorf("redis %s = %q (%v), want %q", name, got[name], err, want)
		}
	}
}

func TestNobodyEntersWithoutPassword(t *testing.T) {
	t.Parallel()
	b := start(t, Config{Data: newData(t), Ephemeral: true})
	if conn, err := nats.Connect("nats://" + b.nats.Address()); err == nil {
		conn.Close()
		t.Error("nats lets anybody in")
	}
	if err := redisClient(t, "redis://"+b.redis.Address()).Ping(t.Context()).Err(); err == nil {
		t.Error("redis lets anybody in")
	}
	files, _ := filepath.Glob(b.cfg.Data + "/*.password")
	if len(files) != 3 {
		t.Errorf("password files: %v", files)
	}
	for _, path := range files {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want mode 0600", path, info.Mode(), err)
		}
	}
	for _, part := range b.Parts() {
		if strings.Contains(part.Address, "@") {
			t.Errorf("%s: address %s", part.Name, part.Address)
		}
	}
}

func TestSecondOnTheSameFolder(t *testing.T) {
	t.Parallel()
	cfg := Config{Data: newSeeded(t), Ephemeral: true}
	start(t, cfg)
	_, err := Start(t.Context(), cfg, discard())
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "--data") {
		t.Errorf("all: %v", err)
	}
	if _, err := StartPostgres(t.Context(), cfg, discard()); !errors.Is(err, ErrInUse) {
		t.Errorf("postgres: %v", err)
	}
	if _, err := StartNATS(t.Context(), cfg, discard()); !errors.Is(err, ErrInUse) {
		t.Errorf("nats: %v", err)
	}
	if _, err := StartRedis(t.Context(), cfg, discard()); !errors.Is(err, ErrInUse) {
		t.Errorf("redis: %v", err)
	}
	if !InUse(cfg.Data) {
		t.Error("not in use")
	}
}

func TestFolderIsFreeAfterStop(t *testing.T) {
	t.Parallel()
	data := newSeeded(t)
	b := start(t, Config{Data: data, Ephemeral: true})
	stop(t, b.Stop)
	if InUse(data) {
		t.Error("still in use")
	}
	if found := occupants(filepath.Join(data, "postgres")); len(found) != 0 {
		t.Errorf("processes %v remain", found)
	}
}

func TestExternalPartsAreLeftAlone(t *testing.T) {
	data := newData(t)
	cfg := Config{
		Data:        data,
		DatabaseURL: "postgres://user:77,secret@db.example:5432,two.example/shop",
		RedisURL:    "rediss+sentinel://:secret@cache.example:1,two.example:2/main/0",
		NATSURL:     "nats://user:secret@a.example:4222, nats://b.example:4222",
	}
	b := start(t, cfg)
	if b.DatabaseURL() != cfg.DatabaseURL || b.RedisURL() != cfg.RedisURL || b.NATSURL() != cfg.NATSURL {
		t.Error("URLs changed")
	}
	for i, want := range []string{"db.example:5432,two.example", "cache.example:1,two.example:2", "a.example:4222,b.example:4222"} {
		if got := b.Parts()[i]; got.Address != want || got.Note != externalNote {
			t.Errorf("%+v, want address %s", got, want)
		}
	}
	if _, err := Start(t.Context(), cfg, discard()); !errors.Is(err, ErrInUse) {
		t.Errorf("a second one on the same folder: %v", err)
	}
	stop(t, b.Stop)
	if left, err := os.ReadDir(data); err != nil || len(left) != 1 {
		t.Errorf("in the folder: %v (%v), want only the lock", left, err)
	}
	cfg.Data = ""
	start(t, cfg) // nothing to keep anywhere
}

func TestFailedPartStopsTheOthers(t *testing.T) {
	data := newData(t)
	_, err := Start(t.Context(), Config{Data: data, PGBin: "/nonexistent"}, discard())
	if err == nil || !strings.Contains(err.Error(), "PG_BIN") {
		t.Errorf("error: %v", err)
	}
	if InUse(data) {
		t.Error("folder still in use")
	}
}

func TestStartObeysItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	data := newData(t)
	if _, err := Start(ctx, Config{Data: data}, discard()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error: %v", err)
	}
	start(t, Config{Data: data, Ephemeral: true}) // a half-made folder does not matter
}

func TestValidate(t *testing.T) {
	good := DefaultConfig()
	good.Data = "/somewhere"
	if err := good.Validate(); err != nil {
		t.Errorf("default: %v", err)
	}
	bad := Config{
		DatabaseURL: "mysql://x:secret@y", RedisURL: "http://x", NATSURL: "nats://ok,amqp://x",
		StreamStore: -1,
	}
	err := bad.Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	if lines := strings.Split(err.Error(), "\n"); len(lines) != 4 || strings.Contains(err.Error(), "secret") {
		t.Errorf("%d complaints: %v", len(lines), err)
	}
	if err := (Config{}).Validate(); err == nil || !strings.Contains(err.Error(), "--data") {
		t.Errorf("no folder: %v", err)
	}
}
