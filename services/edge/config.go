package edge

import (
	"errors"
	"fmt"
	"time"
)

// Config says how an edge works.
type Config struct {
	Listen string // address of the HTTP listener
	// CodeTTL is how long a code can be used to buy, by the stream's clock.
	CodeTTL time.Duration
	// PurchaseWait is how long a purchase waits for its decision before it is
	// answered 202, or 503 if it is not even known to be queued.
	PurchaseWait time.Duration
	// CheckoutWait is how long a checkout waits for its attempt to be stored: by
	// default longer than two acknowledgements of a NATS whose flushes take 3 s,
	// that of the pack before its own and of its own.
	CheckoutWait time.Duration
	// Waiting is the most purchases that may wait at once; each holds a
	// connection and about 10 kB.
	Waiting int
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
	return Config{
		Listen: ":8080", CodeTTL: time.Hour, PurchaseWait: 5 * time.Second, CheckoutWait: 7 * time.Second,
		Waiting: 16_384, Drain: 0,
	}
}

// Validate reports a setting that cannot work.
func (c Config) Validate() error {
	switch {
	case c.CodeTTL < time.Second:
		return fmt.Errorf("--code-ttl %v: want at least 1s", c.CodeTTL)
	case c.PurchaseWait < 10*time.Millisecond || c.PurchaseWait > time.Minute:
		return fmt.Errorf("--purchase-wait %v: want 10ms to 1m", c.PurchaseWait)
	case !validRate(c.RatePerUser):
		return fmt.Errorf("--rate-per-user %v: want 0, or from %.2g to %.0g", c.RatePerUser, leastRate, mostRate)
	case !validRate(c.RatePerAddress):
		return fmt.Errorf("--rate-per-address %v: want 0, or from %.2g to %.0g", c.RatePerAddress, leastRate, mostRate)
	case c.CheckoutWait <= 0 || c.Waiting < 1 || c.Connections < 0 || c.Drain < 0:
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

// besideTheWait is how long a request may take apart from its wait for a
// decision, or for its attempt to be stored: its body, its sale, a look at the
// ledger before and after, and a second for the cache.
const besideTheWait = bodyTimeout + readTimeout + 2*lookPatience + time.Second

// drainTimeout is how long a stop may take beyond the longest request: what the
// client has still to hear, and then the queues.
const drainTimeout = lastWords + time.Second

func (c Config) longestRequest() time.Duration {
	return max(c.PurchaseWait, c.CheckoutWait) + besideTheWait
}

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
