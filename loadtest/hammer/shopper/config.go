package shopper

import (
	"errors"
	"fmt"
	"time"
)

const (
	// maxCapacity bounds the memory for the users' budgets: 4 bytes a purchase.
	maxCapacity = 50_000_000
	// maxPause bounds how long a Retry-After is honoured: longer than the system
	// ever asks for.
	maxPause = 5 * time.Second
)

// Config says how a sale is sold out. Start from DefaultConfig.
type Config struct {
	Target     string        // http://host:port
	Sale       int64         // 0: the newest open one
	Clients    int           // concurrent shoppers, one connection each
	Users      int           // 0: as few as can buy everything; else Users × Limit covers the stock
	Limit      int           // purchases a user may make; the system's own limit must be the same
	Contention int           // rivals who want the same item, per item
	Seed       uint64        // order of the items, choice of the rivals
	Timeout    time.Duration // of one request; longer than the system's own wait for a decision
	Settle     time.Duration // after the last answer, until all answers must be those of a sold-out sale
	RunID      string        // part of every user id, so that no user of a second run is at the limit already

	// Pass is asked before each visit, with the visit's number from 0, and may
	// wait: so a test holds a sale open until it has done what it must. Nil: nobody waits.
	Pass func(visit int64)
}

// DefaultConfig is a sell-out by 256 clients without rivals.
func DefaultConfig() Config {
	return Config{
		Target:  "http://127.0.0.1:8080",
		Clients: 256,
		Limit:   10,
		Seed:    1,
		Timeout: 10 * time.Second,
		Settle:  time.Minute,
		RunID:   "0",
	}
}

// Validate says what is wrong with the parts that no server is asked for.
func (c *Config) Validate() error {
	var errs []error
	for _, f := range []struct {
		name     string
		val, min int
	}{
		{"clients", c.Clients, 1},
		{"users", c.Users, 0},
		{"limit", c.Limit, 1},
		{"contention", c.Contention, 0},
	} {
		if f.val < f.min {
			errs = append(errs, fmt.Errorf("%s: %d is less than %d", f.name, f.val, f.min))
		}
	}
	if c.Timeout <= 0 {
		errs = append(errs, fmt.Errorf("timeout: %v is not positive", c.Timeout))
	}
	return errors.Join(errs...)
}

// users returns how many users the unsold items take, or why they do not suffice.
func (c *Config) users(unsold int) (int, error) {
	least := (unsold + c.Limit - 1) / c.Limit
	n := c.Users
	if n == 0 {
		n = least
	}
	if n < least {
		return 0, fmt.Errorf("%d users at %d each cannot buy %d items: at least %d are needed", n, c.Limit, unsold, least)
	}
	if n > maxCapacity/c.Limit {
		return 0, fmt.Errorf("%d users at %d each: more than %d purchases", n, c.Limit, maxCapacity)
	}
	return n, nil
}
