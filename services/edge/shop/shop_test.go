//go:build unix

package shop

import (
	"context"
	"crypto/rand"
	"errors"
	"net/url"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"notsale/loadtest/faults/proxy"
	"notsale/pkg/allocation"
	"notsale/pkg/backends/backendstest"
	"notsale/pkg/code"
	"notsale/pkg/host"
	"notsale/pkg/ledger"
	"notsale/pkg/pack"
	"notsale/pkg/sale"
	"notsale/pkg/wire"
	"notsale/services/servicetest"
)

func TestMain(m *testing.M) { backendstest.Main(m) }

// noDirectory is one that never has an entry.
type noDirectory struct{}

func (noDirectory) Watch(context.Context, func(wire.Entry), func()) error { return nil }
func (noDirectory) Connected() bool                                       { return false }

// newShop returns a shop on a stage's servers, which does not follow the directory.
func newShop(t *testing.T, stage *servicetest.Stage, cfg Config) *Shop {
	t.Helper()
	keys, err := code.NewKeyring([]code.Key{{ID: 1, Secret: make([]byte, code.MinSecret)}})
	if err != nil {
		t.Fatal(err)
	}
	ports := Ports{Cache: stage.Cache("shop"), Ledger: stage.Ledger("shop"), Publisher: stage.Stream("shop"), Directory: noDirectory{}, Random: rand.Reader}
	real := &host.Real{}
	s, err := On(cfg, keys, ports, real, stage.Log, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), servicetest.Patience)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
		real.Join()
	})
	return s
}

// Looking for users at their limit, which fails or is slow in a large sale, or for
// codes that were decided, does not turn off the look-ups of rows by their keys; nor
// the other way round.
func TestALookThatFailsPausesOnlyItsKind(t *testing.T) {
	s := newShop(t, servicetest.New(t), DefaultConfig())
	broken, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct{ failed, other *lookups }{{s.limits, s.rows}, {s.rows, s.limits}, {s.decided, s.rows}, {s.rows, s.decided}} {
		c.failed.paused, c.other.paused = time.Time{}, time.Time{}
		ask := func(ctx context.Context, l *lookups) error {
			return l.read(ctx, []*ledgerQuestion{{question: ledger.Question{Item: 1}}})
		}
		if err := ask(broken, c.failed); err == nil || errors.Is(err, errPaused) {
			t.Fatalf("a look that was to fail: %v", err)
		}
		c.failed.paused = c.failed.paused.Add(time.Hour) // however slow this machine is
		if err := ask(t.Context(), c.failed); !errors.Is(err, errPaused) {
			t.Errorf("the ledger is not left alone after an error: %v", err)
		}
		if err := ask(t.Context(), c.other); err != nil {
			t.Errorf("the other kind: %v", err)
		}
	}
}

// One code holds a small part of the places, and gives them back.
func TestOneCodeHoldsFewPlaces(t *testing.T) {
	real := &host.Real{}
	f := newFlights(real, 2*followers)
	for range 2 {
		landed, under := make(chan struct{}), make(chan struct{})
		real.Go(func() {
			_, _ = f.do(t.Context(), code.ID{1}, func() Outcome { close(under); <-landed; return Outcome{End: Decided} })
		})
		<-under
		for range followers {
			one, first, err := f.join(code.ID{1})
			if err != nil || first {
				t.Fatalf("a follower: first %v, %v", first, err)
			}
			real.Go(func() {
				one.done.Wait(t.Context(), host.Forever)
				f.leave(one)
			})
		}
		if _, _, err := f.join(code.ID{1}); !errors.Is(err, ErrCrowded) {
			t.Errorf("one follower too many: %v", err)
		}
		if o, err := f.do(t.Context(), code.ID{2}, func() Outcome { return Outcome{End: Pending} }); err != nil || o.End != Pending {
			t.Errorf("another code: %+v, %v", o, err)
		}
		close(landed)
		real.Join()
	}
	if f.callers != 0 || len(f.open) != 0 {
		t.Errorf("%d callers and %d flights are left", f.callers, len(f.open))
	}
}

