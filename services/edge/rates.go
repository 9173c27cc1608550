package edge

import (
	"math"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/hashicorp/golang-lru/v2/expirable"
	"golang.org/x/time/rate"

	"notsale/pkg/sale"
)

// Limits of what an edge remembers of those whose rate is limited. A bucket that
// is forgotten is full again; that is seldom enough to mean nothing.
const (
	buckets        = 1 << 16
	bucketLifetime = time.Minute
)

// rates limits how often one user and one address may ask; nil: not at all.
type rates struct {
	users     *limiter[sale.UserID]
	addresses *limiter[netip.Prefix]
}

func newRates(cfg Config) rates {
	return rates{newLimiter[sale.UserID](cfg.RatePerUser), newLimiter[netip.Prefix](cfg.RatePerAddress)}
}

// limiter is a token bucket per key, safe for any number of callers.
type limiter[K comparable] struct {
	perSecond float64

	mu   sync.Mutex // so that no key gets two buckets
	each *expirable.LRU[K, *rate.Limiter]
}

func newLimiter[K comparable](perSecond float64) *limiter[K] {
	if perSecond == 0 {
		return nil
	}
	life := max(bucketLifetime, time.Duration(10/perSecond*float64(time.Second)))
	return &limiter[K]{perSecond: perSecond, each: expirable.NewLRU[K, *rate.Limiter](buckets, nil, life)}
}

// take takes a token of the key's bucket, which holds a second's worth.
func (l *limiter[K]) take(key K) bool {
	if l == nil {
		return true
	}
	l.mu.Lock()
	bucket, found := l.each.Get(key)
	if !found {
		bucket = rate.NewLimiter(rate.Limit(l.perSecond), int(math.Ceil(l.perSecond)))
		l.each.Add(key, bucket)
	}
	l.mu.Unlock()
	return bucket.Allow()
}

// admitAddress refuses a request of an address that asks too often, and reports
// whether it goes on.
func (e *Edge) admitAddress(c *gin.Context) bool {
	if e.rates.addresses == nil || e.rates.addresses.take(network(c.ClientIP())) {
		return true
	}
	tooOften(c, e.rates.addresses.perSecond)
	return false
}

// admitUser is admitAddress for a user. One that could not be read has no bucket.
func (e *Edge) admitUser(c *gin.Context, user sale.UserID) bool {
	if user == "" || e.rates.users.take(user) {
		return true
	}
	tooOften(c, e.rates.users.perSecond)
	return false
}

func tooOften(c *gin.Context, perSecond float64) {
	c.Header("Retry-After", strconv.Itoa(int(math.Ceil(1/perSecond))))
	refuse(c, problemRate, "Nothing was recorded or queued. Send the same request again later.")
}

// ownNetwork is the length of the prefix that one client of IPv6 usually has for
// itself.
const ownNetwork = 64

// network is whom an address counts for: itself, or its IPv6 network.
func network(address string) netip.Prefix {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return netip.Prefix{} // one bucket for all that cannot be told apart
	}
	a = a.Unmap().WithZone("")
	bits := a.BitLen()
	if a.Is6() {
		bits = ownNetwork
	}
	p, _ := a.Prefix(bits) // bits fit
	return p
}

// checkProxies reports what is neither an address nor a network.
func checkProxies(list []string) error {
	for _, text := range list {
		_, errAddress := netip.ParseAddr(text)
		_, errNetwork := netip.ParsePrefix(text)
		if errAddress != nil && errNetwork != nil {
			return errNetwork
		}
	}
	return nil
}
