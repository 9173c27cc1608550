package stream_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"notsale/pkg/effort"
	"notsale/pkg/stream"
)

func readAttempts(t *testing.T, c *stream.Client) *stream.AttemptReader {
	t.Helper()
	r, err := c.ReadAttempts(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func next(t *testing.T, r *stream.AttemptReader) stream.AttemptMessage {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	m, err := r.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestAttemptsWaitForTheirRecorder(t *testing.T) {
	t.Parallel()
	test, c := start(t)
	open(t, c)
	for n := range 5 {
		if err := c.PublishAttempts(t.Context(), 1, fmt.Append(nil, n)); err != nil {
			t.Fatal(err)
		}
	}
	r := readAttempts(t, c)
	defer r.Stop()
	for n := range 5 {
		m := next(t, r)
		if string(m.Data) != fmt.Sprint(n) {
			t.Errorf("message %q, want %d", m.Data, n)
		}
		if err := m.Ack(); err != nil {
			t.Error(err)
		}
	}
	if m, err := r.Next(brief(t)); err == nil {
		t.Errorf("message %q came again", m.Data)
	}
	consumer, err := look(t, test.NATSURL).Consumer(t.Context(), "CHECKOUTS_1", "recorder")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "all are acknowledged", func() error {
		if info, err := consumer.Info(t.Context()); err != nil || info.NumAckPending != 0 || info.NumPending != 0 {
			return fmt.Errorf("%+v, %w", info, err)
		}
		return nil
	})
}

// A message that a recorder took to its grave comes to the next one.
func TestUnacknowledgedAttemptsComeAgain(t *testing.T) {
	t.Parallel()
	test, c := start(t)
	open(t, c)
	for n := range 2 {
		if err := c.PublishAttempts(t.Context(), 1, fmt.Append(nil, n)); err != nil {
			t.Fatal(err)
		}
	}
	dying := readAttempts(t, c)
	recorded := next(t, dying)
	if err := recorded.Ack(); err != nil {
		t.Fatal(err)
	}
	taken := next(t, dying)
	dying.Stop()
	if _, err := dying.Next(t.Context()); err == nil {
		t.Error("a stopped reader gives messages")
	}
	heir := readAttempts(t, connect(t, config(test.NATSURL)))
	defer heir.Stop()
	started := time.Now()
	m := next(t, heir)
	if string(m.Data) != string(taken.Data) {
		t.Errorf("message %q, want %q", m.Data, taken.Data)
	}
	effort.Figure(t, "an attempt that a dead recorder had taken comes again after", time.Since(started), 6*time.Second)
	if err := m.Ack(); err != nil {
		t.Error(err)
	}
}

// Two recorders share the messages of one stream, none comes to both.
func TestTwoRecordersShareTheWork(t *testing.T) {
	t.Parallel()
	test, c := start(t)
	open(t, c)
	readers := []*stream.AttemptReader{readAttempts(t, c), readAttempts(t, connect(t, config(test.NATSURL)))}
	consumer, err := look(t, test.NATSURL).Consumer(t.Context(), "CHECKOUTS_1", "recorder")
	if err != nil {
		t.Fatal(err)
	}
	const messages = 100
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		seen = map[string]int{}
		all  = make(chan struct{})
	)
	took := make([]int, len(readers))
	for i, r := range readers {
		wg.Go(func() {
			for {
				m, err := r.Next(t.Context())
				if err != nil {
					return
				}
				if err := m.Ack(); err != nil {
					t.Error(err)
				}
				mu.Lock()
				took[i]++
				if seen[string(m.Data)]++; len(seen) == messages {
					close(all)
				}
				mu.Unlock()
			}
		})
	}
	eventually(t, "both wait for messages", func() error {
		if info, err := consumer.Info(t.Context()); err != nil || info.NumWaiting < 2 {
			return errors.New("not yet")
		}
		return nil
	})
	for n := range messages {
		if err := c.PublishAttempts(t.Context(), 1, fmt.Append(nil, n)); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-all:
	case <-time.After(patience):
		t.Error("messages are missing")
	}
	for _, r := range readers {
		r.Stop()
	}
	wg.Wait()
	if took[0]+took[1] != messages || took[0] == 0 || took[1] == 0 {
		t.Errorf("of %d messages the recorders took %v", messages, took)
	}
}

// The attempts of no sale have a stream of their own.
func TestAttemptsOfNoSale(t *testing.T) {
	t.Parallel()
	_, c := start(t)
	if err := c.CreateUnsold(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.PublishAttempts(t.Context(), 0, []byte("unknown item")); err != nil {
		t.Fatal(err)
	}
	r, err := c.ReadAttempts(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Stop()
	if m := next(t, r); string(m.Data) != "unknown item" {
		t.Errorf("%q", m.Data)
	}
}

// A recorder that lived through a restart of NATS loses nothing: it reads on,
// or its reader ends and the next one does.
func TestAttemptsSurviveARestart(t *testing.T) {
	t.Parallel()
	test, c := start(t)
	open(t, c)
	if err := c.PublishAttempts(t.Context(), 1, []byte("before")); err != nil {
		t.Fatal(err)
	}
	first := readAttempts(t, c)
	if m := next(t, first); string(m.Data) != "before" || m.Ack() != nil {
		t.Fatalf("%q", m.Data)
	}
	test.StopNATS()
	test.StartNATS()
	eventually(t, "publish", func() error { return c.PublishAttempts(t.Context(), 1, []byte("after")) })
	first.Stop()
	eventually(t, "the message of after", func() error {
		r, err := c.ReadAttempts(t.Context(), 1)
		if err != nil {
			return err
		}
		defer r.Stop()
		ctx, cancel := context.WithTimeout(t.Context(), patience/2)
		defer cancel()
		m, err := r.Next(ctx)
		if err == nil && string(m.Data) != "after" { // the acknowledgement may have been lost with NATS
			_ = m.Ack()
			return fmt.Errorf("%q", m.Data)
		}
		return err
	})
}