// A purchase that ends in a panic leaves nobody waiting.
func TestFollowersOfAPanicAreTold(t *testing.T) {
	real := &host.Real{}
	f := newFlights(real, 10)
	under, boarded := make(chan struct{}), make(chan struct{})
	real.Go(func() {
		defer func() { _ = recover() }()
		_, _ = f.do(t.Context(), code.ID{1}, func() Outcome { close(under); <-boarded; panic("a defect") })
	})
	<-under
	one, first, err := f.join(code.ID{1})
	if err != nil || first {
		t.Fatal(first, err)
	}
	close(boarded)
	if !one.done.Wait(t.Context(), servicetest.Patience) || one.outcome.End != Unqueued {
		t.Errorf("told %v", one.outcome)
	}
	f.leave(one)
	real.Join()
}

// A shop is ready once it has read all sales from the ledger and the directory.
func TestReady(t *testing.T) {
	s := newShop(t, servicetest.New(t), DefaultConfig())
	if err := s.Ready(); !errors.Is(err, errUnlisted) {
		t.Errorf("without the directory: %v", err)
	}
	why := errors.New("no permission")
	s.unwatched.Store(&why)
	if err := s.Ready(); !errors.Is(err, errUnlisted) || !errors.Is(err, why) {
		t.Errorf("without the directory, and with a reason: %v", err)
	}
	s.listed.Store(true)
	if err := s.Ready(); !errors.Is(err, errUnread) {
		t.Errorf("without the ledger: %v", err)
	}
	s.list(t.Context())
	if err := s.Ready(); err != nil {
		t.Error(err)
	}
}

// A NATS session that ends while a pack is on its last try ends its publish with
// a cancelled context, which is no client that has left: whoever waits is told that
// it is not known whether the request is queued.
func TestASessionThatEndsOnAPacksLastTry(t *testing.T) {
	t.Parallel()
	stage := servicetest.New(t)
	of := stage.OpenSale(5, 10)
	through, err := url.Parse(stage.NATSURL)
	if err != nil {
		t.Fatal(err)
	}
	way, err := proxy.New(through.Host, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(way.Close)
	through.Host = way.Address()
	stage.NATSURL = through.String()
	cfg := DefaultConfig()
	cfg.PurchaseWait = time.Minute // it is not the wait that ends
	s := newShop(t, stage, cfg)
	last := pack.DefaultLimits()
	last.Patience = time.Nanosecond // every try is the last
	s.publishers.Store(of.ID, &publisher{
		requests: pack.New(s.host, last, func(ctx context.Context, items []allocation.Request) error { // the session ends it
			return s.publish(func(buf []byte) []byte { return wire.AppendPack(buf, s.id, items) },
				func(data []byte) error { return s.ports.Publisher.PublishPack(context.WithoutCancel(ctx), of.ID, data) })
		}),
		attempts: pack.New(s.host, last, func(context.Context, []wire.Attempt) error { return nil }),
	})
	text, _ := s.keys.Load().Sign(code.Claims{Sale: of.UUID, Item: of.FirstItem, User: "ann", Expires: sale.InstantOf(time.Now().Add(time.Hour))}, code.Nonce{})
	servicetest.Eventually(t, "the session is there", func() bool { return s.ports.Publisher.MaxMessage() > 0 })
	v, sold, err := s.Verify(text, "")
	if err != nil {
		t.Fatal(err)
	}
	way.Set(proxy.Blackhole)
	held := way.Held()
	ended := make(chan Outcome, 1)
	go func() {
		out, _ := s.Purchase(context.Background(), sold, v)
		ended <- out
	}()
	servicetest.Eventually(t, "the pack is on its way", func() bool { return way.Held() > held+wire.RequestSize/2 })
	way.Set(proxy.Reset)
	if out := <-ended; out.End != Unqueued || !errors.Is(out.Err, pack.ErrAmbiguous) {
		t.Errorf("%+v, want that it is not known to be queued", out)
	}
	way.Set(proxy.Forward)
}
