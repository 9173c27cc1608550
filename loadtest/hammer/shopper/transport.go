package shopper

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
)

// Transport is an http.RoundTripper over one keep-alive connection, which it opens
// when needed. It is for one goroutine and for requests without a body, which it
// never repeats. It takes two thirds of the processor time of an http.Transport.
type Transport struct {
	nc  net.Conn // nil: not connected
	br  *bufio.Reader
	out bytes.Buffer
}

// CloseIdleConnections ends the connection; a later request opens a new one.
func (t *Transport) CloseIdleConnections() {
	if t.nc != nil {
		_ = t.nc.Close() // nothing is lost: every answer was read, or is given up
		t.nc = nil
	}
}

// RoundTrip sends a request and reads its answer to the end.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if t.nc == nil {
		if err := t.connect(r); err != nil {
			return nil, err
		}
	}
	nc := t.nc
	unwatch := context.AfterFunc(r.Context(), func() { _ = nc.Close() }) // ends a blocked read
	response, err := t.exchange(r)
	if !unwatch() || err != nil || response.Close {
		t.CloseIdleConnections()
	}
	if err != nil && r.Context().Err() != nil {
		err = r.Context().Err()
	}
	return response, err
}

func (t *Transport) connect(r *http.Request) error {
	if r.URL.Scheme != "http" {
		return fmt.Errorf("%s: only http is spoken", r.URL.Scheme)
	}
	host := r.URL.Host
	if r.URL.Port() == "" {
		host = net.JoinHostPort(r.URL.Hostname(), "80")
	}
	nc, err := new(net.Dialer).DialContext(r.Context(), "tcp", host)
	if err == nil {
		t.nc, t.br = nc, bufio.NewReader(nc)
	}
	return err
}

func (t *Transport) exchange(r *http.Request) (*http.Response, error) {
	t.out.Reset()
	fmt.Fprintf(&t.out, "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: 0\r\n\r\n", r.Method, r.URL.RequestURI(), r.URL.Host)
	if _, err := t.nc.Write(t.out.Bytes()); err != nil {
		return nil, err
	}
	response, err := http.ReadResponse(t.br, r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	return response, nil
}
