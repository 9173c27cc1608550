package rejection

import (
	"context"
	_ "embed" // the script
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/sale"
)

// Timeout bounds one round trip, unless the URL has a read_timeout. A healthy
// Redis answers a hundred times faster; a purchase must not wait longer for a
// mere hint.
const Timeout = 50 * time.Millisecond

// Pause is how long the cache is left alone after an error.
const Pause = 500 * time.Millisecond

// connectTrips is how many times its timeout a connection may take to be made,
// which is not waited for: TCP, TLS, a login, a sentinel's word.
const connectTrips = 20

// steady is for how long nothing must have failed until the cache counts as
// working again: one that fails now and then is told of once.
const steady = 10 * time.Second

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
	rdb        *redis.Client
	timeout    time.Duration // of one round trip
	log        *slog.Logger
	asking     outage
	learning   outage
	failures   atomic.Uint64 // any caller writes
	connecting atomic.Bool   // a connection is being made in the background
	background sync.WaitGroup
}

// outage is what is known of the failures of one kind of call. Any caller writes.
type outage struct {
	until atomic.Int64 // end of the pause after the last failure, Unix nanoseconds
	told  atomic.Bool  // of it, and not yet of its end
}

// Open makes a cache on what cfg says. It connects lazily.
func Open(cfg Config, log *slog.Logger) (*Cache, error) {
	s, err := cfg.server()
	if err != nil {
		return nil, err
	}
	return &Cache{rdb: s.client(), timeout: s.ReadTimeout, log: log}, nil
}

// Close ends the connections. Nobody calls the cache then or afterwards.
func (c *Cache) Close() error {
	err := c.rdb.Close()
	c.background.Wait()
	return err
}

// Probe asks Redis what an edge asks, about a sale that there is not, also
// during a pause: one that answers PING, and nothing else, is of no use.
func (c *Cache) Probe(ctx context.Context) error {
	if _, err := c.trip(ctx, []Question{{Item: 1, User: "nobody"}}); err != nil {
		return fmt.Errorf("rejection: redis does not answer what it is asked: %w", err)
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
	groups, err := c.trip(ctx, questions)
	if err = c.done(&c.asking, "asking redis", err); err != nil {
		return answers, err
	}
	for _, g := range groups {
		g.judge(questions, answers)
	}
	return answers, nil
}

// trip asks all questions in one round trip.
func (c *Cache) trip(ctx context.Context, questions []Question) ([]*group, error) {
	groups := bySale(questions)
	pipe := c.rdb.Pipeline()
	for _, g := range groups {
		g.send(ctx, pipe, questions)
	}
	_, err := pipe.Exec(ctx)
	return groups, failed(groups, err)
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

// done takes how a call of this kind ended. What Redis itself answers, such as
// that it is a replica, speaks of this kind only; that it does not answer, of all.
func (c *Cache) done(kind *outage, what string, err error) error {
	if err == nil {
		if kind.ends(time.Now()) {
			c.log.Info("the rejection cache works again", "after", what)
		}
		return nil
	}
	c.failures.Add(1)
	begins := kind.fails(time.Now())
	var answer redis.Error
	if !errors.As(err, &answer) {
		c.asking.fails(time.Now())
		c.learning.fails(time.Now())
		c.connect()
	}
	if begins {
		c.log.Warn("the rejection cache does not work: the sale goes on, slower", "while", what, "error", err)
	}
	return fmt.Errorf("rejection: %s: %w", what, err)
}

// connect makes a connection for the next call, unless one is being made. Over a
// long way that takes several round trips, and a call waits for one only.
func (c *Cache) connect() {
	if !c.connecting.CompareAndSwap(false, true) {
		return
	}
	c.background.Go(func() {
		defer c.connecting.Store(false)
		ctx, cancel := context.WithTimeout(context.Background(), connectTrips*c.timeout)
		defer cancel()
		_ = c.Probe(ctx) // the next call tells
	})
}

// Failures counts the calls that failed, those in a pause not included.
func (c *Cache) Failures() uint64 { return c.failures.Load() }

func (o *outage) paused() bool { return time.Now().UnixNano() < o.until.Load() }

// fails begins a pause, and reports whether an outage begins with it.
func (o *outage) fails(now time.Time) (begins bool) {
	o.until.Store(now.Add(Pause).UnixNano())
	return o.told.CompareAndSwap(false, true)
}

// ends reports whether a call that succeeds now ends an outage.
func (o *outage) ends(now time.Time) bool {
	return o.told.Load() && now.Add(Pause-steady).UnixNano() >= o.until.Load() && o.told.CompareAndSwap(true, false)
}

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
	return "notsale:{" + id.String() + "}:" + what
}
