package telemetry_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"notsale/pkg/telemetry"
)

// serve runs an operations listener until the test ends, and returns its URL.
func serve(t *testing.T, health *telemetry.Health, ready telemetry.Probe) string {
	t.Helper()
	reg := telemetry.NewRegistry()
	reg.MustRegister(prometheus.NewCounter(prometheus.CounterOpts{Name: "notsale_test_total", Help: "A test."}))
	o, err := telemetry.ListenOperations(t.Context(), "127.0.0.1:0", reg, health, ready, quiet())
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- o.Serve() }()
	t.Cleanup(func() {
		if err := o.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Errorf("after Stop: %v", err)
		}
	})
	return "http://" + o.Address()
}

// get asks without keeping the connection.
func get(t *testing.T, method, url string) (status int, contentType, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header.Get("Content-Type"), string(text)
}

func TestOperations(t *testing.T) {
	t.Parallel()
	var well, ill telemetry.Health
	well.Add("redis", healthy)
	ill.Add("redis", away)
	ill.Add("postgres", healthy)
	process := map[string]string{
		"well":     serve(t, &well, nil),
		"starting": serve(t, &well, away),
		"ready":    serve(t, &well, healthy),
		"ill":      serve(t, &ill, healthy),
	}
	for _, c := range []struct {
		process, method, path string
		status                int
		body                  string // a part of it
	}{
		{"well", "GET", "/livez", 200, `"status":"ok"`},
		{"well", "GET", "/readyz", 200, `"status":"ok"`},
		{"well", "GET", "/health", 200, `"redis":"ok"`},
		{"well", "GET", "/metrics", 200, "notsale_test_total 0"},
		{"well", "GET", "/metrics", 200, "go_goroutines"},
		{"well", "GET", "/debug/pprof/", 200, "goroutine"},
		{"well", "GET", "/debug/pprof/cmdline", 200, "telemetry"},
		{"well", "GET", "/debug/pprof/goroutine?debug=1", 200, "goroutine profile"},
		{"well", "GET", "/", 404, ""},
		{"well", "POST", "/metrics", 405, ""},
		{"well", "POST", "/livez", 405, ""},
		{"ready", "GET", "/readyz", 200, `"status":"ok"`},
		{"starting", "GET", "/readyz", 503, `"reason":"away"`},
		{"starting", "GET", "/livez", 200, `"status":"ok"`},
		{"ill", "GET", "/health", 503, `"redis":"error"`},
		{"ill", "GET", "/health", 503, `"postgres":"ok"`},
		{"ill", "GET", "/health", 503, `"status":"error"`},
		{"ill", "GET", "/livez", 200, `"status":"ok"`},
		{"ill", "GET", "/readyz", 200, `"status":"ok"`},
		{"ill", "GET", "/metrics", 200, "notsale_test_total 0"},
	} {
		status, contentType, body := get(t, c.method, process[c.process]+c.path)
		if status != c.status || !strings.Contains(body, c.body) {
			t.Errorf("%s: %s %s: %d %s, want %d with %s", c.process, c.method, c.path, status, body, c.status, c.body)
		}
		if strings.HasPrefix(c.body, `"`) && (!strings.HasPrefix(contentType, "application/json") || !json.Valid([]byte(body))) {
			t.Errorf("%s: %s %s: %s is no JSON, but %s", c.process, c.method, c.path, body, contentType)
		}
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		result map[string]error
		status int
		body   map[string]string
	}{
		{nil, 200, map[string]string{"status": "ok"}},
		{map[string]error{"redis": nil}, 200, map[string]string{"status": "ok", "redis": "ok"}},
		{map[string]error{"redis": errAway, "postgres": nil}, 503, map[string]string{"status": "error", "redis": "error", "postgres": "ok"}},
		{map[string]error{"redis": errAway, "postgres": errAway}, 503, map[string]string{"status": "error", "redis": "error", "postgres": "error"}},
	} {
		if status, body := telemetry.Report(c.result); status != c.status || !maps.Equal(body, c.body) {
			t.Errorf("%v: %d %v, want %d %v", c.result, status, body, c.status, c.body)
		}
	}
}

func TestAnAddressInUse(t *testing.T) {
	t.Parallel()
	url := serve(t, &telemetry.Health{}, nil)
	_, err := telemetry.ListenOperations(t.Context(), strings.TrimPrefix(url, "http://"), telemetry.NewRegistry(), &telemetry.Health{}, nil, quiet())
	if err == nil || !strings.Contains(err.Error(), "--ops-listen") {
		t.Errorf("error %v does not name the flag", err)
	}
}

// lines are what a logger writes, as messages of a channel.
type lines chan string

func (l lines) Write(line []byte) (int, error) {
	l <- string(line)
	return len(line), nil
}

// What the server itself has to say, as when it can take no connection, goes
// into the process's log, not past it to stderr.
func TestTheServersOwnErrorsAreLogged(t *testing.T) {
	t.Parallel()
	logged := make(lines, 16)
	panics := func(context.Context) error { panic("at the disco") }
	o, err := telemetry.ListenOperations(t.Context(), "127.0.0.1:0", telemetry.NewRegistry(), &telemetry.Health{}, panics, slog.New(slog.NewTextHandler(logged, nil)))
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- o.Serve() }()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+o.Address()+"/readyz", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Close = true
	if response, err := http.DefaultClient.Do(request); err == nil {
		response.Body.Close()
		t.Error("a request that panicked was answered")
	}
	select {
	case line := <-logged:
		if !strings.Contains(line, "level=WARN") || !strings.Contains(line, "at the disco") {
			t.Error(line)
		}
	case <-time.After(time.Minute):
		t.Error("nothing is logged")
	}
	if err := errors.Join(o.Stop(context.WithoutCancel(t.Context())), <-served); err != nil {
		t.Error(err)
	}
}

// serveStuck serves with a readiness that never answers. asked is closed when it
// is first asked for; served gets what Serve returns.
func serveStuck(t *testing.T) (o *telemetry.Operations, asked <-chan struct{}, served <-chan error) {
	t.Helper()
	begun, ended := make(chan struct{}), make(chan error, 1)
	stuck := func(ctx context.Context) error {
		close(begun)
		return silent(ctx)
	}
	o, err := telemetry.ListenOperations(t.Context(), "127.0.0.1:0", telemetry.NewRegistry(), &telemetry.Health{}, stuck, quiet())
	if err != nil {
		t.Fatal(err)
	}
	go func() { ended <- o.Serve() }()
	return o, begun, ended
}

// A request that does not end is cut off when there is no time left for it.
func TestStopDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	o, asked, served := serveStuck(t)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+o.Address()+"/readyz", nil)
		if err != nil {
			t.Error(err)
			return
		}
		request.Close = true
		if response, err := http.DefaultClient.Do(request); err == nil {
			response.Body.Close()
			t.Error("the stuck request was answered")
		}
	}()
	<-asked
	hurry, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := o.Stop(hurry); err != nil {
		t.Errorf("stop: %v", err)
	}
	<-ended
	if err := <-served; err != nil {
		t.Errorf("serve: %v", err)
	}
}
