package host_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"notsale/pkg/effort"
	"notsale/pkg/host"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Whatever is told is taken once, in order by one reader, by any of several.
func TestInbox(t *testing.T) {
	var h host.Real
	box := h.Inbox()
	if x, ok := box.Take(t.Context(), 0); ok {
		t.Errorf("an empty inbox had %v", x)
	}
	const n = 1000
	for i := range n {
		box.Put(i)
	}
	for i := range n {
		if x, ok := box.Take(t.Context(), 0); !ok || x != i {
			t.Fatalf("%v, %v, want %d", x, ok, i)
		}
	}
	var sum atomic.Int64
	for range 4 {
		h.Go(func() {
			for {
				x, _ := box.Take(t.Context(), effort.Patience)
				if x == nil {
					return
				}
				sum.Add(int64(x.(int)))
			}
		})
	}
	for i := range n {
		h.Go(func() { box.Put(i) })
	}
	for deadline := time.Now().Add(effort.Patience); sum.Load() != n*(n-1)/2; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d were taken", sum.Load(), n*(n-1)/2)
		}
	}
	for range 4 {
		box.Put(nil)
	}
	h.Join()
}

// What waits ends with its context, and nothing is told then.
func TestWaitsEndWithTheirContext(t *testing.T) {
	var h host.Real
	why := errors.New("enough")
	ctx, cancel := h.WithCancel(t.Context())
	h.Go(func() { h.Wait(ctx, host.Forever) })
	h.Go(func() {
		if x, ok := h.Inbox().Take(ctx, host.Forever); ok {
			t.Errorf("an empty inbox had %v", x)
		}
	})
	cancel(why)
	h.Join()
	if !errors.Is(context.Cause(ctx), why) {
		t.Error(context.Cause(ctx))
	}
	ctx, stop := h.WithTimeout(t.Context(), time.Millisecond)
	defer stop()
	if h.Wait(ctx, host.Forever); ctx.Err() == nil {
		t.Error("it ended before its time")
	}
}
