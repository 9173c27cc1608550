package allocator

import (
	"errors"
	"time"
)

// Config says how an allocator works.
type Config struct {
	// LeaseTTL is how long a sale stays with an allocator that does not renew its
	// lease.
	LeaseTTL time.Duration
	// Renewal is how often leases are renewed and free sales looked for; less
	// than a third of LeaseTTL, so that one lost renewal loses no lease.
	Renewal time.Duration
	// BatchRequests ends a batch: a commit grows by about 10 µs per decision
	// on top of a fixed cost of about 1 ms.
	BatchRequests int
	// TakeAtOnce is how many free sales are taken in one transaction.
	TakeAtOnce int
	// RestorePage is how many decisions one statement reads when a sale is taken
	// over or followed: it takes some 30 ms of the 15 s that it may take.
	RestorePage int
}

// DefaultConfig is the design's.
func DefaultConfig() Config {
	return Config{LeaseTTL: time.Second, Renewal: 250 * time.Millisecond, BatchRequests: 512, TakeAtOnce: 1000, RestorePage: 10_000}
}

// Validate reports a setting that cannot work.
func (c Config) Validate() error {
	switch {
	case c.Renewal <= 0 || c.LeaseTTL < 3*c.Renewal:
		return errors.New("allocator: the lease must last at least three renewals")
	case c.BatchRequests < 1 || c.TakeAtOnce < 1 || c.RestorePage < 1:
		return errors.New("allocator: sizes of a batch and of a page, and number of sales to take, must be positive")
	}
	return nil
}
