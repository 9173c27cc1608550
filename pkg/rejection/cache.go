package rejection

import (
	"context"
	_ "embed" // the script
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/planted"
	"notsale/pkg/sale"
)

// Timeout bounds one round trip, unless the URL has a read_timeout. A healthy
// Redis answers a hundred times faster; a purchase must not wait longer for a
// mere hint.
const Timeout = 50 * time.Millisecond

// Pause is how long the cache is left alone after an error.
const Pause = 500 * time.Millisecond

// factLife is when Redis forgets a sale's facts if nothing is added to them.
// Forgetting costs speed only.
const factLife = 48 * time.Hour

// markField is the field of an items hash that holds the mark; items are numbers.
const markField = "mark"

// ErrPaused says that the cache failed a moment ago and was not asked.
var ErrPaused = errors.New("rejection: redis is left alone after an error")

// ErrMoved says that a sale's mark is not the one that was looked at.
var ErrMoved = errors.New("rejection: the facts in redis are not those that were looked at")

//go:embed learn.lua
var learnScript string

// Cache is a connection to Redis, safe for any number of callers.
type Cache struct {
	rdb      *redis.Client
	timeout  time.Duration // of one round trip
	log      *slog.Logger
	asking   outage
	learning outage
	failures atomic.Uint64 // any caller writes
	warned   atomic.Int64  // when a warning was last written, Unix nanoseconds; any caller writes
}

// outage is what is known of the failures of one kind of call. Any caller writes.
type outage struct {
	until atomic.Int64 // end of the pause, Unix nanoseconds
	told  atomic.Bool  // a warning was written since the last success
}

// Open makes a cache on a redis:// URL. It connects lazily. The URL's
// read_timeout, if it has one, takes the place of Timeout.
func Open(address, name string, log *slog.Logger) (*Cache, error) {
	o, err := redis.ParseURL(address)
	if no := (*url.Error)(nil); errors.As(err, &no) { // it repeats the URL
		return nil, errors.New("rejection: REDIS_URL: it is no URL")
	}
	if err != nil {
		return nil, fmt.Errorf("rejection: REDIS_URL: %w", err)
	}
	timeout := Timeout
	if o.ReadTimeout > 0 {
		timeout = o.ReadTimeout
	}
	o.ClientName = name
	o.MaxRetries = -1
	o.DialTimeout = 4 * timeout
	o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = timeout, timeout, timeout
	o.ContextTimeoutEnabled = true
	return &Cache{rdb: redis.NewClient(o), timeout: timeout, log: log}, nil
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

// Answer is what the cache knows of a question.
type Answer struct {
	Reason allocation.Reason // why it is refused for good; Granted: not known to be
	Ours   bool              // a fact names the code as a grant: its decision is in the ledger
	Blank  bool              // nothing at all is known of the sale
}

// Ask answers the questions in their order. On an error nothing is known.
func (c *Cache) Ask(ctx context.Context, questions []Question) ([]Answer, error) {
	answers := make([]Answer, len(questions))
	for i := range answers {
		answers[i].Blank = true
	}
	if c.asking.paused() {
		return answers, ErrPaused
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	groups := bySale(questions)
	pipe := c.rdb.Pipeline()
	for _, g := range groups {
		g.send(ctx, pipe, questions)
	}
	_, err := pipe.Exec(ctx)
	if err = c.done(&c.asking, "asking redis", failed(groups, err)); err != nil {
		return answers, err
	}
	for _, g := range groups {
		g.judge(questions, answers)
	}
	return answers, nil
}

// Learn stores the facts of a batch that ends at upTo, where the sale's mark is
// still from, and returns the mark after it; of no facts there is none to store.
// Where the mark is another one it stores nothing and returns ErrMoved: an
// earlier state of Redis may have been brought back since it was looked at. The
// facts must be committed in the ledger; see Mark for what else is asked.
func (c *Cache) Learn(ctx context.Context, id sale.UUID, from, upTo Mark, f *allocation.Facts) (Mark, error) {
	if len(f.Owners) == 0 && len(f.AtLimit) == 0 && !f.SoldOut {
		return from, nil
	}
	args := make([]any, 0, 5+2*len(f.Owners)+2*len(f.AtLimit))
	args = append(args, from.encode(), upTo.encode(), int64(factLife.Seconds()), f.SoldOut, 2*len(f.Owners))
	for _, o := range f.Owners {
		args = append(args, int64(o.Item), o.Code[:])
	}
	for _, u := range f.AtLimit {
		args = append(args, string(u.User), joined(u.Codes))
	}
	return upTo, c.call(ctx, "storing facts in redis", func(ctx context.Context) error {
		stored, err := c.rdb.Eval(ctx, learnScript, []string{itemsKey(id), usersKey(id), soldKey(id)}, args...).Bool()
		if err == nil && !stored {
			return ErrMoved
		}
		return err
	})
}

// Mark returns up to which place the sale's facts were learned; the zero one:
// nothing that is there proves anything. Whoever begins to decide a sale looks
// for it in the ledger before learning anything, and forgets facts whose mark
// the ledger does not know.
func (c *Cache) Mark(ctx context.Context, id sale.UUID) (m Mark, err error) {
	err = c.call(ctx, "reading the mark in redis", func(ctx context.Context) error {
		text, err := c.rdb.HGet(ctx, itemsKey(id), markField).Result()
		m = decodeMark(text)
		if errors.Is(err, redis.Nil) {
			return nil
		}
		return err
	})
	return m, err
}

// Forget removes all facts of a sale, and its mark.
func (c *Cache) Forget(ctx context.Context, id sale.UUID) error {
	return c.call(ctx, "removing facts from redis", func(ctx context.Context) error {
		return c.rdb.Del(ctx, itemsKey(id), usersKey(id), soldKey(id)).Err()
	})
}

// call makes one round trip of those that belong to learning.
func (c *Cache) call(ctx context.Context, what string, trip func(context.Context) error) error {
	if c.learning.paused() {
		return ErrPaused
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	err := trip(ctx)
	if errors.Is(err, ErrMoved) {
		return err
	}
	return c.done(&c.learning, what, err)
}

// warnEvery keeps a Redis that fails now and then from filling the log.
const warnEvery = time.Minute

// done takes how a call of this kind ended. What Redis itself answers, such as
// that it is a replica, speaks of this kind only; that it does not answer, of all.
func (c *Cache) done(kind *outage, what string, err error) error {
	if err == nil {
		kind.told.Store(false)
		return nil
	}
	c.failures.Add(1)
	kind.pause()
	var answer redis.Error
	if !errors.As(err, &answer) {
		c.asking.pause()
		c.learning.pause()
	}
	if !kind.told.Load() && c.mayWarn() {
		kind.told.Store(true)
		c.log.Warn("the rejection cache does not work: the sale goes on, slower", "while", what, "error", err)
	}
	return fmt.Errorf("rejection: %s: %w", what, err)
}

func (c *Cache) mayWarn() bool {
	now := time.Now().UnixNano()
	last := c.warned.Load()
	return now-last > int64(warnEvery) && c.warned.CompareAndSwap(last, now)
}

// Failures counts the calls that failed, those in a pause not included.
func (c *Cache) Failures() uint64 { return c.failures.Load() }

func (o *outage) paused() bool { return time.Now().UnixNano() < o.until.Load() }

func (o *outage) pause() { o.until.Store(time.Now().Add(Pause).UnixNano()) }

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
