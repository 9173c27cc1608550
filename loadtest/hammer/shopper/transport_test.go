package shopper_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"notsale/loadtest/hammer/shopper"
	"notsale/pkg/client"
	"notsale/pkg/effort"
)

// counted is a server with the number of its connections.
func counted(t *testing.T, h http.HandlerFunc) (*client.Client, *atomic.Int64) {
	t.Helper()
	conns := &atomic.Int64{}
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)
	c, err := client.New(client.Config{Base: srv.URL, Timeout: effort.Patience, Transport: &shopper.Transport{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, conns
}

func TestTransportKeepsItsConnection(t *testing.T) {
	c, conns := counted(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/chunked":
			for i := range 3 {
				fmt.Fprintf(w, "chunk%d;", i)
				w.(http.Flusher).Flush()
			}
		case "/close":
			w.Header().Set("Connection", "close")
		case "/cut":
			w.Header().Set("Content-Length", "9")
			fmt.Fprint(w, "short")
		default:
			w.Header().Set("Retry-After", "2")
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, r.Method, r.ContentLength, r.URL.Query().Get("q"))
		}
	})
	for i, want := range []struct {
		path, body string
		status     int
		conns      int64
	}{
		{"/plain?q=a%20b", "POST0a b", 503, 1},
		{"/chunked", "chunk0;chunk1;chunk2;", 200, 1},
		{"/close", "", 200, 1},
		{"/plain", "POST0", 503, 2},
		{"/cut", "", 0, 2},
		{"/plain", "POST0", 503, 3},
	} {
		a, err := c.Do(t.Context(), http.MethodPost, want.path)
		if a.Status != want.status || string(a.Body) != want.body || conns.Load() != want.conns || (err == nil) != (want.status != 0) {
			t.Errorf("%d, %s: %d %q over connection %d, %v", i, want.path, a.Status, a.Body, conns.Load(), err)
		}
		if want.status == http.StatusServiceUnavailable && a.RetryAfter() != 2*time.Second {
			t.Errorf("%s: retry after %v", want.path, a.RetryAfter())
		}
	}
}

func TestTransportHeedsTheContext(t *testing.T) {
	entered := make(chan struct{}, 1)
	c, _ := counted(t, func(_ http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-entered; cancel() }()
	for range 2 {
		if a, err := c.Do(ctx, http.MethodPost, "/"); !errors.Is(err, context.Canceled) || a.Status != 0 {
			t.Errorf("%+v, %v", a, err)
		}
	}
}

func TestTransportSpeaksHTTPOnly(t *testing.T) {
	c, err := client.New(client.Config{Base: "https://localhost", Transport: &shopper.Transport{}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = c.Do(t.Context(), http.MethodGet, "/"); err == nil || !strings.Contains(err.Error(), "only http") {
		t.Errorf("%v", err)
	}
}
