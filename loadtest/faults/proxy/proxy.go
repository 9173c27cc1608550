package proxy

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"time"
)

// Mode says what becomes of the bytes.
type Mode int

// The modes.
const (
	Forward Mode = iota
	Blackhole
	Reset
)

const (
	dialTimeout = 3 * time.Second
	bufferSize  = 64 << 10
)

// Proxy listens on a loopback port and forwards to a target. Its methods may
// be called from any goroutine.
type Proxy struct {
	listener net.Listener
	done     sync.WaitGroup

	mu      sync.Mutex // guards what follows
	changed sync.Cond  // the mode, or what links there are
	target  string
	mode    Mode
	delay   time.Duration
	jitter  time.Duration
	rng     *rand.Rand
	links   map[*link]bool
	held    int // bytes from clients that were read and not forwarded
}

// link is one client's connection and, once dialled, the target's.
type link struct{ client, server net.Conn }

// New starts a proxy to the target, host:port. The seed decides the jitter.
func New(target string, seed uint64) (*Proxy, error) {
	var lc net.ListenConfig
	listener, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	p := &Proxy{
		target: target, listener: listener, links: map[*link]bool{},
		rng: rand.New(rand.NewPCG(seed, 0)), //nolint:gosec // repeatable delays, no secret
	}
	p.changed.L = &p.mu
	p.done.Go(p.accept)
	return p, nil
}

// Address is where the proxy listens, host:port.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

// Set changes the mode.
func (p *Proxy) Set(m Mode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mode = m
	if m == Reset {
		p.resetAll()
	}
	p.changed.Broadcast()
}

// Freeze stops reading from the connections that are open, as if their other end had
// vanished. New ones follow the mode.
func (p *Proxy) Freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		_ = l.client.SetReadDeadline(time.Now())
		if l.server != nil {
			_ = l.server.SetReadDeadline(time.Now())
		}
	}
}

// Lead forwards the connections that are made from now on to another target.
func (p *Proxy) Lead(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

// Slow delays every read by delay and at most jitter more, in both directions.
func (p *Proxy) Slow(delay, jitter time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay, p.jitter = delay, jitter
}

// Held is how many bytes clients have sent that wait in a Blackhole.
func (p *Proxy) Held() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held
}

// Close resets all connections, stops listening and waits until all has ended.
func (p *Proxy) Close() {
	_ = p.listener.Close()
	p.Set(Reset)
	p.done.Wait()
}

// resetAll ends all connections with RST. The caller holds mu.
func (p *Proxy) resetAll() {
	for l := range p.links {
		reset(l.client)
		reset(l.server)
	}
}

func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
		_ = tcp.Close()
	}
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.done.Go(func() { p.serve(client) })
	}
}

// serve carries one connection until either side ends it.
func (p *Proxy) serve(client net.Conn) {
	l := &link{client: client}
	if !p.enter(l) {
		reset(client)
		return
	}
	defer p.leave(l)
	if !p.pass(l) { // in a Blackhole no connection is made
		return
	}
	p.mu.Lock()
	target := p.target
	p.mu.Unlock()
	dialer := net.Dialer{Timeout: dialTimeout}
	server, err := dialer.DialContext(context.Background(), "tcp", target)
	if err != nil {
		return
	}
	p.mu.Lock()
	l.server = server
	p.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { p.pump(l, client, server, &p.held) })
	both.Go(func() { p.pump(l, server, client, new(int)) })
	both.Wait()
}

func (p *Proxy) enter(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mode == Reset {
		return false
	}
	p.links[l] = true
	return true
}

func (p *Proxy) leave(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
	p.changed.Broadcast()
	reset(l.client)
	reset(l.server)
}

// chunk is bytes and when they may pass.
type chunk struct {
	data []byte
	due  time.Time
}

// pump forwards one direction. Reading goes on while earlier bytes are
// delayed, so that slowness costs time and no throughput. The end of one
// direction ends the link: no client here half-closes.
func (p *Proxy) pump(l *link, from, to net.Conn, held *int) {
	chunks := make(chan chunk, 1024)
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(chunks)
		for buf := make([]byte, bufferSize); ; {
			n, err := from.Read(buf)
			if n > 0 {
				chunks <- chunk{append([]byte(nil), buf[:n]...), time.Now().Add(p.wait())}
				p.add(held, n)
			}
			if errors.Is(err, os.ErrDeadlineExceeded) {
				p.untilEnd(l)
			}
			if err != nil {
				return
			}
		}
	})
	for c := range chunks {
		time.Sleep(time.Until(c.due))
		ok := p.pass(l)
		p.add(held, -len(c.data))
		if !ok {
			break
		}
		if _, err := to.Write(c.data); err != nil {
			break
		}
	}
	p.mu.Lock()
	if l.server != nil {
		_ = l.server.Close()
	}
	_ = l.client.Close()
	p.mu.Unlock()
	for c := range chunks {
		p.add(held, -len(c.data))
	}
	reading.Wait()
}

func (p *Proxy) add(held *int, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	*held += n
}

func (p *Proxy) wait() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.jitter <= 0 {
		return p.delay
	}
	return p.delay + time.Duration(p.rng.Int64N(int64(p.jitter)))
}

// untilEnd waits until the link is to end.
func (p *Proxy) untilEnd(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.mode != Reset && p.links[l] {
		p.changed.Wait()
	}
}

// pass waits until bytes may pass; false: the link ends instead.
func (p *Proxy) pass(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.mode == Blackhole && p.links[l] {
		p.changed.Wait()
	}
	return p.mode == Forward && p.links[l]
}
