package telemetry_test

import (
	"bytes"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"notsale/pkg/telemetry"
)

// patience is a last resort.
const patience = time.Minute

// reader is the far end of a log. While it is held, who writes to it waits.
type reader struct {
	mu   sync.Mutex // held: nobody reads
	text bytes.Buffer
	gone error
}

func (r *reader) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gone != nil {
		return 0, r.gone
	}
	return r.text.Write(b)
}

func (r *reader) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
		time.Sleep(time.Millisecond)
	}
}

func metric(t *testing.T, out *telemetry.LogWriter) float64 {
	t.Helper()
	r := prometheus.NewRegistry()
	r.MustRegister(out.Collector())
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families[0].GetMetric()[0].GetCounter().GetValue()
}

func TestALogWithoutAReaderBlocksNobody(t *testing.T) {
	t.Parallel()
	var r reader
	log, out, err := telemetry.NewServiceLogger(&r, telemetry.LogConfig{Format: "json", Level: "info"})
	if err != nil {
		t.Fatal(err)
	}
	log.Info("first")
	await(t, "a line comes out by itself", func() bool { return strings.Contains(r.String(), "first") })
	r.mu.Lock() // nobody reads
	long := strings.Repeat("x", 1000)
	for range 5000 {
		log.Info("lost", "text", long)
	}
	dropped := out.Dropped()
	if counted := metric(t, out); dropped == 0 || counted != float64(dropped) {
		t.Errorf("%d dropped, the metric says %v", dropped, counted)
	}
	r.mu.Unlock()
	await(t, "what is missing is told", func() bool { return strings.Contains(r.String(), "were dropped") })
	log.Info("last")
	out.Close()
	text := r.String()
	if n := strings.Count(text, `"lost"`); uint64(n)+dropped != 5000 {
		t.Errorf("%d lines came and %d were dropped, of 5000", n, dropped)
	}
	if lines := strings.Split(strings.TrimSpace(text), "\n"); !strings.Contains(lines[len(lines)-1], "last") {
		t.Errorf("a clean stop does not write the last line, but ends with %q", lines[len(lines)-1])
	}
}

func TestALogWhoseReaderIsGone(t *testing.T) {
	t.Parallel()
	r := reader{gone: io.ErrClosedPipe}
	log, out, err := telemetry.NewServiceLogger(&r, telemetry.DefaultLogConfig())
	if err != nil {
		t.Fatal(err)
	}
	log.Info("one")
	log.Info("two")
	await(t, "both are counted", func() bool { return out.Dropped() == 2 })
	r.mu.Lock()
	r.gone = nil
	r.mu.Unlock()
	log.Info("three")
	await(t, "the reader is told", func() bool { return strings.Contains(r.String(), "were dropped") })
	out.Close()
	if text := r.String(); !strings.Contains(text, "lines=2") || strings.Count(text, "were dropped") != 1 {
		t.Errorf("%s", text)
	}
	log.Info("after the end")
	if out.Dropped() != 3 {
		t.Errorf("%d dropped, want 3", out.Dropped())
	}
}

// A reader that never comes back does not hold up a stop.
func TestCloseWaitsAtMostABound(t *testing.T) {
	t.Parallel()
	var r reader
	log, out, err := telemetry.NewServiceLogger(&r, telemetry.DefaultLogConfig())
	if err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	log.Info("never read")
	out.Close()
	r.mu.Unlock() // so that the test leaves no goroutine
}

func TestAServiceLoggerRefusesWhatALoggerDoes(t *testing.T) {
	t.Parallel()
	_, _, err := telemetry.NewServiceLogger(io.Discard, telemetry.LogConfig{Format: "xml", Level: "info"})
	if err == nil {
		t.Errorf("%v", err)
	}
}
