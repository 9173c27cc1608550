package simulation

import (
	"math/rand/v2"
	"time"
)

// Config is what a run consists of. Draw makes one from a seed.
type Config struct {
	Seed       uint64
	Stock      int
	UserLimit  int
	Users      int
	Shoppers   int // clients, each doing one thing at a time
	Purchases  int // that each shopper tries
	Edges      int
	Allocators int
	CodeTTL    time.Duration
	Batch      int // requests per batch
	Lossy      int // one message or answer in so many is lost; 0: none
	Faults     []Fault
}

// FaultKind is what goes wrong.
type FaultKind uint8

// The faults.
const (
	CrashEdge       FaultKind = 1
	CrashAllocator  FaultKind = 2
	FreezeAllocator FaultKind = 3 // a zombie, after its lease has gone
	StreamAway      FaultKind = 4
	StreamTailLost  FaultKind = 5
	LedgerAway      FaultKind = 6
	CacheAway       FaultKind = 7
	CacheEmptied    FaultKind = 8
	CacheStale      FaultKind = 9 // goes back to an earlier snapshot
	StreamClockBack FaultKind = 10
	CrashScheduler  FaultKind = 11
	CrashRecorder   FaultKind = 12
	faultKinds                = 12
)

// Fault is something that goes wrong at a time.
type Fault struct {
	Kind   FaultKind
	At     time.Duration // after the start
	Target int           // which process, where there are several
	Length time.Duration // how long it is away, stopped or down
	Amount int           // messages lost
}

// faultWindow is when faults happen: while the sale is under way.
const faultWindow = 6 * time.Second

// Draw makes a configuration from a seed: usually small, with a few faults.
func Draw(seed uint64) Config {
	r := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // repeatable
	c := Config{
		Seed: seed, Stock: 1 + r.IntN(24), UserLimit: 1 + r.IntN(4), Edges: 1 + r.IntN(3), Allocators: 2,
		Shoppers: 2 + r.IntN(10), Batch: 1 + r.IntN(12), Lossy: []int{0, 200, 50, 15}[r.IntN(4)],
		CodeTTL: []time.Duration{time.Hour, time.Hour, 2 * time.Second}[r.IntN(3)],
	}
	c.Users = max(2, (c.Stock+c.UserLimit-1)/c.UserLimit+r.IntN(4))
	c.Purchases = 3 + 2*c.Stock/c.Shoppers + r.IntN(4)
	for range r.IntN(6) {
		c.Faults = append(c.Faults, Fault{
			Kind: FaultKind(1 + r.IntN(faultKinds)), At: time.Duration(r.Int64N(int64(faultWindow))),
			Target: r.IntN(3), Length: time.Duration(r.Int64N(int64(4 * time.Second))), Amount: 1 + r.IntN(5),
		})
	}
	return c
}
