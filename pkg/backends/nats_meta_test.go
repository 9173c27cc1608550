//go:build unix

package backends

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"notsale/pkg/backends/backendstest/testlog"
)

// startNATS starts only NATS, and stops it when the test ends.
func startNATS(t *testing.T, cfg Config, log *slog.Logger) *NATS {
	t.Helper()
	n, err := StartNATS(t.Context(), cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, n.Stop) })
	return n
}

func streamsOf(t *testing.T, url string) jetstream.JetStream {
	t.Helper()
	conn, err := nats.Connect(url, nats.MaxReconnects(-1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	streams, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	return streams
}

// If the server is killed between writing the two files of a stream that is resized or
// made, the next start has the stream, its messages and its consumers. Settings that
// cannot be read are left alone.
func TestAStreamSurvivesAKillWhileItIsResized(t *testing.T) {
	t.Parallel()
	cfg := Config{Data: newData(t), Ephemeral: true}
	first, err := StartNATS(t.Context(), cfg, discard())
	if err != nil {
		t.Fatal(err)
	}
	streams := streamsOf(t, first.URL())
	folder := func(stream string) string { return filepath.Join(first.Dir(), "jetstream", "$G", "streams", stream) }
	sums := map[string][]byte{} // before the resize
	resized := func(name string, size int64) {
		t.Helper()
		cfg := jetstream.StreamConfig{Name: name, Subjects: []string{name}, MaxBytes: size}
		if _, err := streams.CreateOrUpdateStream(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"resized", "made", "broken"} {
		resized(name, 1<<20)
		if _, err := streams.Publish(t.Context(), name, []byte("kept")); err != nil {
			t.Fatal(err)
		}
		if _, err := streams.CreateConsumer(t.Context(), name, jetstream.ConsumerConfig{Durable: "reader"}); err != nil {
			t.Fatal(err)
		}
		if sums[name], err = os.ReadFile(folder(name) + "/meta.sum"); err != nil {
			t.Fatal(err)
		}
		resized(name, 2<<20)
	}
	stop(t, first.Stop)
	for name, text := range map[string][]byte{
		"resized/meta.sum":            sums["resized"],
		"resized/obs/reader/meta.sum": []byte("0123456789abcdef"),
		"broken/meta.sum":             sums["broken"],
		"broken/meta.inf":             []byte(`{"name":"broken","max_by`),
		"made/meta.sum":               nil,
		"made/obs/reader/meta.sum":    nil,
	} {
		err := os.Remove(folder(name))
		if text != nil {
			err = os.WriteFile(folder(name), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}

	var said testlog.Log
	second := startNATS(t, cfg, slog.New(slog.NewTextHandler(&said, nil)))
	streams = streamsOf(t, second.URL())
	for _, name := range []string{"resized", "made"} {
		s, err := streams.Stream(t.Context(), name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if info := s.CachedInfo(); info.State.Msgs != 1 || info.Config.MaxBytes != 2<<20 {
			t.Errorf("%s has %d messages and %d bytes", name, info.State.Msgs, info.Config.MaxBytes)
		}
		if _, err := s.Consumer(t.Context(), "reader"); err != nil {
			t.Errorf("the consumer of %s: %v", name, err)
		}
	}
	if n := strings.Count(said.String(), "written again"); n != 4 {
		t.Errorf("%d repairs in the log, want 4:\n%s", n, &said)
	}
	if text, err := os.ReadFile(folder("broken") + "/meta.sum"); err != nil || string(text) != string(sums["broken"]) {
		t.Errorf("the checksum of broken settings is now %q, %v", text, err)
	}
	stop(t, second.Stop)
	var again testlog.Log
	startNATS(t, cfg, slog.New(slog.NewTextHandler(&again, nil)))
	if strings.Contains(again.String(), "written again") {
		t.Errorf("repaired once more:\n%s", &again)
	}
}
