package stream_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"notsale/pkg/effort"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
)

// certain fails unless the error says that nothing was stored.
func certain(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, stream.ErrUnavailable) || errors.Is(err, stream.ErrAmbiguous) {
		t.Errorf("%s: %v, want ErrUnavailable", what, err)
	}
}

func TestAStreamThatDoesNotExist(t *testing.T) {
	t.Parallel()
	_, c := start(t)
	certain(t, "pack", c.PublishPack(t.Context(), 1, []byte("pack")))
	certain(t, "attempts", c.PublishAttempts(t.Context(), 0, []byte("attempts")))
}

// A full stream refuses new messages and keeps the old ones.
func TestAFullStream(t *testing.T) {
	t.Parallel()
	test, _ := start(t)
	cfg := config(test.NATSURL)
	cfg.SaleBytes = 64 << 10
	c := connect(t, cfg)
	open(t, c)
	pack, stored := make([]byte, 8<<10), uint64(1)
	var err error
	for stored < 100 {
		if err = c.PublishPack(t.Context(), 1, pack); err != nil {
			break
		}
		stored++
	}
	certain(t, "full", err)
	if !errors.Is(err, stream.ErrFull) {
		t.Errorf("%v, want ErrFull", err)
	}
	if got := last(t, c); got != stored || stored < 5 {
		t.Errorf("the stream ends at %d, %d were stored", got, stored)
	}
	if _, err := c.Opening(t.Context(), 1); err != nil {
		t.Errorf("the opening record: %v", err)
	}
	if err := c.PublishAttempts(t.Context(), 1, pack); err != nil {
		t.Errorf("the other stream: %v", err)
	}
}

func TestMessagesThatAreTooLarge(t *testing.T) {
	t.Parallel()
	_, c := start(t)
	open(t, c)
	if err := c.PublishPack(t.Context(), 1, make([]byte, wire.MaxMessage)); err != nil {
		t.Errorf("the largest pack: %v", err)
	}
	for _, size := range []int{wire.MaxMessage + 8<<10, 2 << 20, 9 << 20} {
		certain(t, fmt.Sprintf("%d bytes", size), c.PublishPack(t.Context(), 1, make([]byte, size)))
	}
	if got := last(t, c); got != 2 {
		t.Errorf("the stream ends at %d", got)
	}
}

// Without NATS a publish fails at once and is certainly not stored. When NATS is back,
// the client works again.
func TestARestartOfNATS(t *testing.T) {
	t.Parallel()
	test, c := start(t)
	opening := open(t, c)
	publish(t, c, "before")
	test.StopNATS()
	eventually(t, "the client learns of it", func() error {
		if c.Connected() {
			return errors.New("connected")
		}
		return nil
	})
	started := time.Now()
	for range 200 {
		certain(t, "while NATS is stopped", c.PublishPack(t.Context(), 1, []byte("never")))
	}
	effort.Figure(t, "200 publishes without NATS fail in", time.Since(started), time.Second/2)
	if err := c.Ping(t.Context()); !errors.Is(err, stream.ErrUnavailable) {
		t.Errorf("ping: %v", err)
	}
	test.StartNATS()
	took := eventually(t, "publish again", func() error { return c.PublishPack(t.Context(), 1, []byte("after")) })
	effort.Figure(t, "a client is back after NATS", took, 3*time.Second)
	if err := c.Ping(t.Context()); err != nil {
		t.Errorf("ping: %v", err)
	}
	again, err := c.Opening(t.Context(), 1)
	if err != nil || !again.Created.Equal(opening.Created) || again.Message.Hash() != opening.Message.Hash() {
		t.Errorf("the opening after the restart is %+v, %v\nbefore %+v", again, err, opening)
	}
	if m, err := c.Message(t.Context(), 1, 2); err != nil || string(m.Data) != "before" {
		t.Errorf("message 2 is %q, %v", m.Data, err)
	}
}

