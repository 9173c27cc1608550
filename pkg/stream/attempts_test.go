package stream_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"notsale/pkg/stream"
	"notsale/pkg/wire"
)

// ofOne is the stream of sale 1's attempts.
var ofOne = wire.AttemptStream{Sale: 1}

func readAttempts(t *testing.T, c *stream.Client, from uint64) *stream.Reader {
	t.Helper()
	r, err := c.ReadAttempts(t.Context(), ofOne, from)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func publishAttempts(t *testing.T, c *stream.Client, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if err := c.PublishAttempts(t.Context(), 0, []byte(text)); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
}

// of no sale: what the streams hold, with the numbers.
func unsold(t *testing.T, c *stream.Client, first, last uint64) (texts []string) {
	t.Helper()
	for m, err := range c.AttemptMessages(t.Context(), 0, first, last) {
		if err != nil {
			t.Fatal(err)
		}
		part, sequence := wire.Numbered(m.Sequence)
		texts = append(texts, fmt.Sprintf("%d/%d %s", part, sequence, m.Data))
	}
	return texts
}

// A stream of attempts does not store how far it was read.
func TestAttemptsAreReadFromACursor(t *testing.T) {
	t.Parallel()
	test, c := start(t)
	open(t, c)
	for n := range 5 {
		if err := c.PublishAttempts(t.Context(), 1, fmt.Append(nil, n+1)); err != nil {
			t.Fatal(err)
		}
	}
	for _, from := range []uint64{1, 4} {
		r := readAttempts(t, c, from)
		for n := from; n <= 5; n++ {
			m := receive(t, "an attempt", r.Messages())
			again, err := c.AttemptMessage(t.Context(), ofOne, n)
			if m.Sequence != n || string(m.Data) != fmt.Sprint(n) || err != nil || again.Time != m.Time || again.Hash() != m.Hash() {
				t.Errorf("%d: %+v, asked for %+v, %v", n, m, again, err)
			}
		}
		r.Stop()
	}
	js := look(t, test.NATSURL)
	if _, err := js.CreateConsumer(t.Context(), "CHECKOUTS_1", jetstream.ConsumerConfig{Durable: "recorder"}); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time changes nothing
		if err := c.DeleteOldRecorder(t.Context(), ofOne); err != nil {
			t.Error(err)
		}
	}
	if _, err := js.Consumer(t.Context(), "CHECKOUTS_1", "recorder"); !errors.Is(err, jetstream.ErrConsumerNotFound) {
		t.Errorf("the consumer of earlier recorders: %v", err)
	}
}

// Attempts of no sale go on in the next part without one being refused, also for
// clients that publish while it is made, and if an earlier version made the first part.
func TestAttemptsOfNoSaleGoOnInTheNextPart(t *testing.T) {
	t.Parallel()
	test, c := start(t)
	if err := c.PublishAttempts(t.Context(), 0, []byte("too early")); !errors.Is(err, stream.ErrUnavailable) || errors.Is(err, stream.ErrAmbiguous) {
		t.Errorf("without any part: %v", err)
	}
	const parts, publishers = 6, 3
	ctx, stop := context.WithCancel(t.Context())
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		sent = map[string]bool{}
	)
	if err := c.CreateUnsold(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	for p := range publishers {
		edge := connect(t, config(test.NATSURL))
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				text := fmt.Sprintf("%d of edge %d", n, p)
				if err := edge.PublishAttempts(t.Context(), 0, []byte(text)); err != nil {
					t.Errorf("%s: %v", text, err)
					continue
				}
				mu.Lock()
				sent[text] = true
				mu.Unlock()
			}
		})
	}
	for part := range parts {
		eventually(t, "somebody publishes to it", func() error {
			if state, err := c.UnsoldPart(t.Context(), part); err != nil || state.Last < publishers {
				return fmt.Errorf("%+v, %w", state, err)
			}
			return nil
		})
		if err := c.CreateUnsold(t.Context(), part+1); err != nil {
			t.Fatal(err)
		}
		if err := c.CloseUnsold(t.Context(), part); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	wg.Wait()
	for _, text := range unsold(t, c, 1, math.MaxUint64) {
		_, text, _ = strings.Cut(text, " ")
		delete(sent, text)
	}
	if len(sent) > 0 {
		t.Errorf("%d attempts were acknowledged and are nowhere", len(sent))
	}
	if got, err := c.UnsoldParts(t.Context()); err != nil || !slices.Equal(got, []int{0, 1, 2, 3, 4, 5, 6}) {
		t.Errorf("parts %v, %v", got, err)
	}
}

