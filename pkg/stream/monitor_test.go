package stream_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"notsale/pkg/stream"
)

// monitored runs a server with a monitoring listener, and returns both URLs.
func monitored(t *testing.T, always bool) (nats, monitor string) {
	t.Helper()
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, HTTPHost: "127.0.0.1", HTTPPort: server.RANDOM_PORT, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: t.TempDir(), JetStreamMaxStore: 1 << 30, SyncAlways: always,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("the server is not ready")
	}
	return s.ClientURL(), "http://" + s.MonitorAddr().String()
}

// A NATS that acknowledges before it syncs is found.
func TestNATSWithoutSyncAlwaysIsRefused(t *testing.T) {
	t.Parallel()
	nats, good := monitored(t, true)
	_, bad := monitored(t, false)
	c := connect(t, config(nats))
	if err := c.Verify(t.Context(), good); err != nil {
		t.Error(err)
	}
	if err := c.Verify(t.Context(), good+"/, "+bad); !errors.Is(err, stream.ErrNotDurable) || !strings.Contains(err.Error(), "sync_interval: always") {
		t.Errorf("%v, want that it is not durable, and what to set", err)
	}
	_, other := monitored(t, true)
	if err := c.Verify(t.Context(), other); !errors.Is(err, stream.ErrNotDurable) || !strings.Contains(err.Error(), "NATS_URL") {
		t.Errorf("another server: %v", err)
	}
	for _, nobody := range []string{"http://127.0.0.1:1", "127.0.0.1:8222", ""} {
		if err := c.Verify(t.Context(), nobody); err == nil || errors.Is(err, stream.ErrNotDurable) {
			t.Errorf("%q: %v", nobody, err)
		}
	}
	if err := c.Verify(t.Context(), good+",http://127.0.0.1:1"); !errors.Is(err, stream.ErrUnverified) {
		t.Errorf("one that is down beside the one that is spoken to: %v, want ErrUnverified", err)
	}
	if err := c.Verify(t.Context(), other+",http://127.0.0.1:1"); err == nil || errors.Is(err, stream.ErrUnverified) || errors.Is(err, stream.ErrNotDurable) {
		t.Errorf("one that is down, and may be the one that is spoken to: %v", err)
	}
	for said, want := range map[string]string{
		`{"disabled":true}`: "no JetStream",
		`{"config":{"max_storage":0,"store_dir":"/d","sync_always":true}}`:   "no file storage",
		`{"config":{"max_storage":1000,"store_dir":"","sync_always":true}}`:  "no file storage",
		`{"config":{"max_storage":1000,"store_dir":"/d","sync_interval":1}}`: "sync_interval",
	} {
		fake := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, said) }))
		if err := c.Verify(t.Context(), fake.URL); !errors.Is(err, stream.ErrNotDurable) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", said, err, want)
		}
		fake.Close()
	}
}
