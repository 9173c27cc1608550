//go:build unix

package soak

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"notsale/loadtest/faults/cluster"
	"notsale/loadtest/faults/proxy"
	"notsale/pkg/client"
)

// perRole is how many processes of each role run.
const perRole = 2

// archiver is the role that puts sold-out sales away, which no fault test has.
const archiver = "archiver"

// roles in the order of their starts.
var roles = []string{cluster.Scheduler, cluster.Allocator, cluster.Recorder, archiver, cluster.Edge}

// archiveAfter is the age at which a sold-out sale is archived, in slots.
const archiveAfter = 2

// house is the shop's processes. What dies is started again by the fault that
// killed it; what dies by itself is a finding.
type house struct {
	*cluster.Cluster

	t        testing.TB
	found    atomic.Int64        // what is wrong
	archives string              // folder
	flags    map[string][]string // of each role
	front    []string            // addresses of the edges, which outlive them
	way      *http.Transport     // to the edges
	shop     *client.Client      // of any edge

	mu      sync.Mutex
	members map[string][]*cluster.Process // guarded by mu
	closed  bool                          // guarded by mu
}

// open starts the whole house.
func (o *Options) open(t testing.TB, a *cluster.Cluster) *house {
	t.Helper()
	h := &house{Cluster: a, t: t, way: client.NewTransport(), archives: t.TempDir(), members: map[string][]*cluster.Process{}}
	h.flags = map[string][]string{
		cluster.Scheduler: {"--sale-every", o.Slot.String()},
		archiver:          {"--sale-every", o.Slot.String(), "--archive-to", h.archives, "--archive-after", (archiveAfter * o.Slot).String()},
	}
	var err error
	if h.shop, err = client.New(client.Config{Base: "http://shop", Timeout: requestTime, Transport: h}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.way.CloseIdleConnections)
	for _, role := range roles {
		for n := range perRole {
			p := a.Start(role, cluster.Through, cluster.Flags(h.flags[role]...))
			h.members[role] = append(h.members[role], p)
			if role == cluster.Edge {
				h.front = append(h.front, p.Address)
			}
			go h.watch(role, n, p)
		}
	}
	return h
}

// maxWrong is how many findings are shown: the first ones tell.
const maxWrong = 50

// wrongf fails the test for something that is wrong.
func (h *house) wrongf(format string, args ...any) {
	h.t.Helper()
	if h.found.Add(1) <= maxWrong {
		h.t.Errorf(format, args...)
	}
}

// RoundTrip sends a request to any edge.
func (h *house) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Host = h.front[random(len(h.front))]
	return h.way.RoundTrip(r)
}

// watch reports a process that ends though nobody ended it.
func (h *house) watch(role string, n int, p *cluster.Process) {
	<-p.Ended()
	if h.employs(role, n, p) {
		h.wrongf("%s ended by itself, status %d:\n%s", p.Name, p.Status(), p.Log())
	}
}

// employs reports whether the process is one that should run.
func (h *house) employs(role string, n int, p *cluster.Process) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.closed && h.members[role][n] == p
}

// close says that processes may end from now on.
func (h *house) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
}

func (h *house) member(role string, n int) *cluster.Process {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.members[role][n]
}

// all returns the processes that run now, by role.
func (h *house) all() map[string][]*cluster.Process {
	h.mu.Lock()
	defer h.mu.Unlock()
	copied := map[string][]*cluster.Process{}
	for role, members := range h.members {
		copied[role] = append([]*cluster.Process(nil), members...)
	}
	return copied
}

// replace ends a process and starts another in its place, an edge at the same
// address.
func (h *house) replace(role string, n int, end func(*cluster.Process)) {
	h.mu.Lock()
	old := h.members[role][n]
	h.members[role][n] = nil // its end is no finding
	h.mu.Unlock()
	end(old)
	<-old.Ended()
	for _, way := range waysOf(old) {
		way.Close()
	}
	flags := h.flags[role]
	if role == cluster.Edge {
		flags = append([]string{"--listen", h.front[n]}, flags...)
	}
	p := h.Start(role, cluster.Through, cluster.Flags(flags...))
	h.mu.Lock()
	h.members[role][n] = p
	h.mu.Unlock()
	go h.watch(role, n, p)
}

