package rejection

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/planted"
	"notsale/pkg/sale"
)

// Timeout bounds one round trip. A healthy Redis answers a hundred times
// faster; a purchase must not wait longer for a mere hint.
const Timeout = 50 * time.Millisecond

// Pause is how long the cache is left alone after an error.
const Pause = 500 * time.Millisecond

// factLife is when Redis forgets a sale's facts if nothing is added to them.
// Forgetting costs speed only.
const factLife = 48 * time.Hour

// ErrPaused says that the cache failed a moment ago and was not asked.
var ErrPaused = errors.New("rejection: redis is left alone after an error")

// Cache is a connection to Redis, safe for any number of callers.
type Cache struct {
	rdb    *redis.Client
	paused atomic.Int64 // end of the pause, Unix nanoseconds; any caller writes
}

// Open makes a cache on a redis:// URL. It connects lazily.
func Open(address, name string) (*Cache, error) {
	o, err := redis.ParseURL(address)
	if no := (*url.Error)(nil); errors.As(err, &no) { // it repeats the URL
		return nil, errors.New("rejection: REDIS_URL: it is no URL")
	}
	if err != nil {
		return nil, fmt.Errorf("rejection: REDIS_URL: %w", err)
	}
	o.ClientName = name
	o.MaxRetries = -1
	o.DialTimeout = 4 * Timeout
	o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = Timeout, Timeout, Timeout
	o.ContextTimeoutEnabled = true
	return &Cache{rdb: redis.NewClient(o)}, nil
}

// Close ends the connections.
func (c *Cache) Close() error { return c.rdb.Close() }

// Ping reports whether Redis answers, also during a pause.
func (c *Cache) Ping(ctx context.Context) error {
	if err := c.rdb.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("rejection: redis does not answer: %w", err)
	}
	return nil
}

// Question asks whether a request is refused already. A checkout has no code.
type Question struct {
	Sale sale.UUID
	Item sale.ItemID
	User sale.UserID
	Code code.ID
}

// Ask answers each question with the reason why the ledger refuses it for
// good, or with Granted where that is not known. On an error nothing is known.
func (c *Cache) Ask(ctx context.Context, questions []Question) ([]allocation.Reason, error) {
	reasons := make([]allocation.Reason, len(questions))
	if c.isPaused() {
		return reasons, ErrPaused
	}
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	groups := bySale(questions)
	pipe := c.rdb.Pipeline()
	for _, g := range groups {
		g.send(ctx, pipe, questions)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		if err = failed(groups, err); err != nil {
			c.pause()
			return reasons, fmt.Errorf("rejection: asking redis: %w", err)
		}
	}
	for _, g := range groups {
		g.judge(questions, reasons)
	}
	return reasons, nil
}

// Learn stores facts. They must be committed in the ledger.
func (c *Cache) Learn(ctx context.Context, id sale.UUID, f *allocation.Facts) error {
	if len(f.Owners) == 0 && len(f.AtLimit) == 0 && !f.SoldOut {
		return nil
	}
	if c.isPaused() {
		return ErrPaused
	}
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	pipe := c.rdb.Pipeline()
	if len(f.Owners) > 0 {
		fields := make([]any, 0, 2*len(f.Owners))
		for _, o := range f.Owners {
			fields = append(fields, int64(o.Item), o.Code[:])
		}
		pipe.HSet(ctx, itemsKey(id), fields...)
		pipe.Expire(ctx, itemsKey(id), factLife)
	}
	if len(f.AtLimit) > 0 {
		fields := make([]any, 0, 2*len(f.AtLimit))
		for _, u := range f.AtLimit {
			fields = append(fields, string(u.User), joined(u.Codes))
		}
		pipe.HSet(ctx, usersKey(id), fields...)
		pipe.Expire(ctx, usersKey(id), factLife)
	}
	if f.SoldOut {
		pipe.Set(ctx, soldKey(id), "1", factLife)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		c.pause()
		return fmt.Errorf("rejection: storing facts in redis: %w", err)
	}
	return nil
}

func (c *Cache) isPaused() bool { return time.Now().UnixNano() < c.paused.Load() }

func (c *Cache) pause() { c.paused.Store(time.Now().Add(Pause).UnixNano()) }

func joined(ids []code.ID) []byte {
	b := make([]byte, 0, len(ids)*len(code.ID{}))
	for _, id := range ids {
		b = append(b, id[:]...)
	}
	return b
}

func itemsKey(id sale.UUID) string { return key(id, "items") }
func usersKey(id sale.UUID) string { return key(id, "users") }
func soldKey(id sale.UUID) string  { return key(id, "sold") }

func key(id sale.UUID, what string) string {
	if planted.Bug == planted.CacheKeyWithoutUUID {
		return "notsale:" + what
	}
	return "notsale:{" + id.String() + "}:" + what
}
