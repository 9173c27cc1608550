package edge

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"sync"

	"github.com/gin-gonic/gin"
	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"

	"notsale/pkg/sale"
)

// buckets is how many users, and how many addresses, an edge remembers whose rate
// is limited, each in at most 30 MB. A bucket that is forgotten is full again:
// that of the oldest last request goes first, and most probably is.
const buckets = 1 << 16

// rates limits how often one user and one address may ask for one thing; nil:
// not at all. Checkouts and purchases have buckets of their own: too many
// checkouts cost nobody a purchase.
type rates struct {
	users     *limiter[sale.UserID]
	addresses *limiter[netip.Prefix]
	proxies   *proxies
}

func newRates(cfg Config, p *proxies) rates {
	return rates{newLimiter[sale.UserID](cfg.RatePerUser), newLimiter[netip.Prefix](cfg.RatePerAddress), p}
}

// limiter is a token bucket per key, safe for any number of callers.
type limiter[K comparable] struct {
	perSecond float64

	mu   sync.Mutex // so that no key gets two buckets
	each *simplelru.LRU[K, *rate.Limiter]
}

func newLimiter[K comparable](perSecond float64) *limiter[K] {
	if perSecond == 0 {
		return nil
	}
	each, err := simplelru.NewLRU[K, *rate.Limiter](buckets, nil)
	if err != nil { // only for sizes below 1
		panic(err)
	}
	return &limiter[K]{perSecond: perSecond, each: each}
}

// burst is how many tokens a bucket holds: a second's worth, and at least one.
func (l *limiter[K]) burst() float64 { return math.Ceil(l.perSecond) }

// take takes a token of the key's bucket, if there is one, and says how many are
// left.
func (l *limiter[K]) take(key K) (ok bool, left float64) {
	l.mu.Lock()
	bucket, found := l.each.Get(key)
	if !found {
		bucket = rate.NewLimiter(rate.Limit(l.perSecond), int(l.burst()))
		l.each.Add(key, bucket)
	}
	l.mu.Unlock()
	return bucket.Allow(), max(0, bucket.Tokens())
}

// admit takes a token of the key's bucket, tells how many are left, and refuses
// the request if there was none. policy is what the limit is called.
//
// The headers are those of draft-ietf-httpapi-ratelimit-headers-10: q tokens fit
// into the bucket, and w seconds fill it; r are left, and in t seconds it is full.
func (l *limiter[K]) admit(c *gin.Context, policy string, key K) bool {
	ok, left := l.take(key)
	burst := l.burst()
	h := c.Writer.Header()
	h.Add("Ratelimit-Policy", fmt.Sprintf("%q;q=%.0f;w=%.0f", policy, burst, math.Ceil(burst/l.perSecond)))
	h.Add("Ratelimit", fmt.Sprintf("%q;r=%.0f;t=%.0f", policy, math.Floor(left), math.Ceil((burst-left)/l.perSecond)))
	if !ok {
		c.Header("Retry-After", strconv.Itoa(int(math.Ceil(1/l.perSecond))))
		refuse(c, problemRate, "Nothing was recorded or queued. Send the same request again later.")
	}
	return ok
}

// admitAddress refuses a request of an address that asks too often, and reports
// whether it goes on.
func (r rates) admitAddress(c *gin.Context) bool {
	return r.addresses == nil || r.addresses.admit(c, "address", network(r.proxies.client(c.Request)))
}

// admitUser is admitAddress for a user. One that could not be read has no bucket.
func (r rates) admitUser(c *gin.Context, user sale.UserID) bool {
	return r.users == nil || user == "" ||
		r.users.admit(c, "user", sale.UserID(strings.Clone(string(user)))) // which is a part of the request's line
}

// Rates that can be set, per second: a higher one limits nobody, and with a lower
// one a day is not enough for two requests.
const (
	mostRate  = 1e6
	leastRate = 1.0 / (24 * 60 * 60)
)

// validRate refuses NaN, too.
func validRate(perSecond float64) bool {
	return perSecond == 0 || perSecond >= leastRate && perSecond <= mostRate
}

// ownNetwork is the length of the prefix that one client of IPv6 usually has for
// itself.
const ownNetwork = 64

// network is what has a bucket: an IPv4 address, or an IPv6 network. Addresses that
// cannot be read share one.
func network(a netip.Addr) netip.Prefix {
	bits := a.BitLen()
	if a.Is6() {
		bits = ownNetwork
	}
	p, _ := a.Prefix(bits) // bits fit
	return p
}
