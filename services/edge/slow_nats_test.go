//go:build unix

package edge_test

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"notsale/loadtest/faults/proxy"
	"notsale/pkg/backends/backendstest/testlog"
	"notsale/services/edge"
	"notsale/services/servicetest"
)

// NATS acknowledges after more than a second, because its network is slow or
// its disk. No checkout had got a code, though all were recorded, and each
// purchase was stored five times.
func TestANATSThatIsSlowToStoreSellsSlowly(t *testing.T) {
	t.Parallel()
	for name, between := range map[string]func(t *testing.T, target string) (address string, slow func()){
		"a round trip of 1.2 s": func(t *testing.T, target string) (string, func()) {
			t.Helper()
			way, err := proxy.New(target, 1)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(way.Close)
			return way.Address(), func() { way.Slow(600*time.Millisecond, 0) }
		},
		"a flush of 3 s": func(t *testing.T, target string) (string, func()) {
			t.Helper()
			return slowStore(t, target, 3*time.Second), func() {}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sellsSlowly(t, between)
		})
	}
}

func sellsSlowly(t *testing.T, between func(t *testing.T, target string) (address string, slow func())) {
	t.Helper()
	stage := servicetest.New(t)
	direct := stage.NATSURL
	through, err := url.Parse(direct)
	if err != nil {
		t.Fatal(err)
	}
	address, slow := between(t, through.Host)
	through.Host = address
	var log testlog.Log
	stage.NATSURL, stage.Log = through.String(), slog.New(slog.NewTextHandler(io.MultiWriter(&log, t.Output()), nil))
	f := frontOn(t, stage, func(c *edge.Config) { c.PurchaseWait, c.CheckoutWait = servicetest.Patience, servicetest.Patience })
	stage.NATSURL = direct
	of := f.OpenSale(5, 10)
	f.Allocate()
	first := int64(of.FirstItem)
	decided(t, f.Shop, f.code(f.Keys, of, of.FirstItem, "ann", time.Hour)) // the edge and the allocator know the sale
	slow()
	var before int64
	for n := range int64(2) {
		a := f.Purchase(t, f.Checkout(t, "bob", first+n+1).Code)
		var body struct{ Position int64 }
		a.Decode(t, &body)
		again := before > 0 && body.Position != before+1 && !strings.Contains(log.String(), "NATS disconnected") // by pings, on a busy machine
		if a.Status != http.StatusOK || again {
			t.Errorf("%d %s, want 200 at the position after %d", a.Status, a.Body, before)
		}
		before = body.Position
		if err := f.Edge.Ready(t.Context()); err != nil {
			t.Errorf("it sells, and is not ready: %v", err)
		}
	}
	if got := strings.Count(log.String(), "slow to store"); got != 1 {
		t.Errorf("said %d times, want once", got)
	}
}

// slowStore stands between clients and a NATS server. What is published to the
// streams of sales arrives late and holds nothing else up, as where the server is
// slow to flush.
func slowStore(t *testing.T, target string, delay time.Duration) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", target)
			if err != nil {
				_ = client.Close()
				continue
			}
			go func() {
				defer client.Close()
				_, _ = io.Copy(client, server)
			}()
			go func() {
				defer server.Close()
				delayed(client, server, delay)
			}()
		}
	}()
	return listener.Addr().String()
}

// delayed forwards a client's protocol until its connection ends.
func delayed(client io.Reader, server io.Writer, delay time.Duration) {
	var mu sync.Mutex // one operation at a time
	write := func(operation []byte) {
		mu.Lock()
		defer mu.Unlock()
		_, _ = server.Write(operation) // where it fails, the client hears of it
	}
	for in := bufio.NewReader(client); ; {
		operation, err := in.ReadBytes('\n')
		if err != nil {
			return
		}
		words := strings.Fields(string(operation))
		if words[0] != "PUB" && words[0] != "HPUB" {
			write(operation)
			continue
		}
		size, _ := strconv.Atoi(words[len(words)-1])
		payload := make([]byte, size+len("\r\n"))
		if _, err := io.ReadFull(in, payload); err != nil {
			return
		}
		operation = append(operation, payload...)
		if strings.HasPrefix(words[1], "purchases.") || strings.HasPrefix(words[1], "checkouts.") {
			time.AfterFunc(delay, func() { write(operation) })
			continue
		}
		write(operation)
	}
}