// The acknowledgement is lost on its way: the message is stored, and when its context
// ends, the publish fails as ambiguous.
func TestALostAcknowledgement(t *testing.T) {
	t.Parallel()
	test, direct := start(t)
	open(t, direct)
	p, address := between(t, test.NATSURL)
	c := connect(t, config(address))
	publish(t, c, "heard")

	p.deaf.Store(true)
	err := c.PublishPack(brief(t), 1, []byte("lost"))
	if !errors.Is(err, stream.ErrAmbiguous) || errors.Is(err, stream.ErrUnavailable) {
		t.Errorf("%v, want ErrAmbiguous", err)
	}
	eventually(t, "the message is stored", func() error {
		if got := last(t, direct); got != 3 {
			return fmt.Errorf("the stream ends at %d, want 3", got)
		}
		return nil
	})
}

// When the connection breaks while a publish waits for its acknowledgement, the publish
// fails without waiting for its timeout.
func TestABrokenConnection(t *testing.T) {
	t.Parallel()
	test, direct := start(t)
	open(t, direct)
	p, address := between(t, test.NATSURL)
	c := connect(t, config(address))
	publish(t, c, "heard")

	p.deaf.Store(true)
	published := make(chan error, 1)
	go func() { published <- c.PublishPack(t.Context(), 1, []byte("lost")) }()
	eventually(t, "stored", func() error {
		if last(t, direct) < 3 {
			return errors.New("not yet")
		}
		return nil
	})
	p.deaf.Store(false)
	p.cut()
	if err := receive(t, "the error", published); !errors.Is(err, stream.ErrAmbiguous) {
		t.Errorf("%v, want ErrAmbiguous", err)
	}
	eventually(t, "publish again", func() error { return c.PublishPack(t.Context(), 1, []byte("again")) })
}

func TestConnect(t *testing.T) {
	t.Parallel()
	test, _ := start(t)
	test.StopNATS()
	if _, err := stream.Connect(brief(t), config(test.NATSURL), quiet()); err == nil || !strings.Contains(err.Error(), "NATS_URL") {
		t.Errorf("nobody listens: %v, want an error that names the setting", err)
	}
	type result struct {
		client *stream.Client
		err    error
	}
	connected := make(chan result, 1)
	go func() {
		c, err := stream.Connect(t.Context(), config(test.NATSURL), quiet())
		connected <- result{c, err}
	}()
	test.StartNATS()
	r := receive(t, "the patient client", connected)
	if r.err != nil {
		t.Fatal(r.err)
	}
	if err := r.client.Ping(t.Context()); err != nil || !r.client.Connected() {
		t.Errorf("ping: %v", err)
	}
	r.client.Close()
	if r.client.Connected() {
		t.Error("connected after Close")
	}
	certain(t, "after Close", r.client.PublishPack(t.Context(), 1, []byte("late")))
}

// Replies reach their edge in order, and no other edge.
func TestReplies(t *testing.T) {
	t.Parallel()
	test, allocator := start(t)
	edge := connect(t, config(test.NATSURL))
	toA, toB := make(chan string, 1000), make(chan string, 1000)
	stopA, err := edge.Replies("a", func(data []byte) { toA <- string(data) })
	if err != nil {
		t.Fatal(err)
	}
	stopB, err := edge.Replies("b", func(data []byte) { toB <- string(data) })
	if err != nil {
		t.Fatal(err)
	}
	defer stopB()
	if err := edge.Ping(t.Context()); err != nil { // the server knows the subscriptions by then
		t.Fatal(err)
	}
	for n := range 100 {
		if err := allocator.Reply("a", fmt.Append(nil, n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := allocator.Reply("b", []byte("for b")); err != nil {
		t.Fatal(err)
	}
	for n := range 100 {
		if got := receive(t, "a reply for a", toA); got != fmt.Sprint(n) {
			t.Fatalf("reply %s, want %d", got, n)
		}
	}
	if got := receive(t, "the reply for b", toB); got != "for b" || len(toA) != 0 {
		t.Errorf("b got %s, a got %d more", got, len(toA))
	}
	stopA()
	for _, to := range []string{"a", "b"} {
		if err := allocator.Reply(to, []byte("late")); err != nil {
			t.Fatal(err)
		}
	}
	if got := receive(t, "another reply for b", toB); got != "late" || len(toA) != 0 {
		t.Errorf("b got %s, a got %d after it had stopped", got, len(toA))
	}
}