// The messages of all parts come in order, under numbers that stay the same when a part
// is removed. Only a sealed part can be removed.
func TestPartsAreReadAsOne(t *testing.T) {
	t.Parallel()
	_, c := start(t)
	for part, texts := range [][]string{0: {"a", "b"}, 1: nil, 2: {"c"}, 12: {"d", "e"}} {
		if texts == nil && part != 1 {
			continue
		}
		if err := c.CreateUnsold(t.Context(), part); err != nil {
			t.Fatal(err)
		}
		publishAttempts(t, c, texts...)
		if err := c.RemoveUnsold(t.Context(), part); !errors.Is(err, stream.ErrNotSealed) {
			t.Errorf("removing part %d, which takes attempts: %v", part, err)
		}
		if err := c.CloseUnsold(t.Context(), part); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(first, last uint64, want ...string) {
		t.Helper()
		if got := unsold(t, c, first, last); !slices.Equal(got, want) {
			t.Errorf("%d to %d: %q, want %q", first, last, got, want)
		}
	}
	number := func(part int, sequence uint64) uint64 { return wire.AttemptStream{Part: part}.Number(sequence) }
	expect(1, math.MaxUint64, "0/1 a", "0/2 b", "2/1 c", "12/1 d", "12/2 e")
	expect(number(0, 2), number(12, 1), "0/2 b", "2/1 c", "12/1 d")
	expect(number(2, 1), number(2, 1), "2/1 c")
	expect(number(2, 2), number(12, 0))
	expect(1, 1000)
	if err := c.PublishAttempts(t.Context(), 0, nil); !errors.Is(err, stream.ErrSealed) {
		t.Errorf("where no part takes attempts: %v, want ErrSealed", err)
	}
	for range 2 { // the second time changes nothing
		if err := c.RemoveUnsold(t.Context(), 0); err != nil {
			t.Error(err)
		}
	}
	expect(1, math.MaxUint64, "2/1 c", "12/1 d", "12/2 e")
}

// A reader ends with its session. The next one need not read the same again.
func TestAttemptsSurviveARestart(t *testing.T) {
	t.Parallel()
	test, c := start(t)
	open(t, c)
	if err := c.PublishAttempts(t.Context(), 1, []byte("before")); err != nil {
		t.Fatal(err)
	}
	first := readAttempts(t, c, 1)
	if m := receive(t, "a message", first.Messages()); string(m.Data) != "before" {
		t.Fatalf("%q", m.Data)
	}
	test.StopNATS()
	test.StartNATS()
	eventually(t, "publish", func() error { return c.PublishAttempts(t.Context(), 1, []byte("after")) })
	first.Stop()
	r := readAttempts(t, c, 2)
	defer r.Stop()
	if m := receive(t, "the message of after", r.Messages()); string(m.Data) != "after" {
		t.Errorf("%q", m.Data)
	}
}

// A flood of bad checkouts that a full part refuses does not become a flood of requests
// to JetStream, which would crowd out the schedulers' requests.
func TestARefusedFloodAsksLittle(t *testing.T) {
	t.Parallel()
	test, c := start(t)
	if err := c.CreateUnsold(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	full, err := c.Size(t.Context(), "CHECKOUTS_0_1")
	if err == nil {
		err = c.Resize(t.Context(), full, 1)
	}
	if err != nil {
		t.Fatal(err)
	}
	js := look(t, test.NATSURL)
	asked := func() int {
		t.Helper()
		info, err := js.AccountInfo(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return int(info.API.Total)
	}
	before := asked()
	const flood = 1000
	var refused sync.WaitGroup
	for range flood {
		refused.Go(func() {
			if err := c.PublishAttempts(t.Context(), 0, []byte("bad")); err == nil {
				t.Error("a full part has taken it")
			}
		})
	}
	refused.Wait()
	if n := asked() - before; n > flood {
		t.Errorf("%d requests to JetStream for %d refused checkouts", n, flood)
	} else {
		t.Logf("%d requests to JetStream for %d refused checkouts", n, flood)
	}
}
