package pack_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"notsale/pkg/host"
	"notsale/pkg/pack"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recorder is a sender that waits for a signal before each send.
type recorder struct {
	mu    sync.Mutex
	packs [][]int
	gate  chan error
}

func (r *recorder) send(ctx context.Context, items []int) error {
	r.mu.Lock()
	r.packs = append(r.packs, append([]int(nil), items...))
	r.mu.Unlock()
	select {
	case err := <-r.gate:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", pack.ErrAmbiguous, ctx.Err())
	}
}

func add(t *testing.T, q *pack.Queue[int], items ...int) (last *pack.Ticket) {
	t.Helper()
	for _, i := range items {
		var err error
		if last, err = q.Add(i, 10, nil); err != nil {
			t.Fatal(err)
		}
	}
	return last
}

// fate waits for what becomes of a pack.
func fate(t *testing.T, ticket *pack.Ticket) error {
	t.Helper()
	return ticket.Wait(t.Context(), host.Forever)
}

func limits() pack.Limits {
	return pack.Limits{Items: 3, Bytes: 100, Queued: 8, Patience: time.Second}
}

func TestOneGoesAtOnceTheRestTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{gate: make(chan error)}
		q := pack.New(&host.Real{}, limits(), r.send)
		first := add(t, q, 1)
		synctest.Wait() // 1 is in flight, alone
		rest := add(t, q, 2, 3, 4, 5)
		if err := first.Wait(t.Context(), 0); !errors.Is(err, pack.ErrLate) {
			t.Errorf("told before it was sent: %v", err)
		}
		for range 3 {
			r.gate <- nil
		}
		if err := errors.Join(fate(t, first), fate(t, rest), q.Close(t.Context())); err != nil {
			t.Error(err)
		}
		if want := [][]int{{1}, {2, 3, 4}, {5}}; !reflect.DeepEqual(r.packs, want) {
			t.Errorf("packs %v, want %v", r.packs, want)
		}
	})
}

func TestBytesEndAPack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{gate: make(chan error)}
		l := limits()
		l.Bytes = 25
		q := pack.New(&host.Real{}, l, r.send)
		add(t, q, 1)
		synctest.Wait()
		add(t, q, 2, 3, 4)
		for range 3 {
			r.gate <- nil
		}
		_ = q.Close(t.Context())
		if want := [][]int{{1}, {2, 3}, {4}}; !reflect.DeepEqual(r.packs, want) {
			t.Errorf("packs %v, want %v", r.packs, want)
		}
	})
}

func TestFullAndClosedRefuse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{gate: make(chan error)}
		q := pack.New(&host.Real{}, limits(), r.send)
		add(t, q, 1, 2, 3, 4, 5, 6, 7, 8)
		if err := q.Do(9, 1, time.Hour); !errors.Is(err, pack.ErrFull) {
			t.Errorf("the ninth: %v", err)
		}
		close(r.gate)
		if err := q.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if err := q.Do(9, 1, time.Hour); !errors.Is(err, pack.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}

func TestAmbiguousPackGoesAgainBeforeNewerOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{gate: make(chan error)}
		q := pack.New(&host.Real{}, limits(), r.send)
		first := add(t, q, 1)
		synctest.Wait()
		second := add(t, q, 2)
		r.gate <- fmt.Errorf("timeout: %w", pack.ErrAmbiguous)
		r.gate <- fmt.Errorf("timeout: %w", pack.ErrAmbiguous)
		r.gate <- nil
		if err := fate(t, first); err != nil {
			t.Error(err)
		}
		r.gate <- errors.New("refused for certain")
		if err := fate(t, second); err == nil {
			t.Error("the second is stored")
		}
		if want := [][]int{{1}, {1}, {1}, {2}}; !reflect.DeepEqual(r.packs, want) {
			t.Errorf("packs %v, want %v", r.packs, want)
		}
		_ = q.Close(t.Context())
	})
}

// The connection is lost with the acknowledgement, and comes back while patience
// lasts: that the tries between fail for certain says nothing of the first.
func TestWhatFollowsAnAmbiguousTryIsNotCertain(t *testing.T) {
	away := errors.New("not connected")
	for name, c := range map[string]struct {
		tries     []error // what they end with; the last is repeated
		packs     int     // sent at most; 0: as many as patience allows
		ambiguous bool    // in the end
	}{
		"it comes back":      {[]error{pack.ErrAmbiguous, away, away, nil}, 4, false},
		"it does not":        {[]error{pack.ErrAmbiguous, away}, 0, true},
		"nobody wants it":    {[]error{pack.ErrAmbiguous, away, pack.ErrUnwanted}, 3, true},
		"it never was there": {[]error{away}, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sent := 0
				q := pack.New(&host.Real{}, limits(), func(context.Context, []int) error {
					sent++
					return c.tries[min(sent, len(c.tries))-1]
				})
				err, last := q.Do(1, 1, host.Forever), c.tries[len(c.tries)-1]
				_ = q.Close(t.Context())
				if !errors.Is(err, last) || errors.Is(err, pack.ErrAmbiguous) != c.ambiguous {
					t.Errorf("%v, ambiguous: want %v", err, c.ambiguous)
				}
				if c.packs > 0 && sent != c.packs || c.packs == 0 && sent < 4 {
					t.Errorf("sent %d times, want %d", sent, c.packs)
				}
			})
		})
	}
}

func TestPatienceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{gate: make(chan error)}
		q := pack.New(&host.Real{}, limits(), r.send)
		start := time.Now()
		over := make(chan struct{})
		go func() {
			for {
				select {
				case r.gate <- pack.ErrAmbiguous:
				case <-over:
					return
				}
			}
		}()
		if err := q.Do(1, 1, host.Forever); !errors.Is(err, pack.ErrAmbiguous) {
			t.Error(err)
		}
		close(over)
		if took := time.Since(start); took > limits().Patience {
			t.Errorf("gave up after %v", took)
		}
		_ = q.Close(t.Context())
	})
}

// A sender that waits is waited for as long as patience lasts, and no longer.
func TestASlowSendIsOneTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{gate: make(chan error)}
		q := pack.New(&host.Real{}, limits(), r.send)
		slow := add(t, q, 1)
		time.Sleep(limits().Patience * 9 / 10)
		r.gate <- nil
		if err := fate(t, slow); err != nil {
			t.Error(err)
		}
		if err := q.Do(2, 1, host.Forever); !errors.Is(err, pack.ErrAmbiguous) {
			t.Error(err)
		}
		if want := [][]int{{1}, {2}}; !reflect.DeepEqual(r.packs, want) {
			t.Errorf("packs %v, want %v", r.packs, want)
		}
		_ = q.Close(t.Context())
	})
}

func TestCloseBreaksOffAtTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{gate: make(chan error)}
		q := pack.New(&host.Real{}, limits(), r.send)
		ticket := add(t, q, 1)
		ctx, cancel := context.WithTimeout(t.Context(), limits().Patience/2)
		defer cancel()
		if err := q.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if err := fate(t, ticket); !errors.Is(err, pack.ErrAmbiguous) {
			t.Error(err)
		}
		if err := q.Do(2, 1, time.Hour); !errors.Is(err, pack.ErrClosed) {
			t.Error(err)
		}
	})
}

// The inbox of an item is told that its pack has failed, and nothing else.
func TestInboxesAreToldOfFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, r := &host.Real{}, &recorder{gate: make(chan error)}
		q := pack.New(h, limits(), r.send)
		stored, failed := h.Inbox(), h.Inbox()
		_, errStored := q.Add(1, 1, stored)
		synctest.Wait()
		_, errFailed := q.Add(2, 1, failed)
		full := errors.New("the stream is full")
		r.gate <- nil
		r.gate <- full
		if err := errors.Join(errStored, errFailed, q.Close(t.Context())); err != nil {
			t.Fatal(err)
		}
		if told, ok := stored.Take(t.Context(), 0); ok {
			t.Errorf("an item that is stored is told %v", told)
		}
		if told, _ := failed.Take(t.Context(), 0); told != (pack.Failed{Err: full}) {
			t.Errorf("told %v, want %v", told, full)
		}
	})
}

// Whoever has waited for long enough learns that the fate is not known.
func TestPatienceOfACaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{gate: make(chan error)}
		q := pack.New(&host.Real{}, limits(), r.send)
		if err := q.Do(1, 1, limits().Patience/2); !errors.Is(err, pack.ErrLate) {
			t.Error(err)
		}
		r.gate <- nil
		if err := q.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Many callers: every item is sent exactly once, each caller's in its order.
func TestOrderPerCaller(t *testing.T) {
	const callers, each = 20, 200
	var sent []int
	q := pack.New(&host.Real{}, pack.Limits{Items: 7, Bytes: 1 << 20, Queued: callers, Patience: time.Second},
		func(_ context.Context, items []int) error {
			sent = append(sent, items...) // one goroutine at a time: the race detector sees it otherwise
			return nil
		})
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				if err := q.Do(c*each+i, 1, host.Forever); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	_ = q.Close(t.Context())
	last := map[int]int{}
	for _, item := range sent {
		if c, i := item/each, item%each; last[c] != i {
			t.Fatalf("caller %d: item %d came when %d was due", c, i, last[c])
		}
		last[item/each]++
	}
	if len(sent) != callers*each {
		t.Errorf("%d items sent", len(sent))
	}
}
