package stream_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"notsale/pkg/backends/backendstest"
	"notsale/pkg/stream"
)

func read(t *testing.T, c *stream.Client, from uint64) *stream.Reader {
	t.Helper()
	r, err := c.Read(t.Context(), 1, from)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// owner reads a sale's stream as a service does: when a reader has ended, as it may on
// a busy machine that misses heartbeats, another starts at the next message.
type owner struct {
	c      *stream.Client
	reader *stream.Reader
	due    uint64
	again  int // how many readers have ended
}

func (o *owner) next(t *testing.T) stream.Message {
	t.Helper()
	late := time.After(patience)
	for {
		select {
		case m, open := <-o.reader.Messages():
			if open {
				o.due++
				return m
			}
		case <-late:
			t.Fatalf("message %d: nothing came", o.due)
		}
		err := o.reader.Err()
		t.Logf("the reader has ended before message %d: %v", o.due, err)
		o.again++
		if o.again > 2 || errors.Is(err, stream.ErrGap) || errors.Is(err, stream.ErrLost) {
			t.Fatalf("message %d: %v", o.due, err)
		}
		o.reader.Stop()
		eventually(t, "read again", func() (err error) {
			o.reader, err = o.c.Read(t.Context(), 1, o.due)
			return err
		})
	}
}

// ended waits until the reader has ended and returns why.
func ended(t *testing.T, r *stream.Reader) error {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		for range r.Messages() {
		}
		done <- r.Err()
	}()
	return receive(t, "the reader's end", done)
}

// A reader delivers every message from where it starts, in order, with the stream's
// timestamps, and then those that are published later.
func TestReadFromAnySequence(t *testing.T) {
	t.Parallel()
	_, c := start(t)
	open(t, c)
	const stored, later = 300, 5 // more than a reader holds
	for n := 2; n <= stored; n++ {
		publish(t, c, fmt.Sprintf("pack %d", n))
	}
	for _, from := range []uint64{1, 2, 150, stored, stored + 1} {
		o := &owner{c: c, reader: read(t, c, from), due: from}
		defer func() { o.reader.Stop() }()
		var before stream.Message
		for want := from; want <= stored; want++ {
			m := o.next(t)
			if m.Sequence != want || want > 1 && string(m.Data) != fmt.Sprintf("pack %d", want) || m.Time < before.Time {
				t.Fatalf("from %d: %+v after %+v, want sequence %d", from, m, before, want)
			}
			if want%100 == 0 {
				if asked, err := c.Message(t.Context(), 1, want); err != nil || asked.Time != m.Time || asked.Hash() != m.Hash() {
					t.Errorf("message %d: read %+v, asked %+v, %v", want, m, asked, err)
				}
			}
			before = m
		}
		if from != stored+1 {
			continue
		}
		for n := uint64(1); n <= later; n++ { // now that everything has been read
			publish(t, c, "later")
			if m := o.next(t); m.Sequence != stored+n || string(m.Data) != "later" {
				t.Errorf("%+v, want sequence %d", m, stored+n)
			}
		}
	}
}

// A reader ends when the stream may have changed: the server stops, or the stream is
// deleted.
func TestReadersEndWithAnError(t *testing.T) {
	t.Parallel()
	for name, break_ := range map[string]func(t *testing.T, stop func(), js jetstream.JetStream){
		"NATS stops": func(_ *testing.T, stop func(), _ jetstream.JetStream) { stop() },
		"the stream is deleted": func(t *testing.T, _ func(), js jetstream.JetStream) {
			t.Helper()
			if err := js.DeleteStream(t.Context(), "SALE_1"); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test, c := start(t)
			open(t, c)
			r := read(t, c, 1)
			receive(t, "the opening record", r.Messages())
			break_(t, test.StopNATS, look(t, test.NATSURL))
			if err := ended(t, r); err == nil {
				t.Error("no error")
			}
			r.Stop()
			if err := r.Err(); err == nil {
				t.Error("Stop has removed the error")
			}
		})
	}
}

// After a restart of NATS a new reader continues where the old one ended.
func TestReadAgainAfterARestart(t *testing.T) {
	t.Parallel()
	test, c := start(t)
	open(t, c)
	publish(t, c, "two")
	r := read(t, c, 1)
	receive(t, "message 1", r.Messages())
	receive(t, "message 2", r.Messages())
	test.StopNATS()
	if err := ended(t, r); err == nil {
		t.Error("no error")
	}
	r.Stop()
	test.StartNATS()
	eventually(t, "publish", func() error { return c.PublishPack(t.Context(), 1, []byte("three")) })
	r = read(t, c, 3)
	defer r.Stop()
	if m := receive(t, "message 3", r.Messages()); m.Sequence != 3 || string(m.Data) != "three" {
		t.Errorf("%+v", m)
	}
}

// A reader notices that a message was deleted.
func TestAGapEndsTheReader(t *testing.T) {
	t.Parallel()
	test, c := start(t)
	js := look(t, test.NATSURL)
	s, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "SALE_1", Subjects: []string{"purchases.1"}})
	if err != nil {
		t.Fatal(err)
	}
	open(t, c)
	publish(t, c, "two", "three")
	if err := s.DeleteMsg(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	r := read(t, c, 1)
	defer r.Stop()
	if m := receive(t, "message 1", r.Messages()); m.Sequence != 1 {
		t.Errorf("%+v", m)
	}
	if err := ended(t, r); !errors.Is(err, stream.ErrGap) {
		t.Errorf("%v, want ErrGap", err)
	}
}

// Stop ends everything that a reader has started, also when nobody takes its
// messages. This test runs alone, so that it sees no other test's goroutines.
//
//nolint:paralleltest // see above
func TestStopLeaksNothing(t *testing.T) {
	_, c := start(t)
	open(t, c)
	for n := range 2*stream.ReadAhead + 10 {
		publish(t, c, fmt.Sprint(n))
	}
	parts := []string{"stream.(*Reader)", "jetstream.(*pullSubscription)", "jetstream.(*pullConsumer)"}
	for range 5 {
		r := read(t, c, 1)
		receive(t, "a message", r.Messages())
		eventually(t, "the reader is full", func() error {
			if len(r.Messages()) < stream.ReadAhead {
				return fmt.Errorf("%d messages", len(r.Messages()))
			}
			return nil
		})
		r.Stop()
		if r.Err() == nil {
			t.Error("a stopped reader has no error")
		}
	}
	attempts, err := c.ReadAttempts(t.Context(), ofOne, 1)
	if err != nil {
		t.Fatal(err)
	}
	attempts.Stop()
	eventually(t, "no goroutine is left", func() error {
		if n := running(parts...); n > 0 {
			return fmt.Errorf("%d are left", n)
		}
		return nil
	})
}

// A server that allows only small batches delivers all messages.
func TestASmallBatchIsEnough(t *testing.T) {
	t.Parallel()
	nats := backendstest.Configure(t, "jetstream { store_dir: STORE, max_file_store: 1GB, limits { max_request_batch: 2 } }")
	c := connect(t, config(nats.URL("")))
	open(t, c)
	publish(t, c, "one", "two", "three", "four", "five")
	r, err := c.Read(t.Context(), 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Stop()
	for n := uint64(1); n <= 6; n++ { // the opening record is the first
		if m := receive(t, "a message", r.Messages()); m.Sequence != n {
			t.Errorf("%d comes for %d", m.Sequence, n)
		}
	}
}
