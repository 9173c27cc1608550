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

// Limits of what the library does while it holds the lock that all its calls need.
const (
	dialTimeout      = time.Second
	handshakeTimeout = 2 * time.Second
	// writeStall is how long a write may make hardly any progress, far longer than
	// on any link that is good enough to sell over.
	writeStall = time.Second
	// writeChecks is how often progress is checked within writeStall. A process that
	// was suspended has missed one check, not all.
	writeChecks = 4
	// writeProgress is the number of bytes between two checks that count as progress:
	// half the smallest segment size in practice.
	writeProgress = 256
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

// conn is a connection to NATS that closes itself when a write is stuck. The
// library holds its lock during a write, so it cannot send the pings that would
// detect a dead connection. A write that makes progress, if slowly, may last.
type conn struct {
	net.Conn
	stalled atomic.Bool // written by Write
}

func (c *conn) Write(p []byte) (int, error) {
	written := 0
	for idle := 0; ; {
		_ = c.SetWriteDeadline(time.Now().Add(writeStall / writeChecks)) // if it fails, so does the write
		n, err := c.Conn.Write(p[written:])
		written += n
		if err == nil {
			return written, nil
		}
		if idle++; n >= writeProgress {
			idle = 0
		}
		late := errors.Is(err, os.ErrDeadlineExceeded)
		if late && idle < writeChecks {
			continue
		}
		if late {
			c.stalled.Store(true)
			err = errStalled
		}
		_ = c.Close() // the server would read the next message as the rest of this one
		return written, err
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

// session is the time between connecting and disconnecting.
type session struct {
	ctx context.Context // ends on disconnect
	end context.CancelFunc
}

func (c *Client) begin() {
	ctx, end := context.WithCancel(context.Background())
	c.session.Store(&session{ctx, end})
}

// live returns the context of the current session, or of the last one.
func (c *Client) live() context.Context { return c.session.Load().ctx }

// interruptible makes a call to the library and waits for it until the context
// ends: a call that waits for the library's lock does not watch its context. An
// abandoned call ends in the background.
func interruptible(ctx context.Context, call func() error) error {
	done := make(chan error, 1)
	go func() { done <- call() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
