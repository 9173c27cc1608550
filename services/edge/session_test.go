//go:build unix

package edge

import (
	"context"
	"net/http"
	"net/url"
	"testing"
	"time"

	"notsale/loadtest/faults/proxy"
	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/pack"
	"notsale/pkg/sale"
	"notsale/pkg/wire"
	"notsale/services/notsale/notsaletest"
)

// A NATS session that ends while a pack is on its last try ends its publish with
// a cancelled context, which is no client that has left: whoever waits is
// answered, and not 200.
func TestASessionThatEndsOnAPacksLastTryIsNotTold200(t *testing.T) {
	t.Parallel()
	stage := notsaletest.New(t)
	direct, err := url.Parse(stage.NATSURL)
	if err != nil {
		t.Fatal(err)
	}
	way, err := proxy.New(direct.Host, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(way.Close)
	through := *direct
	through.Host = way.Address()
	stage.NATSURL = through.String()
	cfg := DefaultConfig()
	cfg.PurchaseWait = time.Minute // it is not the wait that ends
	e := edgeOn(t, stage, cfg)
	stage.NATSURL = direct.String()
	of := stage.OpenSale(5, 10)
	last := pack.DefaultLimits()
	last.Patience = time.Nanosecond // every try is the last
	e.lanes.Store(of.ID, &lane{
		requests: pack.New(last, func(ctx context.Context, items []allocation.Request) error {
			return e.published(func(buf []byte) []byte { return wire.AppendPack(buf, e.id, items) },
				func(data []byte) error { return e.stream.PublishPack(ctx, of.ID, data) })
		}),
		attempts: pack.New(last, func(context.Context, []wire.Attempt) error { return nil }),
	})
	text, _ := e.keys.Load().Sign(code.Claims{Sale: of.UUID, Item: of.FirstItem, User: "ann", Expires: sale.InstantOf(time.Now().Add(time.Hour))}, code.Nonce{})
	shop := notsaletest.NewShop(t, e.Address())
	notsaletest.Eventually(t, "the edge is ready", func() bool { return e.Ready(t.Context()) == nil })
	way.Set(proxy.Blackhole)
	held := way.Held()
	answers := make(chan notsaletest.Answer, 1)
	go func() {
		a, _ := shop.Do(http.MethodPost, notsaletest.PurchasePath(text))
		answers <- a
	}()
	notsaletest.Eventually(t, "the pack is on its way", func() bool { return way.Held() > held+wire.RequestSize/2 })
	way.Set(proxy.Reset)
	if a := <-answers; a.Status != http.StatusServiceUnavailable {
		t.Errorf("%d %q, want 503", a.Status, a.Body)
	}
	way.Set(proxy.Forward)
}
