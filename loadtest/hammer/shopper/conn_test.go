package shopper

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"notsale/pkg/effort"
)

func dial(t *testing.T, base string) *Conn {
	t.Helper()
	c, err := NewConn(base, effort.Patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestConnReadsEveryFramingOverOneConnection(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /plain", func(w http.ResponseWriter, r *http.Request) {
		if body, _ := io.ReadAll(r.Body); len(body) != 0 {
			t.Errorf("got a body: %q", body)
		}
		w.Header().Set("Retry-After", "2")
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprint(w, r.URL.Query().Get("q"))
	})
	mux.HandleFunc("GET /chunked", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		for i := range 3 {
			fmt.Fprintf(w, "chunk%d;", i)
			w.(http.Flusher).Flush()
		}
		w.Header().Set("X-Sum", "1")
	})
	mux.HandleFunc("GET /early", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		fmt.Fprint(w, "after hints")
	})
	mux.HandleFunc("GET /none", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("GET /large", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(make([]byte, 3*readBuffer))
	})
	conns := make(chan struct{}, 10)
	srv := httptest.NewUnstartedServer(mux)
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns <- struct{}{}
		}
	}
	srv.Start()
	defer srv.Close()

	c := dial(t, srv.URL)
	for _, tt := range []struct {
		method, path string
		status       int
		retry        time.Duration
		body         string
	}{
		{"POST", "/plain?q=a%20b", 503, 2 * time.Second, "a b"},
		{"GET", "/chunked", 200, 0, "chunk0;chunk1;chunk2;"},
		{"GET", "/early", 200, 0, "after hints"},
		{"GET", "/none", 204, 0, ""},
		{"GET", "/large", 200, 0, string(make([]byte, 3*readBuffer))},
		{"GET", "/missing", 404, 0, "404 page not found\n"},
	} {
		resp, err := c.Do(t.Context(), tt.method, tt.path)
		if err != nil {
			t.Fatalf("%s: %v", tt.path, err)
		}
		if resp.Status != tt.status || resp.RetryAfter != tt.retry || string(resp.Body) != tt.body {
			t.Errorf("%s: got %d, %v, %q", tt.path, resp.Status, resp.RetryAfter, resp.Body)
		}
	}
	if n := len(conns); n != 1 {
		t.Errorf("opened %d connections, want 1", n)
	}
}

func TestConnReconnectsAfterClose(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		fmt.Fprint(w, "bye")
	}))
	defer srv.Close()
	c := dial(t, srv.URL)
	for range 3 {
		if resp, err := c.Do(t.Context(), "GET", "/"); err != nil || string(resp.Body) != "bye" {
			t.Fatalf("got %q, %v", resp.Body, err)
		}
	}
}

// answering serves every connection with one raw answer and closes it.
func answering(t *testing.T, raw string) string {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = http.ReadRequest(bufio.NewReader(nc))
			_, _ = io.WriteString(nc, raw)
			_ = nc.Close()
		}
	}()
	return "http://" + l.Addr().String()
}

func TestConnReadsUntilCloseWithoutLength(t *testing.T) {
	c := dial(t, answering(t, "HTTP/1.0 200 OK\r\n\r\nuntil the end"))
	for range 2 {
		if resp, err := c.Do(t.Context(), "GET", "/"); err != nil || string(resp.Body) != "until the end" {
			t.Fatalf("got %q, %v", resp.Body, err)
		}
	}
}

func TestConnRefusesMalformedAnswers(t *testing.T) {
	for _, raw := range []string{
		"hello\r\n",
		"HTTP/2.0 200 OK\r\n\r\n",
		"HTTP/1.1 2x0 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
		"HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", maxHeaderLines+1) + "\r\n",
	} {
		c := dial(t, answering(t, raw))
		if resp, err := c.Do(t.Context(), "GET", "/"); !errors.Is(err, errMalformed) {
			t.Errorf("%.60q: got %d, %v, want errMalformed", raw, resp.Status, err)
		}
	}
	for _, raw := range []string{"", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", "HTTP/1.1 200 OK\r\n"} {
		c := dial(t, answering(t, raw))
		if _, err := c.Do(t.Context(), "GET", "/"); err == nil {
			t.Errorf("%q: a cut answer was accepted", raw)
		}
	}
}

func TestConnDeadlineAndCancel(t *testing.T) {
	entered, release := make(chan struct{}, 2), make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		entered <- struct{}{}
		<-release
	}))
	defer srv.Close()
	defer close(release)

	c := dial(t, srv.URL)
	c.timeout = time.Second
	if _, err := c.Do(t.Context(), "GET", "/"); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, want a deadline", err)
	}
	<-entered

	ctx, cancel := context.WithCancel(t.Context())
	c = dial(t, srv.URL)
	go func() { <-entered; cancel() }()
	if _, err := c.Do(ctx, "GET", "/"); err == nil {
		t.Error("a cancelled request was answered")
	}
	if _, err := c.Do(ctx, "GET", "/"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

func TestParseTarget(t *testing.T) {
	if u, err := ParseTarget("http://localhost/"); err != nil || u.Host != "localhost:80" {
		t.Errorf("got %v, %v", u, err)
	}
	for _, bad := range []string{"https://localhost", "localhost:8080", "http://", "http://h/path", "http://h?q", "http://h:\x00"} {
		if _, err := ParseTarget(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}
