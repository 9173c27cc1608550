package stream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// Bounds of what the library does while it holds the lock that all of its calls
// need.
const (
	dialTimeout      = time.Second
	handshakeTimeout = 2 * time.Second
	// writeStall is how long a write may get hardly a byte across, which no link that
	// sells anything does to it.
	writeStall = time.Second
	// writeLooks is how often that is looked at: a process that stood still has
	// looked but once.
	writeLooks = 4
	// writeLeast is how many bytes are not hardly any, between two looks: half of
	// the smallest segment that a link carries in earnest.
	writeLeast = 256
)

var errStalled = fmt.Errorf("NATS takes no bytes: hardly any could be written for %v", writeStall)

// dialer makes the connections of a client.
type dialer struct {
	net.Dialer
	last *atomic.Pointer[conn] // written by Dial
}

func (d *dialer) Dial(network, address string) (net.Conn, error) {
	made, err := d.Dialer.Dial(network, address)
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: made}
	d.last.Store(c)
	return c, nil
}

// conn is a connection to NATS that ends by itself when it takes hardly any bytes:
// the library waits in Write with its lock held, so that its pings, which else find
// a dead connection, are not sent. A write that goes on, if slowly, may last.
type conn struct {
	net.Conn
	stalled atomic.Bool // written by Write
}

func (c *conn) Write(p []byte) (int, error) {
	written := 0
	for idle := 0; ; {
		_ = c.SetWriteDeadline(time.Now().Add(writeStall / writeLooks)) // where it fails, so does the write
		n, failure := c.Conn.Write(p[written:])
		written += n
		if failure == nil {
			return written, nil
		}
		if idle++; n >= writeLeast {
			idle = 0
		}
		late := errors.Is(failure, os.ErrDeadlineExceeded)
		if late && idle < writeLooks {
			continue
		}
		if late {
			c.stalled.Store(true)
			failure = errStalled
		}
		_ = c.Close() // what comes next would be read as the rest of this message
		return written, failure
	}
}

// Read says why the connection has ended.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil && c.stalled.Load() {
		err = errStalled
	}
	return n, err
}

// begin starts a session, the time between connecting and disconnecting.
func (c *Client) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session, c.end = context.WithCancel(context.Background())
}

// live returns the last session.
func (c *Client) live() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.session
}

func (c *Client) endSession() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end()
}

// during returns a context that ends with the parent, after the timeout, or
// when NATS disconnects.
func (c *Client) during(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	ctx, leave := c.inSession(ctx)
	return ctx, func() {
		leave()
		cancel()
	}
}

// inSession returns a context that ends with the parent, or when NATS disconnects.
func (c *Client) inSession(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(c.live(), cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

// heed makes a call to the library, and waits for it until the context ends: one
// that waits for the library's lock knows no context. It then goes on by itself.
func heed(ctx context.Context, call func() error) error {
	done := make(chan error, 1)
	go func() { done <- call() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
