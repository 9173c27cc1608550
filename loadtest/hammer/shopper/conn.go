package shopper

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
	"net/url"
	"strconv"
	"time"
)

// Limits of what a Conn reads, so that a broken server cannot fill the
// client's memory.
const (
	maxHeaderLines = 100
	maxBody        = 16 << 20 // a list of a year's sales has 2 MB
	readBuffer     = 4 << 10
)

var errMalformed = errors.New("malformed HTTP answer")

// Response is one answer. Body is valid until the next Do of its Conn.
type Response struct {
	Status     int
	RetryAfter time.Duration // 0 if absent
	Body       []byte
}

// Conn is an HTTP/1.1 client over one keep-alive connection, which it opens
// when needed. It is for one goroutine. It sends no body, follows no redirect
// and repeats nothing: after an error the caller decides.
type Conn struct {
	host    string
	timeout time.Duration

	nc        net.Conn // nil when not connected
	unwatch   func() bool
	br        *bufio.Reader
	out, body []byte
}

// NewConn returns a connection to the host of base, a http URL without a
// path. Each request, dialling included, may take timeout.
func NewConn(base string, timeout time.Duration) (*Conn, error) {
	u, err := ParseTarget(base)
	if err != nil {
		return nil, err
	}
	return &Conn{host: u.Host, timeout: timeout, br: bufio.NewReaderSize(nil, readBuffer)}, nil
}

// ParseTarget checks that base is a URL that a Conn can speak to, and gives
// it a port.
func ParseTarget(base string) (*url.URL, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, fmt.Errorf("target: %w", err)
	}
	if u.Scheme != "http" || u.Hostname() == "" || (u.Path != "" && u.Path != "/") || u.RawQuery != "" {
		return nil, fmt.Errorf("target %q: want http://host:port", base)
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), "80")
	}
	return u, nil
}

// Close ends the connection; a later Do opens a new one.
func (c *Conn) Close() {
	if c.nc == nil {
		return
	}
	c.unwatch()
	_ = c.nc.Close() // nothing is lost: every answer was read, or is given up
	c.nc = nil
}

// Do sends one request without a body and reads its answer. target is the
// path with its query, already escaped. After an error it is unknown whether
// the server acted on the request.
func (c *Conn) Do(ctx context.Context, method, target string) (Response, error) {
	if err := ctx.Err(); err != nil {
		return Response{}, err
	}
	deadline := time.Now().Add(c.timeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	if err := c.connect(ctx, deadline); err != nil {
		return Response{}, err
	}
	resp, reusable, err := c.exchange(method, target, deadline)
	if err != nil || !reusable {
		c.Close()
	}
	return resp, err
}

func (c *Conn) connect(ctx context.Context, deadline time.Time) error {
	if c.nc != nil {
		return nil
	}
	d := net.Dialer{Deadline: deadline}
	nc, err := d.DialContext(ctx, "tcp", c.host)
	if err != nil {
		return err
	}
	c.nc = nc
	c.unwatch = context.AfterFunc(ctx, func() { _ = nc.Close() }) // ends a blocked read
	c.br.Reset(nc)
	return nil
}

func (c *Conn) exchange(method, target string, deadline time.Time) (Response, bool, error) {
	if err := c.nc.SetDeadline(deadline); err != nil {
		return Response{}, false, err
	}
	c.out = append(c.out[:0], method...)
	c.out = append(c.out, ' ')
	c.out = append(c.out, target...)
	c.out = append(c.out, " HTTP/1.1\r\nHost: "...)
	c.out = append(c.out, c.host...)
	c.out = append(c.out, "\r\nContent-Length: 0\r\n\r\n"...)
	if _, err := c.nc.Write(c.out); err != nil {
		return Response{}, false, err
	}
	for {
		resp, reusable, err := c.read()
		if err != nil || resp.Status >= 200 { // 1xx are not the answer yet
			return resp, reusable, err
		}
	}
}

// framing is how an answer's body ends.
type framing struct {
	length  int // -1: not given
	chunked bool
	close   bool
}

func (c *Conn) read() (resp Response, reusable bool, err error) {
	line, err := c.line()
	if err != nil {
		return resp, false, err
	}
	if resp.Status, err = parseStatusLine(line); err != nil {
		return resp, false, err
	}
	f := framing{length: -1, close: line[7] == '0'}
	for range maxHeaderLines {
		if line, err = c.line(); err != nil {
			return resp, false, err
		}
		if len(line) == 0 {
			resp.Body, err = c.readBody(resp.Status, &f)
			return resp, !f.close, err
		}
		if err = parseHeader(line, &resp, &f); err != nil {
			return resp, false, err
		}
	}
	return resp, false, fmt.Errorf("%w: over %d header lines", errMalformed, maxHeaderLines)
}

// line returns the next line without its end, valid until the next read.
func (c *Conn) line() ([]byte, error) {
	line, err := c.br.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(line[:len(line)-1], []byte{'\r'}), nil
}

// parseStatusLine reads "HTTP/1.x NNN …".
func parseStatusLine(line []byte) (int, error) {
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.")) || line[8] != ' ' {
		return 0, fmt.Errorf("%w: status line %q", errMalformed, line)
	}
	status, err := strconv.Atoi(string(line[9:12]))
	if err != nil || status < 100 {
		return 0, fmt.Errorf("%w: status line %q", errMalformed, line)
	}
	return status, nil
}

