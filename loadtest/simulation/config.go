package simulation

import (
	"math/rand/v2"
	"strings"
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
	LedgerSlow      FaultKind = 13
	faultKinds                = 13
	CrashAtPoint    FaultKind = 14 // whoever reaches Point
)

// Fault is something that goes wrong at a time.
type Fault struct {
	Kind   FaultKind
	At     time.Duration // after the start
	Target int           // which process, where there are several
	Length time.Duration // how long it is away, stopped or down
	Amount int           // messages lost

	// Point delays the fault until somebody reaches this point for the Nth
	// time after At; see Points. Empty: it happens at once.
	Point string
	Nth   int
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
		f := Fault{
			Kind: FaultKind(1 + r.IntN(faultKinds)), At: time.Duration(r.Int64N(int64(faultWindow))),
			Target: r.IntN(3), Length: time.Duration(r.Int64N(int64(4 * time.Second))), Amount: 1 + r.IntN(5),
		}
		if f.Kind == CrashScheduler && f.Amount > 2 {
			f.At /= 200 // while the first sale opens
		}
		c.Faults = append(c.Faults, f)
	}
	for range r.IntN(4) {
		c.Faults = append(c.Faults, drawCrash(r)...)
	}
	if r.IntN(8) == 0 {
		c.Faults = append(c.Faults, drawBlip(r)...)
	}
	return c
}

// drawCrash draws a crash at a point, with the fault without which the point is not
// reached.
func drawCrash(r *rand.Rand) []Fault {
	points := Points()
	f := Fault{
		Kind: CrashAtPoint, Point: points[r.IntN(len(points))], Nth: 1 + r.IntN(3),
		At: time.Duration(r.Int64N(int64(faultWindow))), Length: time.Duration(r.Int64N(int64(2 * time.Second))),
	}
	switch {
	case strings.HasPrefix(f.Point, "scheduler/"): // the sale opens at the start
		f.At, f.Nth = 0, 1
	case strings.HasSuffix(f.Point, "-release"), strings.HasSuffix(f.Point, "-settled"), strings.HasSuffix(f.Point, "-sales-of"): // seldom called
		f.At, f.Nth = 0, 1
	case strings.HasSuffix(f.Point, "-applied"), strings.HasSuffix(f.Point, "-open-generation"):
		f.Nth = 1
		lost := Fault{Kind: StreamTailLost, At: f.At + time.Duration(r.Int64N(int64(time.Second))), Amount: 2 + r.IntN(8)}
		return []Fault{f, lost}
	}
	return []Fault{f}
}

// drawBlip draws a NATS that goes away, and that comes back only to lose its
// tail between an allocator's look at the stream and its reader.
func drawBlip(r *rand.Rand) []Fault {
	at := time.Duration(r.Int64N(int64(faultWindow)))
	return []Fault{
		{Kind: StreamAway, At: at, Length: time.Duration(r.Int64N(int64(200 * time.Millisecond)))},
		{Kind: StreamTailLost, At: at, Point: "allocator/before-read", Nth: 1, Amount: 1 + r.IntN(3)},
	}
}
