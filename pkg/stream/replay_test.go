package stream_test

import (
	"fmt"
	"testing"
)

// If a stream is replaced by a shorter one during a replay, the replay ends where the
// stream now ends. A reader beyond the end of a stream would wait for ever.
func TestReplayOfAStreamThatGetsShorter(t *testing.T) {
	t.Parallel()
	const stored, kept, at = 600, 20, 10 // far more than is delivered ahead
	test, c := start(t)
	open(t, c)
	for n := 2; n <= stored; n++ {
		publish(t, c, fmt.Sprintf("pack %d", n))
	}
	js := look(t, test.NATSURL)
	got := uint64(0)
	for m, err := range c.Messages(t.Context(), 1, 1, stored) {
		if err != nil {
			t.Fatalf("after %d: %v", got, err)
		}
		if got++; m.Sequence != got {
			t.Fatalf("message %d, want %d", m.Sequence, got)
		}
		if got != at {
			continue
		}
		if err := js.DeleteStream(t.Context(), "SALE_1"); err != nil {
			t.Fatal(err)
		}
		open(t, c)
		for n := 2; n <= kept; n++ {
			publish(t, c, fmt.Sprintf("pack %d", n))
		}
	}
	if got < kept || got >= stored {
		t.Errorf("the replay ended after %d messages; the stream had %d, then %d", got, stored, kept)
	}
	left := 0
	for range c.Messages(t.Context(), 1, 1, stored) {
		left++
	}
	if left != kept {
		t.Errorf("replayed %d messages of %d", left, kept)
	}
}