func parseHeader(line []byte, resp *Response, f *framing) error {
	name, value, ok := bytes.Cut(line, []byte{':'})
	if !ok {
		return fmt.Errorf("%w: header %q", errMalformed, line)
	}
	value = bytes.TrimSpace(value)
	switch {
	case equalFold(name, "Content-Length"):
		n, err := strconv.Atoi(string(value))
		if err != nil || n < 0 || n > maxBody {
			return fmt.Errorf("%w: Content-Length %q", errMalformed, value)
		}
		f.length = n
	case equalFold(name, "Transfer-Encoding"):
		if !equalFold(value, "chunked") {
			return fmt.Errorf("%w: Transfer-Encoding %q", errMalformed, value)
		}
		f.chunked = true
	case equalFold(name, "Connection"):
		f.close = f.close || equalFold(value, "close")
	case equalFold(name, "Retry-After"):
		if s, err := strconv.Atoi(string(value)); err == nil && s > 0 { // a date is not used here
			resp.RetryAfter = time.Duration(s) * time.Second
		}
	}
	return nil
}

func equalFold(b []byte, s string) bool { return len(b) == len(s) && bytes.EqualFold(b, []byte(s)) }

// readBody reads the body into the connection's own buffer.
func (c *Conn) readBody(status int, f *framing) ([]byte, error) {
	var err error
	switch {
	case status < 200 || status == 204 || status == 304:
		return nil, nil
	case f.chunked:
		if err = c.readInto(httputil.NewChunkedReader(c.br)); err == nil {
			err = c.skipTrailers()
		}
	case f.length >= 0:
		if cap(c.body) < f.length {
			c.body = make([]byte, f.length)
		}
		c.body = c.body[:f.length]
		_, err = io.ReadFull(c.br, c.body)
	default: // until the server closes
		f.close = true
		err = c.readInto(c.br)
	}
	return c.body, err
}

func (c *Conn) readInto(r io.Reader) error {
	buf := bytes.NewBuffer(c.body[:0])
	n, err := buf.ReadFrom(io.LimitReader(r, maxBody+1))
	c.body = buf.Bytes()
	if err == nil && n > maxBody {
		err = fmt.Errorf("%w: body over %d bytes", errMalformed, maxBody)
	}
	return err
}

func (c *Conn) skipTrailers() error {
	for range maxHeaderLines {
		line, err := c.line()
		if err != nil || len(line) == 0 {
			return err
		}
	}
	return fmt.Errorf("%w: over %d trailer lines", errMalformed, maxHeaderLines)
}
