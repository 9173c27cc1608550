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
		ticket, err := q.Add(i, 10)
		if err != nil {
			t.Fatal(err)
		}
		last = ticket
	}
	return last
}

func limits() pack.Limits {
	return pack.Limits{Items: 3, Bytes: 100, Queued: 8, Patience: time.Second}
}

func TestOneGoesAtOnceTheRestTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{gate: make(chan error)}
		q := pack.New(limits(), r.send)
		first := add(t, q, 1)
		synctest.Wait() // 1 is in flight, alone
		rest := add(t, q, 2, 3, 4, 5)
		if q.Queued() != 5 {
			t.Errorf("%d queued", q.Queued())
		}
		select {
		case <-first.Done():
			t.Error("resolved before it was sent")
		default:
		}
		for range 3 {
			r.gate <- nil
		}
		<-first.Done()
		<-rest.Done()
		if err := q.Close(t.Context()); err != nil || first.Err() != nil || rest.Err() != nil {
			t.Error(err, first.Err(), rest.Err())
		}
		if want := [][]int{{1}, {2, 3, 4}, {5}}; !reflect.DeepEqual(r.packs, want) {
			t.Errorf("packs %v, want %v", r.packs, want)
		}
		if q.Queued() != 0 {
			t.Errorf("%d queued at the end", q.Queued())
		}
	})
}

func TestBytesEndAPack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{gate: make(chan error)}
		l := limits()
		l.Bytes = 25
		q := pack.New(l, r.send)
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
		q := pack.New(limits(), r.send)
		add(t, q, 1, 2, 3, 4, 5, 6, 7, 8)
		if _, err := q.Add(9, 1); !errors.Is(err, pack.ErrFull) {
			t.Errorf("the ninth: %v", err)
		}
		close(r.gate)
		if err := q.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := q.Add(9, 1); !errors.Is(err, pack.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}

func TestAmbiguousPackGoesAgainBeforeNewerOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{gate: make(chan error)}
		q := pack.New(limits(), r.send)
		first := add(t, q, 1)
		synctest.Wait()
		second := add(t, q, 2)
		r.gate <- fmt.Errorf("timeout: %w", pack.ErrAmbiguous)
		r.gate <- fmt.Errorf("timeout: %w", pack.ErrAmbiguous)
		r.gate <- nil
		<-first.Done()
		r.gate <- errors.New("refused for certain")
		<-second.Done()
		if first.Err() != nil || second.Err() == nil {
			t.Error(first.Err(), second.Err())
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
				q := pack.New(limits(), func(context.Context, []int) error {
					sent++
					return c.tries[min(sent, len(c.tries))-1]
				})
				ticket := add(t, q, 1)
				<-ticket.Done()
				_ = q.Close(t.Context())
				err, last := ticket.Err(), c.tries[len(c.tries)-1]
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
		q := pack.New(limits(), r.send)
		start := time.Now()
		ticket := add(t, q, 1)
		go func() {
			for {
				select {
				case r.gate <- pack.ErrAmbiguous:
				case <-ticket.Done():
					return
				}
			}
		}()
		<-ticket.Done()
		if !errors.Is(ticket.Err(), pack.ErrAmbiguous) {
			t.Error(ticket.Err())
		}
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
		q := pack.New(limits(), r.send)
		slow := add(t, q, 1)
		time.Sleep(limits().Patience * 9 / 10)
		r.gate <- nil
		<-slow.Done()
		lost := add(t, q, 2)
		<-lost.Done()
		if slow.Err() != nil || !errors.Is(lost.Err(), pack.ErrAmbiguous) {
			t.Error(slow.Err(), lost.Err())
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
		q := pack.New(limits(), r.send)
		ticket := add(t, q, 1)
		ctx, cancel := context.WithTimeout(t.Context(), limits().Patience/2)
		defer cancel()
		if err := q.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		<-ticket.Done()
		if !errors.Is(ticket.Err(), pack.ErrAmbiguous) {
			t.Error(ticket.Err())
		}
	})
}

// Many callers: every item is sent exactly once, each caller's in its order.
func TestOrderPerCaller(t *testing.T) {
	const callers, each = 20, 200
	var sent []int
	q := pack.New(pack.Limits{Items: 7, Bytes: 1 << 20, Queued: callers, Patience: time.Second},
		func(_ context.Context, items []int) error {
			sent = append(sent, items...) // one goroutine at a time: the race detector sees it otherwise
			return nil
		})
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				ticket, err := q.Add(c*each+i, 1)
				if err != nil {
					t.Error(err)
					return
				}
				<-ticket.Done()
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
