package edge

import (
	"errors"
	"fmt"
	"time"

	"notsale/pkg/ledger"
	"notsale/services/edge/shop"
)

// Config says how an edge works.
type Config struct {
	shop.Config

	Listen string // address of the HTTP listener
	// Connections is how many connections may be open at once; 0: as many as the
	// process's limit of descriptors leaves.
	Connections int
	// Drain is how long the edge stays open, but not ready, after it was told
	// to stop, so that balancers notice.
	Drain time.Duration
	// CORSOrigins are the origins of other sites whose pages may use the API from
	// a browser, or "*" for all; none by default.
	CORSOrigins []string
	// RatePerUser and RatePerAddress are how many checkouts a second are taken
	// from one user and from one client address, after as many at once, and
	// beside them as many purchases; 0: any number. Beyond, 429.
	RatePerUser, RatePerAddress float64
	// TrustedProxies are the addresses and networks whose X-Forwarded-For is
	// believed; of others the connection's own address counts.
	TrustedProxies []string
	// UserHeader is the header in which a trusted proxy names the user of a
	// checkout or purchase; empty: user_id does, of whoever says so.
	UserHeader string
}

// DefaultConfig is the design's.
func DefaultConfig() Config {
	return Config{Config: shop.DefaultConfig(), Listen: ":8080"}
}

// Validate reports a setting that cannot work.
func (c Config) Validate() error {
	if err := c.Config.Validate(); err != nil {
		return err
	}
	switch {
	case !validRate(c.RatePerUser):
		return fmt.Errorf("--rate-per-user %v: want 0, or from %.2g to %.0g", c.RatePerUser, leastRate, mostRate)
	case !validRate(c.RatePerAddress):
		return fmt.Errorf("--rate-per-address %v: want 0, or from %.2g to %.0g", c.RatePerAddress, leastRate, mostRate)
	case c.Connections < 0 || c.Drain < 0:
		return errors.New("edge: waits and limits must be positive")
	}
	if _, err := newProxies(c.TrustedProxies, nil); err != nil {
		return fmt.Errorf("--trusted-proxies: %w", err)
	}
	if err := validUserHeader(c.UserHeader, c.TrustedProxies); err != nil {
		return err
	}
	for _, origin := range c.CORSOrigins {
		if err := validOrigin(origin); err != nil {
			return err
		}
	}
	return nil
}

// drainTimeout is how long a stop may take beyond the longest request: what the
// client has still to hear, and then the queues.
const drainTimeout = quietTime + time.Second

// longestRequest is how long a request may take: its body, and what the shop does.
func (c Config) longestRequest() time.Duration { return bodyTimeout + c.Longest() }

// LedgerConns is how many sessions with the ledger an edge needs: as any service,
// and one for codes that were seen to be decided, which may hold it for seconds.
const LedgerConns = ledger.DefaultConns + 1

// StopTime is how long an edge takes to stop, at most. Whoever ends its process
// waits for longer, or a request that has arrived gets no answer.
func (c Config) StopTime() time.Duration { return c.Drain + c.longestRequest() + drainTimeout }

// Limits of the HTTP server, against slow and large requests.
const (
	headerTimeout = 2 * time.Second
	// idleTimeout is longer than what balancers keep a connection for, usually a
	// minute: one that is closed as a request comes loses it. In a crowd idle
	// connections are closed at once.
	idleTimeout = 2 * time.Minute
	readingTime = 3 * time.Second // for a client to take its answer
	// maxHeader is what net/http is told to read of a request line and headers:
	// 8 KiB, less the slack of 4 KiB that it adds; beyond, it answers 431 itself.
	maxHeader = 8<<10 - 4<<10
	maxURL    = 2 << 10
)

// retryAfter is the pause that a 202 or 503 asks for, in seconds: the shortest
// that the header can express.
const retryAfter = "1"

// maxSkew is how far the edge's clock may be from NATS's: it stamps the expiry
// of codes, which the stream's clock judges.
const maxSkew = 5 * time.Second
