package stream_test

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"notsale/pkg/backends/backendstest"
	"notsale/pkg/effort"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(backendstest.Runner{M: m}) }

// patience is how long a test waits for what must happen soon.
const patience = effort.Patience

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func config(url string) stream.Config {
	cfg := patient()
	cfg.URL, cfg.Name, cfg.SaleBytes, cfg.AttemptBytes = url, "test", 16<<20, 16<<20
	return cfg
}

// patient is the default, with a longer timeout for a busy machine.
func patient() stream.Config {
	cfg := stream.DefaultConfig()
	cfg.RequestTimeout = patience
	return cfg
}

// connect opens a client, until the test ends.
func connect(t *testing.T, cfg stream.Config) *stream.Client {
	t.Helper()
	return connectTelling(t, cfg, quiet())
}

// connectTelling is connect, with a log.
func connectTelling(t *testing.T, cfg stream.Config, log *slog.Logger) *stream.Client {
	t.Helper()
	c, err := stream.Connect(t.Context(), cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// start gives the test a NATS server and a client of it.
func start(t *testing.T) (*backendstest.Test, *stream.Client) {
	t.Helper()
	test := backendstest.New(t)
	return test, connect(t, config(test.NATSURL))
}

// look connects without this package.
func look(t *testing.T, url string) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func testSale(id sale.ID) sale.Sale {
	return sale.Sale{
		Installation: sale.UUID{1}, UUID: sale.UUID{byte(id), 2}, ID: id, OpensAt: time.Date(2026, 1, 1, int(id), 0, 0, 0, time.UTC),
		Stock: 10, UserLimit: 2, FirstItem: sale.ItemID(1 + 10*id), Seed: 7, Rules: 1,
	}
}

// createSale makes a sale's streams and its opening record, as a scheduler does.
func createSale(ctx context.Context, c *stream.Client, s sale.Sale) (stream.Opening, error) {
	if opening, err := c.OpeningOf(ctx, s); !errors.Is(err, stream.ErrLost) {
		return opening, err
	}
	if err := c.CreateCheckouts(ctx, s.ID); err != nil {
		return stream.Opening{}, err
	}
	if err := c.CreatePurchases(ctx, s.ID); err != nil {
		return stream.Opening{}, err
	}
	if err := c.PublishOpening(ctx, s); err != nil {
		return stream.Opening{}, err
	}
	return c.OpeningOf(ctx, s)
}

// open makes the streams of sale 1.
func open(t *testing.T, c *stream.Client) stream.Opening {
	t.Helper()
	opening, err := createSale(t.Context(), c, testSale(1))
	if err != nil {
		t.Fatal(err)
	}
	return opening
}

// publish stores packs in the stream of sale 1.
func publish(t *testing.T, c *stream.Client, packs ...string) {
	t.Helper()
	for _, p := range packs {
		if err := c.PublishPack(t.Context(), 1, []byte(p)); err != nil {
			t.Fatal(err)
		}
	}
}

// last is the sequence of the last message of sale 1.
func last(t *testing.T, c *stream.Client) uint64 {
	t.Helper()
	info, err := c.Info(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	return info.Last
}

// eventually asks until the answer is nil, and returns how long that took.
func eventually(t *testing.T, what string, try func() error) time.Duration {
	t.Helper()
	started := time.Now()
	for {
		err := try()
		took := time.Since(started)
		if err == nil {
			return took
		}
		if took > patience {
			t.Fatalf("%s: %v", what, err)
		}
		<-time.After(10 * time.Millisecond)
	}
}

// receive waits for the next value.
func receive[T any](t *testing.T, what string, from <-chan T) T {
	t.Helper()
	select {
	case v, open := <-from:
		if !open {
			t.Fatalf("%s: the channel is closed", what)
		}
		return v
	case <-time.After(patience):
		t.Fatalf("%s: nothing came", what)
	}
	panic("unreachable")
}

// running counts the goroutines of this process that are in one of the functions.
func running(functions ...string) (n int) {
	buf := make([]byte, 1<<20)
	for stack := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		for _, f := range functions {
			if strings.Contains(stack, f) {
				n++
				break
			}
		}
	}
	return n
}

// entry is what the directory says of a sale.
func entry(id sale.ID, state sale.State) wire.Entry {
	return wire.Entry{Sale: testSale(id), State: state}
}

// brief is a context that ends soon.
func brief(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}
