package stream_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"notsale/pkg/effort"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
)

// load publishes more than a connection that nobody reads from takes, and returns
// how each publish ended.
func load(t *testing.T, c *stream.Client) (ends chan error) {
	t.Helper()
	const packs = 24
	ends = make(chan error, packs)
	for range packs {
		go func() { ends <- c.PublishPack(t.Context(), 1, make([]byte, wire.MaxMessage)) }()
	}
	eventually(t, "a write waits", func() error {
		if running("internal/poll.(*pollDesc).waitWrite") == 0 {
			return errors.New("not yet")
		}
		return nil
	})
	return ends
}

// soon waits for something that the library alone would delay by a minute.
func soon(t *testing.T, what string, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	select {
	case <-done:
	case <-time.After(patience / 2):
		t.Fatalf("%s: nothing happens", what)
	}
}

// The connection goes silent while large packs are written, so that the library waits
// in a write with its lock held. Alone, it would wait for a minute, and block every
// call, though a new connection would work.
func TestASessionThatDiesInAWrite(t *testing.T) {
	t.Parallel()
	test, direct := start(t)
	open(t, direct)
	p, address := between(t, test.NATSURL)
	c := connect(t, config(address))
	publish(t, c, "heard")

	p.freeze()
	died := time.Now()
	ends := load(t, c)
	soon(t, "those who only ask", func() {
		c.Connected()
		if err := errors.Join(c.Refused(), c.Ping(brief(t))); !errors.Is(err, stream.ErrUnavailable) {
			t.Errorf("ping: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := c.PublishPack(ctx, 1, []byte("given up")); err == nil {
			t.Error("stored, though nobody waited")
		}
	})
	soon(t, "those who publish", func() {
		for range cap(ends) {
			if err := <-ends; !errors.Is(err, stream.ErrAmbiguous) && !errors.Is(err, stream.ErrUnavailable) {
				t.Errorf("%v", err)
			}
		}
		eventually(t, "publish again", func() error { return c.PublishPack(t.Context(), 1, []byte("again")) })
	})
	effort.Figure(t, "a client is back after its session has died under load", time.Since(died), 3*time.Second)

	p.freeze()
	load(t, c)
	soon(t, "a stop", c.Close)
}
