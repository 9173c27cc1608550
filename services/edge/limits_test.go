//go:build unix

package edge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"notsale/services/edge/shop"
)

// Few pages read at once, some wait for their turn, and the others are told at
// once that there are too many.
func TestPagesTakeTurns(t *testing.T) {
	r := newReads()
	release, reading := make(chan struct{}), make(chan struct{}, pageReads+pageLine)
	var all sync.WaitGroup
	for n := range pageReads + pageLine {
		all.Go(func() {
			if _, err := shared(r, strconv.Itoa(n), func(context.Context) (int, error) { reading <- struct{}{}; <-release; return n, nil }); err != nil {
				t.Errorf("read %d: %v", n, err)
			}
		})
	}
	for range pageReads {
		<-reading
	}
	for len(r.line) < cap(r.line) { // until all stand in line
		runtime.Gosched()
	}
	if _, err := shared(r, "one more", func(context.Context) (int, error) { return 0, nil }); !errors.Is(err, errManyReads) {
		t.Errorf("one more than may wait: %v", err)
	}
	if len(reading) > 0 {
		t.Errorf("%d more read at once than may", len(reading))
	}
	close(release)
	all.Wait()
	if len(r.line) > 0 || len(r.reading) > 0 {
		t.Errorf("%d still wait, %d still read", len(r.line), len(r.reading))
	}
}

// Whoever asks while the same is being read may know of what came after that read
// began, as a buyer of his purchase: he is told what is read after he asked.
func TestAReadThatHasBegunIsNotJoined(t *testing.T) {
	r := newReads()
	begun, release := make(chan struct{}), make(chan struct{})
	var sold, begins atomic.Int32
	ask := func() int32 {
		v, err := shared(r, "item 1", func(context.Context) (int32, error) {
			seen := sold.Load()
			if begins.Add(1) == 1 {
				close(begun)
				<-release
			}
			return seen, nil
		})
		if err != nil {
			t.Error(err)
		}
		return v
	}
	var before sync.WaitGroup
	before.Go(func() {
		if v := ask(); v != 0 {
			t.Errorf("read before the purchase: %d", v)
		}
	})
	<-begun
	sold.Store(1)
	told := make(chan int32)
	go func() { told <- ask() }()
	select {
	case v := <-told:
		if v != 1 {
			t.Errorf("after the purchase the page says %d", v)
		}
	case <-time.After(time.Minute):
		t.Error("after the purchase the page waits for the read before it")
	}
	close(release)
	before.Wait()
}

// A limiter is memory: whoever makes one leaves no goroutine behind.
func TestLimitersLeaveNoGoroutine(t *testing.T) {
	for range 3 {
		newLimiter[int](1).take(1)
	}
	stacks := make([]byte, 16<<20)
	if stacks = stacks[:runtime.Stack(stacks, true)]; bytes.Contains(stacks, []byte("golang-lru")) {
		t.Error("a goroutine cleans up for each")
	}
}

// The times fit into each other: a request that has arrived is answered before
// its connection is cut, by the deadline of its answer or by a stop.
func TestAnEdgeStopsAfterItsLongestRequest(t *testing.T) {
	for _, wait := range []time.Duration{10 * time.Millisecond, 5 * time.Second, time.Minute} {
		cfg := DefaultConfig()
		cfg.PurchaseWait, cfg.Drain = wait, 10*time.Second
		longest := bodyTimeout + shop.ReadTimeout + time.Second + max(wait, cfg.CheckoutWait) + time.Second // a look before, and one after
		if got := cfg.StopTime(); got < cfg.Drain+longest+quietTime {
			t.Errorf("a wait of %v: a stop takes %v, a request up to %v", wait, got, longest)
		}
	}
	cfg := DefaultConfig()
	if e := newEdge(t, cfg); e.server.WriteTimeout <= cfg.longestRequest() {
		t.Errorf("an answer has %v, a request takes up to %v", e.server.WriteTimeout, cfg.longestRequest())
	}
}

// A user of whom a limiter keeps the name may have sent it in a line of any
// length; only the name is kept.
func TestALimiterKeepsNoRequests(t *testing.T) {
	r := newRates(Config{RatePerUser: 1}, nil)
	const users, line = 4000, 8 << 10
	c, _ := gin.CreateTestContext(httptest.NewRecorder())
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	for n := range users {
		p := parseCheckout(&url.URL{RawQuery: fmt.Sprintf("user_id=u%d&id=1&x=%s", n, strings.Repeat("x", line))}, "")
		r.admitUser(c, p.User)
	}
	if grown := heap() - before; grown > users*line/4 {
		t.Errorf("%d users are remembered in %d bytes", users, grown)
	}
	runtime.KeepAlive(r)
}
