package stream_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
)

// A sealed stream takes no messages, but delivers all that it has: to readers that
// were there before and to new ones, also after a restart.
func TestSeal(t *testing.T) {
	t.Parallel()
	test, c := start(t)
	opening := open(t, c)
	publish(t, c, "two")
	for n := range 2 {
		if err := c.PublishAttempts(t.Context(), 1, fmt.Append(nil, n)); err != nil {
			t.Fatal(err)
		}
	}
	recorder := readAttempts(t, c, 1)
	receive(t, "an attempt", recorder.Messages())
	for range 2 { // the second time changes nothing
		if err := c.Seal(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
	}
	refused := func() {
		t.Helper()
		for what, err := range map[string]error{
			"a pack": c.PublishPack(t.Context(), 1, []byte("three")), "an attempt": c.PublishAttempts(t.Context(), 1, []byte("2")),
		} {
			if !errors.Is(err, stream.ErrSealed) || !errors.Is(err, stream.ErrUnavailable) || errors.Is(err, stream.ErrAmbiguous) {
				t.Errorf("%s: %v, want ErrSealed", what, err)
			}
		}
	}
	refused()
	if m := receive(t, "an attempt after that", recorder.Messages()); string(m.Data) != "1" {
		t.Errorf("attempt %q", m.Data)
	}
	recorder.Stop()
	test.StopNATS()
	test.StartNATS()
	eventually(t, "the client is back", func() error { return c.Ping(t.Context()) })
	refused()
	heir := readAttempts(t, c, 2)
	defer heir.Stop()
	if m := receive(t, "an attempt after a restart", heir.Messages()); string(m.Data) != "1" {
		t.Errorf("attempt %q", m.Data)
	}
	if n, err := c.LastAttempt(t.Context(), 1); err != nil || n != 2 {
		t.Errorf("%d attempts, %v, want 2", n, err)
	}
	r, err := c.Read(t.Context(), 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Stop()
	for _, want := range []string{string(opening.Message.Data), "two"} {
		if m := receive(t, "what is there", r.Messages()); string(m.Data) != want {
			t.Errorf("message %q, want %q", m.Data, want)
		}
	}
	if again, err := c.Opening(t.Context(), 1); err != nil || again.Sale != opening.Sale || !again.Created.Equal(opening.Created) {
		t.Errorf("the opening is now %+v, %v", again, err)
	}
	s, err := c.Size(t.Context(), "SALE_1")
	if err == nil {
		err = c.Resize(t.Context(), s, s.Bytes+stream.MinStreamBytes)
	}
	if err != nil {
		t.Errorf("shrinking a sealed stream: %v", err)
	}
	refused()
	if err := c.Seal(t.Context(), 2); !errors.Is(err, stream.ErrLost) {
		t.Errorf("sealing no stream: %v, want ErrLost", err)
	}
}

func TestRemove(t *testing.T) {
	t.Parallel()
	test, c := start(t)
	open(t, c)
	publish(t, c, "two")
	if err := c.Remove(t.Context(), 1); !errors.Is(err, stream.ErrNotSealed) || last(t, c) != 2 {
		t.Fatalf("a stream that takes messages: %v, want ErrNotSealed", err)
	}
	js := look(t, test.NATSURL)
	seal := func(name string) {
		t.Helper()
		s, err := js.Stream(t.Context(), name)
		if err == nil {
			cfg := s.CachedInfo().Config
			cfg.Sealed = true
			_, err = js.UpdateStream(t.Context(), cfg)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	seal("CHECKOUTS_1") // as if the process died between the two
	if err := c.Remove(t.Context(), 1); !errors.Is(err, stream.ErrNotSealed) || last(t, c) != 2 {
		t.Fatalf("one of the two takes messages: %v, want ErrNotSealed", err)
	}
	if _, err := js.Stream(t.Context(), "CHECKOUTS_1"); err != nil {
		t.Fatalf("the sealed one was removed all the same: %v", err)
	}
	before, err := c.Space(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Seal(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteStream(t.Context(), "CHECKOUTS_1"); err != nil { // interrupted
		t.Fatal(err)
	}
	for range 2 { // the second time changes nothing
		if err := c.Remove(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Info(t.Context(), 1); !errors.Is(err, stream.ErrLost) {
		t.Errorf("its state: %v, want ErrLost", err)
	}
	if after, err := c.Space(t.Context()); err != nil || before.Reserved-after.Reserved != 2*config("").SaleBytes {
		t.Errorf("reserved %d, then %d, %v", before.Reserved, after.Reserved, err)
	}
	err = c.PublishPack(t.Context(), 1, []byte("three"))
	if !errors.Is(err, stream.ErrUnavailable) || errors.Is(err, stream.ErrAmbiguous) || !strings.Contains(err.Error(), "no stream") {
		t.Errorf("publishing to it: %v, want one that says that there is no stream", err)
	}
}

// A scheduler with an outdated state of a stream cannot unseal it.
func TestSealedStaysSealed(t *testing.T) {
	t.Parallel()
	test, c := start(t)
	open(t, c)
	js := look(t, test.NATSURL)
	old, err := js.Stream(t.Context(), "SALE_1")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Seal(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if _, err := js.UpdateStream(t.Context(), old.CachedInfo().Config); err == nil {
		t.Error("the stream was opened again")
	}
	if err := c.PublishPack(t.Context(), 1, []byte("two")); !errors.Is(err, stream.ErrSealed) {
		t.Errorf("%v, want ErrSealed", err)
	}
}

// A sale's state in the directory only moves forward, in whatever order it is written;
// a new sale with the same number starts over.
func TestDirectoryMovesForward(t *testing.T) {
	t.Parallel()
	test, c := start(t)
	slow, fast := directory(t, c), directory(t, connect(t, config(test.NATSURL)))
	put(t, fast, 1, sale.Archiving)
	put(t, slow, 1, sale.SoldOut)
	put(t, slow, 1, sale.Archiving)
	kv, err := look(t, test.NATSURL).KeyValue(t.Context(), "SALES")
	if err != nil {
		t.Fatal(err)
	}
	got := func() jetstream.KeyValueEntry {
		t.Helper()
		e, err := kv.Get(t.Context(), "1")
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	if e := got(); e.Revision() != 1 || string(e.Value()) != string(wire.EncodeEntry(entry(1, sale.Archiving))) {
		t.Errorf("revision %d is %s", e.Revision(), e.Value())
	}
	var writing sync.WaitGroup
	for _, d := range []*stream.Directory{slow, fast} {
		for _, state := range []sale.State{sale.Open, sale.SoldOut, sale.Archiving, sale.Archived} {
			writing.Go(func() {
				if err := d.Put(t.Context(), entry(1, state)); err != nil {
					t.Error(err)
				}
			})
		}
	}
	writing.Wait()
	if e := got(); string(e.Value()) != string(wire.EncodeEntry(entry(1, sale.Archived))) {
		t.Errorf("%s", e.Value())
	}
	other := entry(1, sale.Open)
	other.Sale.UUID = sale.UUID{9}
	other.Sale.OpensAt = other.Sale.OpensAt.Add(time.Hour)
	if err := slow.Put(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	if e := got(); string(e.Value()) != string(wire.EncodeEntry(other)) {
		t.Errorf("%s", e.Value())
	}
}
