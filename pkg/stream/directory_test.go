package stream_test

import (
	"context"
	"errors"
	"maps"
	"testing"
	"time"

	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
)

func directory(t *testing.T, c *stream.Client) *stream.Directory {
	t.Helper()
	d, err := c.MakeDirectory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func put(t *testing.T, d *stream.Directory, id sale.ID, state sale.State) {
	t.Helper()
	if err := d.Put(t.Context(), entry(id, state)); err != nil {
		t.Fatal(err)
	}
}

// watch watches until the test ends. It reports ready as an empty entry.
func watch(t *testing.T, d *stream.Directory) <-chan wire.Entry {
	t.Helper()
	events, ended := make(chan wire.Entry, 100), make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		ended <- d.Watch(ctx, func(e wire.Entry) { events <- e }, func() { events <- wire.Entry{} })
	}()
	t.Cleanup(func() {
		cancel()
		if err := receive(t, "the watch's end", ended); !errors.Is(err, context.Canceled) {
			t.Errorf("the watch ended with %v", err)
		}
	})
	return events
}

// A watch delivers the existing entries, then says that it is ready, then delivers
// changes. It skips entries that it cannot read.
func TestWatch(t *testing.T) {
	t.Parallel()
	test, c := start(t)
	d := directory(t, c)
	put(t, d, 1, sale.SoldOut)
	put(t, d, 2, sale.Open)
	put(t, d, 2, sale.SoldOut)
	kv, err := look(t, test.NATSURL).KeyValue(t.Context(), "SALES")
	if err != nil {
		t.Fatal(err)
	}
	unreadable := map[string]string{
		"7":         "{}",
		"8":         string(wire.EncodeEntry(entry(9, sale.Open))), // the key is another sale's
		"extension": "of a later version",
	}
	for key, text := range unreadable {
		if _, err := kv.PutString(t.Context(), key, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Claim(t.Context(), sale.UUID{1}); err != nil { // is an entry, too, but no sale's
		t.Fatal(err)
	}
	put(t, d, 3, sale.Open)

	all, err := d.Entries(t.Context())
	if want := map[sale.ID]wire.Entry{1: entry(1, sale.SoldOut), 2: entry(2, sale.SoldOut), 3: entry(3, sale.Open)}; err != nil || !maps.Equal(all, want) {
		t.Errorf("it lists %+v, %v", all, err)
	}
	events := watch(t, directory(t, connect(t, config(test.NATSURL))))
	for _, want := range []wire.Entry{entry(1, sale.SoldOut), entry(2, sale.SoldOut), entry(3, sale.Open), {}} {
		if got := receive(t, "what is there", events); got != want {
			t.Fatalf("%+v, want %+v", got, want)
		}
	}
	if err := kv.Delete(t.Context(), "1"); err != nil { // deletions are not updates
		t.Fatal(err)
	}
	for _, want := range []wire.Entry{entry(4, sale.Open), entry(3, sale.SoldOut), entry(4, "a state of a later version")} {
		put(t, d, want.Sale.ID, want.State)
		if got := receive(t, "what comes", events); got != want {
			t.Fatalf("%+v, want %+v", got, want)
		}
	}
	if len(events) > 0 {
		t.Errorf("%d events more", len(events))
	}
}

func TestWatchOfAnEmptyDirectory(t *testing.T) {
	t.Parallel()
	_, c := start(t)
	d := directory(t, c)
	events := watch(t, d)
	if got := receive(t, "ready", events); got != (wire.Entry{}) {
		t.Errorf("%+v", got)
	}
	put(t, d, 1, sale.Open)
	if got := receive(t, "the first sale", events); got != entry(1, sale.Open) {
		t.Errorf("%+v", got)
	}
}

// A sale that opens after a restart of NATS is seen by those who watched before, by the
// same watch or by another one.
func TestWatchSurvivesARestart(t *testing.T) {
	t.Parallel()
	test, c := start(t)
	d := directory(t, c)
	ctx, cancel := context.WithCancel(t.Context())
	ready, seen, ended := make(chan struct{}, 100), make(chan sale.ID, 100), make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			_ = d.Watch(ctx, func(e wire.Entry) { seen <- e.Sale.ID }, func() { ready <- struct{}{} })
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
	}()
	defer func() {
		cancel()
		<-ended
	}()
	receive(t, "ready", ready)
	test.StopNATS()
	test.StartNATS()
	eventually(t, "the next sale is written", func() error { return d.Put(t.Context(), entry(2, sale.Open)) })
	if got := receive(t, "the next sale is seen", seen); got != 2 {
		t.Errorf("sale %d", got)
	}
}

// NATS's store belongs to the installation that claimed it first.
func TestClaim(t *testing.T) {
	t.Parallel()
	test, c := start(t)
	d := directory(t, c)
	if err := d.Check(t.Context(), sale.UUID{1}); err != nil {
		t.Errorf("an empty store: %v", err)
	}
	for range 2 {
		if err := d.Claim(t.Context(), sale.UUID{1}); err != nil {
			t.Errorf("the first: %v", err)
		}
	}
	other := directory(t, connect(t, config(test.NATSURL)))
	if err := other.Check(t.Context(), sale.UUID{1}); err != nil {
		t.Errorf("the same: %v", err)
	}
	if err := other.Claim(t.Context(), sale.UUID{2}); !errors.Is(err, stream.ErrForeign) {
		t.Errorf("another claims: %v, want ErrForeign", err)
	}
	if err := other.Check(t.Context(), sale.UUID{2}); !errors.Is(err, stream.ErrForeign) {
		t.Errorf("another checks: %v, want ErrForeign", err)
	}
}

// The server runs on this machine, so its clock is this process's.
func TestServerTime(t *testing.T) {
	t.Parallel()
	_, c := start(t)
	d := directory(t, c)
	for range 3 {
		before := time.Now()
		server, local, err := d.ServerTime(t.Context())
		after := time.Now()
		if err != nil {
			t.Fatal(err)
		}
		if local.Before(before) || local.After(after) {
			t.Errorf("local time %v is not between %v and %v", local, before, after)
		}
		if slack := time.Millisecond; server.Before(before.Add(-slack)) || server.After(after.Add(slack)) {
			t.Errorf("server time %v is not between %v and %v", server, before, after)
		}
	}
}
