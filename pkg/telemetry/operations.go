package telemetry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Operations is the listener for operators: /metrics, /livez, /readyz, /health and
// /debug/pprof. It has no authentication and listens on loopback by default.
type Operations struct {
	server   *http.Server
	listener net.Listener
	log      *slog.Logger
}

// ListenOperations opens the listener, so that an address in use is an error
// at start. ready may be nil: ready as soon as alive.
func ListenOperations(ctx context.Context, address string, reg *prometheus.Registry, health *Health, ready Probe, log *slog.Logger) (*Operations, error) {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("operations listener: %w: choose another with --ops-listen", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if ready != nil {
			if err := ready(r.Context()); err != nil {
				answer(w, http.StatusServiceUnavailable, map[string]string{"status": "error", "reason": err.Error()})
				return
			}
		}
		answer(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, r *http.Request) {
		status, body := Report(health.Check(r.Context()))
		answer(w, status, body)
	})
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: 2 * time.Second, ReadTimeout: 5 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 8 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn), // at most a line a second when no connection can be taken
	}
	return &Operations{server: server, listener: listener, log: log}, nil
}

// Report turns the result of a health check into an HTTP status and a body:
// "status" and each dependency, "ok" or "error".
func Report(result map[string]error) (int, map[string]string) {
	status, body := http.StatusOK, map[string]string{"status": "ok"}
	for name, err := range result {
		body[name] = "ok"
		if err != nil {
			status, body["status"], body[name] = http.StatusServiceUnavailable, "error", "error"
		}
	}
	return status, body
}

// Address returns where the listener listens.
func (o *Operations) Address() string { return o.listener.Addr().String() }

// Serve serves until Stop is called.
func (o *Operations) Serve() error {
	if err := o.server.Serve(o.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("operations listener: %w", err)
	}
	return nil
}

// stopGrace is how long a stop waits for requests under way: a scrape takes
// milliseconds, and a profile of half an hour must not hold the process.
const stopGrace = time.Second

// Stop closes the listener, waits for requests under way, at most stopGrace or
// until ctx ends, and cuts off the others.
func (o *Operations) Stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopGrace)
	defer cancel()
	if err := o.server.Shutdown(ctx); err != nil {
		return o.server.Close()
	}
	return nil
}

func answer(w http.ResponseWriter, status int, body map[string]string) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) //nolint:errchkjson // a client that is gone
}

// NewRegistry returns a metrics registry with the process's and Go's own
// metrics in it.
func NewRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}
