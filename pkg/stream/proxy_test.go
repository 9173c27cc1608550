package stream_test

import (
	"errors"
	"net"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// proxy forwards between clients and NATS. It can drop what the server sends while
// still forwarding what clients send, and it can freeze or cut all connections.
type proxy struct {
	listener net.Listener
	server   string
	deaf     atomic.Bool // drops what the server sends; written by the test
	wait     sync.WaitGroup
	over     chan struct{} // closed when the test ends

	mu    sync.Mutex
	conns []net.Conn // guarded by mu
}

// between starts a proxy to the server of the URL and returns the URL of it.
func between(t *testing.T, address string) (*proxy, string) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, server: u.Host, over: make(chan struct{})}
	p.wait.Go(p.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		close(p.over)
		p.cut()
		p.wait.Wait()
	})
	u.Host = listener.Addr().String()
	return p, u.String()
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.server)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, client, server)
		p.mu.Unlock()
		p.wait.Go(func() { p.forward(server, client, nil) })
		p.wait.Go(func() { p.forward(client, server, &p.deaf) })
	}
}

func (p *proxy) forward(to, from net.Conn, drop *atomic.Bool) {
	defer to.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && (drop == nil || !drop.Load()) {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			<-p.over
		}
		if err != nil {
			return
		}
	}
}

// freeze keeps all connections open, but reads from none of them; new ones are
// accepted.
func (p *proxy) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.SetReadDeadline(time.Now())
	}
}

// cut ends all connections; new ones are accepted.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}
