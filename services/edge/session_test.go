//go:build unix

package edge

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"notsale/loadtest/faults/proxy"
	"notsale/pkg/wire"
	"notsale/services/servicetest"
)

// viaProxy puts a proxy between NATS and who connects from now on.
func viaProxy(t *testing.T, stage *servicetest.Stage) (way *proxy.Proxy, direct string) {
	t.Helper()
	direct = stage.NATSURL
	through, err := url.Parse(direct)
	if err != nil {
		t.Fatal(err)
	}
	way, err = proxy.New(through.Host, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(way.Close)
	through.Host = way.Address()
	stage.NATSURL = through.String()
	return way, direct
}

// underWay posts to an edge that is ready, and returns when its way to NATS, which
// leads nowhere from now on, holds more than so many bytes of it.
func underWay(t *testing.T, e *Edge, way *proxy.Proxy, least int, path string) <-chan servicetest.Answer {
	t.Helper()
	shop := servicetest.NewShop(t, e.Address())
	servicetest.Eventually(t, "the edge is ready", func() bool { return e.Ready(t.Context()) == nil })
	way.Set(proxy.Blackhole)
	held := way.Held()
	answers := make(chan servicetest.Answer, 1)
	go func() {
		a, _ := shop.Do(http.MethodPost, path)
		answers <- a
	}()
	servicetest.Eventually(t, "the pack is on its way", func() bool { return way.Held() > held+least })
	return answers
}

// A session ends with a pack under way, and the next comes a moment later, as where
// the only NATS server is restarted: the pack is sent again. The second try had
// found no connection, and whoever waited was told 503.
func TestAPackWhoseSessionEndsIsSentAgainInTheNext(t *testing.T) {
	t.Parallel()
	stage := servicetest.New(t)
	way, direct := viaProxy(t, stage)
	cfg := DefaultConfig()
	cfg.CheckoutWait = servicetest.Patience
	e, reg := edgeOn(t, stage, cfg)
	stage.NATSURL = direct
	of := stage.OpenSale(5, 10)
	answers := underWay(t, e, way, 250, servicetest.CheckoutPath(strings.Repeat("a", 64), int64(of.FirstItem))) // more than any question is
	way.Set(proxy.Reset)
	servicetest.Eventually(t, "more tries find no connection, or somebody was answered", func() bool {
		return valueOf(t, reg, "notsale_edge_publish_failures_total") > 2 || len(answers) > 0
	})
	way.Set(proxy.Forward)
	if a := <-answers; a.Status != http.StatusOK {
		t.Errorf("%d %q, want 200", a.Status, a.Body)
	}
}

// runs reports whether a goroutine is in a function.
func runs(function string) bool {
	stacks := make([]byte, 16<<20)
	return bytes.Contains(stacks[:runtime.Stack(stacks, true)], []byte(function))
}

// The session dies without a word while large messages are written. The edge had
// neither sold nor told its health for a minute, and did not stop for half of one.
func TestASessionThatDiesInAWriteHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	stage := servicetest.New(t)
	way, direct := viaProxy(t, stage)
	e, _ := edgeOn(t, stage, DefaultConfig())
	stage.NATSURL = direct
	of := stage.OpenSale(5, 10)
	shop := servicetest.NewShop(t, e.Address())
	checkout := servicetest.CheckoutPath("ann", int64(of.FirstItem))
	servicetest.Eventually(t, "the edge is ready", func() bool { return e.Ready(t.Context()) == nil })
	expect := func(what, method, target string, status int) {
		t.Helper()
		servicetest.Eventually(t, what, func() bool {
			a, err := shop.Do(method, target)
			return err == nil && a.Status == status
		})
	}
	expect("a checkout", http.MethodPost, checkout, http.StatusOK)
	die := func() {
		way.Freeze()
		for range 24 { // more than a connection takes that nobody reads from
			go func() { _ = e.stream.PublishPack(context.Background(), of.ID, make([]byte, wire.MaxMessage)) }()
		}
		servicetest.Eventually(t, "a write waits", func() bool { return runs("internal/poll.(*pollDesc).waitWrite") })
	}
	die()
	answered := make(chan error, 1)
	go func() {
		_, err := shop.Do(http.MethodGet, "/health")
		_, errReady := shop.Do(http.MethodGet, "/readyz")
		answered <- errors.Join(err, errReady)
	}()
	select {
	case err := <-answered:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(servicetest.Patience / 2): // half of what the library waits by itself
		t.Fatal("neither health nor readiness is told")
	}
	expect("a checkout in a new session", http.MethodPost, checkout, http.StatusOK)
	die()
	go func() { _, _ = shop.Do(http.MethodPost, checkout) }()
	servicetest.Eventually(t, "an attempt waits", func() bool { return runs("shop.(*Shop).store") })
	// The stage stops the edge, and fails the test where that has an error.
}
