package proxy_test

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"notsale/loadtest/faults/proxy"
	"notsale/pkg/effort"
)

// echo answers every byte with itself.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	return l.Addr().String()
}

func through(t *testing.T) (*proxy.Proxy, func() net.Conn) {
	t.Helper()
	p, err := proxy.New(echo(t), 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p, func() net.Conn {
		c, err := net.Dial("tcp", p.Address())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
}

func exchange(c net.Conn, word string, limit time.Duration) error {
	if _, err := c.Write([]byte(word)); err != nil {
		return err
	}
	return receive(c, word, limit)
}

func receive(c net.Conn, word string, limit time.Duration) error {
	_ = c.SetReadDeadline(time.Now().Add(limit))
	got := make([]byte, len(word))
	if _, err := io.ReadFull(c, got); err != nil {
		return err
	}
	if string(got) != word {
		return errors.New("got " + string(got))
	}
	return nil
}

const long = effort.Patience

func TestForwardAndSlow(t *testing.T) {
	p, dial := through(t)
	c := dial()
	if err := exchange(c, "hello", long); err != nil {
		t.Fatal(err)
	}
	p.Slow(50*time.Millisecond, 10*time.Millisecond)
	started := time.Now()
	if err := exchange(c, "hello", long); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(started); took < 100*time.Millisecond {
		t.Errorf("a round trip with 50 ms each way took %v", took)
	}
}

// A hole keeps old and new connections and forwards nothing; afterwards, what
// was sent arrives.
func TestBlackholeKeepsConnections(t *testing.T) {
	p, dial := through(t)
	old := dial()
	if err := exchange(old, "one", long); err != nil {
		t.Fatal(err)
	}
	p.Set(proxy.Blackhole)
	fresh := dial()
	for _, c := range []net.Conn{old, fresh} {
		if err := exchange(c, "two", 50*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("through a hole: %v", err)
		}
	}
	if p.Held() == 0 {
		t.Error("nothing is held")
	}
	p.Set(proxy.Forward)
	for _, c := range []net.Conn{old, fresh} {
		if err := receive(c, "two", long); err != nil {
			t.Errorf("after the hole: %v", err)
		}
	}
}

func TestResetEndsConnections(t *testing.T) {
	p, dial := through(t)
	c := dial()
	if err := exchange(c, "one", long); err != nil {
		t.Fatal(err)
	}
	p.Set(proxy.Reset)
	if err := exchange(c, "two", long); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after a reset: %v", err)
	}
	if fresh, err := net.Dial("tcp", p.Address()); err == nil { // the reset may come while it is made
		defer fresh.Close()
		if err := exchange(fresh, "three", long); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a new connection during a reset: %v", err)
		}
	}
	p.Set(proxy.Forward)
	if err := exchange(dial(), "four", long); err != nil {
		t.Errorf("after healing: %v", err)
	}
}