// Faults: how long one lasts, and how slow a slow store is.
const (
	faultTime = 2 * time.Second
	slowTrip  = 50 * time.Millisecond  // each way
	killPause = 300 * time.Millisecond // before what was killed is started again
)

// fault is something that happens to the house and is over when do returns.
type fault struct {
	name string
	do   func(*house, *rand.Rand)
}

// faults are all that may happen, to each role and each store.
func faults() (all []fault) {
	for _, role := range roles {
		all = append(all,
			fault{"kill " + role, func(h *house, rng *rand.Rand) {
				h.replace(role, rng.IntN(perRole), func(p *cluster.Process) { p.Kill(); time.Sleep(killPause) })
			}},
			fault{"stop " + role, func(h *house, rng *rand.Rand) {
				p := h.member(role, rng.IntN(perRole))
				p.Stop()
				time.Sleep(faultTime)
				p.Continue()
			}},
			fault{"roll " + role, func(h *house, rng *rand.Rand) {
				h.replace(role, rng.IntN(perRole), func(p *cluster.Process) { p.Terminate(); <-p.Ended() })
			}},
			fault{"cut " + role, func(h *house, rng *rand.Rand) {
				h.ways(role, rng.IntN(perRole), func(way *proxy.Proxy) { way.Set(proxy.Reset) }, func(way *proxy.Proxy) { way.Set(proxy.Forward) })
			}},
			fault{"slow " + role, func(h *house, rng *rand.Rand) {
				h.ways(role, rng.IntN(perRole), func(way *proxy.Proxy) { way.Slow(slowTrip, slowTrip) }, func(way *proxy.Proxy) { way.Slow(0, 0) })
			}})
	}
	return append(all,
		fault{"kill postgres", func(h *house, _ *rand.Rand) { h.again("postgres", h.Postgres.Kill, h.Postgres.Restart) }},
		fault{"stop postgres", func(h *house, _ *rand.Rand) { h.pause("postgres", h.Postgres.Pause, h.Postgres.Resume) }},
		fault{"kill redis", func(h *house, _ *rand.Rand) { h.again("redis", h.Redis.Kill, h.Redis.Restart) }},
		fault{"stop redis", func(h *house, _ *rand.Rand) { h.pause("redis", h.Redis.Pause, h.Redis.Resume) }},
		fault{"restart nats", func(h *house, _ *rand.Rand) {
			h.StopNATS()
			time.Sleep(killPause)
			h.StartNATS()
		}},
	)
}

// ways changes the way from a process to one of its stores for a while, each in
// turn.
func (h *house) ways(role string, n int, spoil, heal func(*proxy.Proxy)) {
	for _, way := range waysOf(h.member(role, n)) {
		spoil(way)
		time.Sleep(faultTime / 3)
		heal(way)
	}
}

func waysOf(p *cluster.Process) []*proxy.Proxy {
	return []*proxy.Proxy{p.ToPostgres, p.ToNATS, p.ToRedis}
}

// again kills a store and starts it on what it kept.
func (h *house) again(name string, kill func() error, restart func(context.Context) error) {
	err := kill()
	time.Sleep(killPause)
	if err == nil {
		err = restart(h.t.Context())
	}
	if err != nil {
		h.t.Fatalf("%s: %v", name, err)
	}
}

// pause stops a store and lets it go on.
func (h *house) pause(name string, stop, resume func() error) {
	err := stop()
	time.Sleep(faultTime)
	if err = errors.Join(err, resume()); err != nil {
		h.t.Fatalf("%s: %v", name, err)
	}
}

// trouble lets faults happen, one at a time, until ctx ends. It returns the rest
// of the deck, so that each fault comes before any comes twice.
func (h *house) trouble(ctx context.Context, rng *rand.Rand, deck []fault, every time.Duration) (left []fault) {
	for {
		select {
		case <-ctx.Done():
			return deck
		case <-time.After(every):
		}
		if len(deck) == 0 {
			deck = faults()
			rng.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
		}
		h.t.Logf("  %s", deck[0].name)
		deck[0].do(h, rng)
		deck = deck[1:]
	}
}
