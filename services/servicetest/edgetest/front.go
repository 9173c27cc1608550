//go:build unix

// Package edgetest sets up a shop for tests of several services: an edge, and the
// services behind it that a test asks for. The test ends with an audit.
//
// It is a package of its own, because servicetest imports no service.
package edgetest

import (
	"bytes"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"notsale/pkg/allocation"
	"notsale/pkg/backends/backendstest"
	"notsale/pkg/code"
	"notsale/pkg/sale"
	"notsale/pkg/telemetry"
	"notsale/pkg/wire"
	"notsale/services/allocator"
	"notsale/services/edge"
	"notsale/services/servicetest"
	"notsale/services/servicetest/audittest"
)

// Front is an edge on a stage of its own, without an allocator until Allocate.
type Front struct {
	*servicetest.Stage
	*servicetest.Shop

	T       *testing.T
	Keys    *code.Keyring
	Config  edge.Config // of all edges
	Edge    *edge.Edge
	Metrics *prometheus.Registry // of the edge
	Stop    func()               // stops the edge
	// Spoilt: the test has written into the tables itself, or into the streams,
	// so that an audit has findings by design.
	Spoilt bool
}

// New runs an edge whose settings change has had a hand in; nil: nobody.
func New(t *testing.T, change func(*edge.Config), opts ...backendstest.Option) *Front {
	t.Helper()
	return On(t, servicetest.New(t, opts...), change)
}

// On is New on a stage that the test has changed.
func On(t *testing.T, stage *servicetest.Stage, change func(*edge.Config)) *Front {
	t.Helper()
	f := &Front{Stage: stage, T: t, Keys: NewKeyring(t, 1), Config: edge.DefaultConfig(), Metrics: prometheus.NewRegistry()}
	t.Cleanup(func() { // after the services have stopped
		if !f.Spoilt && !t.Failed() {
			audittest.Clean(t, audittest.Stores{DatabaseURL: f.DatabaseURL, NATSURL: f.NATSURL})
		}
	})
	f.Config.Listen = "127.0.0.1:0"
	f.Config.PurchaseWait, f.Config.CheckoutWait = servicetest.Patience, servicetest.Patience // as long as a busy machine takes
	if change != nil {
		change(&f.Config)
	}
	if err := f.Stream("edge").CreateUnsold(t.Context(), 1); err != nil { // a scheduler's first act
		t.Fatal(err)
	}
	f.Edge, f.Stop = f.run("edge", f.Metrics)
	f.Shop = servicetest.NewShop(t, f.Edge.Address())
	servicetest.Eventually(t, "the edge is ready", func() bool { return f.Edge.Ready(t.Context()) == nil })
	return f
}

// run runs an edge until the test ends, or stop is called.
func (f *Front) run(name string, metrics *prometheus.Registry) (e *edge.Edge, stop func()) {
	f.T.Helper()
	l, s, c := f.Ledger(name), f.Stream(name), f.Cache(name)
	health := &telemetry.Health{}
	health.Add("database", l.Ping)
	health.Add("redis", c.Probe)
	health.Add("nats", s.Ping)
	e, err := edge.New(f.Config, f.Keys, l, s, c, health, f.Log, metrics)
	if err == nil {
		err = e.Listen(f.T.Context())
	}
	if err != nil {
		f.T.Fatal(err)
	}
	return e, f.Run(e.Run)
}

// AnotherEdge runs one more edge of the shop, until the test ends.
func (f *Front) AnotherEdge(t *testing.T) *servicetest.Shop {
	t.Helper()
	shop, e := f.UnreadyEdge(t)
	servicetest.Eventually(t, "the edge is ready", func() bool { return e.Ready(t.Context()) == nil })
	return shop
}

// UnreadyEdge is AnotherEdge that nobody has waited for.
func (f *Front) UnreadyEdge(t *testing.T) (*servicetest.Shop, *edge.Edge) {
	t.Helper()
	e, _ := f.run("another-edge", prometheus.NewRegistry())
	return servicetest.NewShop(t, e.Address()), e
}

// Allocate runs an allocator until the test ends, or stop is called.
func (f *Front) Allocate() (stop func()) {
	f.T.Helper()
	a, err := allocator.New(allocator.DefaultConfig(), f.Ledger("allocator"), f.Stream("allocator"), f.Cache("allocator"), f.Log, prometheus.NewRegistry())
	if err != nil {
		f.T.Fatal(err)
	}
	return f.Run(a.Run)
}

// NewKeyring makes a keyring of one key; other seeds give other keys.
func NewKeyring(t *testing.T, seed byte) *code.Keyring {
	t.Helper()
	keys, err := code.NewKeyring([]code.Key{{ID: 1, Secret: bytes.Repeat([]byte{seed}, code.MinSecret)}})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// Ticket is a code of a test, with what it says.
type Ticket struct {
	code.Verified

	Text string
}

// Request is what an edge publishes when the code is sent.
func (k Ticket) Request() allocation.Request {
	return allocation.Request{Number: 1, Code: k.ID, Item: k.Item, User: k.User, Expires: k.Expires}
}

var nonces atomic.Int32 // given to codes of tests

// Sign makes a code as an edge would, with any claims.
func (f *Front) Sign(of sale.Sale, item sale.ItemID, user string, life time.Duration) Ticket {
	n := nonces.Add(1)
	text, v := f.Keys.Sign(code.Claims{
		Sale: of.UUID, Item: item, User: sale.UserID(user), Expires: sale.InstantOf(time.Now().Add(life)),
	}, code.Nonce{byte(n), byte(n >> 8)})
	return Ticket{v, text}
}

// Enqueue puts requests into the sale's stream in one pack, past the cache.
func (f *Front) Enqueue(t *testing.T, of sale.Sale, tickets ...Ticket) {
	t.Helper()
	requests := make([]allocation.Request, 0, len(tickets))
	for _, k := range tickets {
		requests = append(requests, k.Request())
	}
	if err := f.Stream("publisher").PublishPack(t.Context(), of.ID, wire.AppendPack(nil, "edge-of-test", requests)); err != nil {
		t.Fatal(err)
	}
}
