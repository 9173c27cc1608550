package rejection

import (
	"context"
	_ "embed" // the script
	"encoding/binary"
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
// Redis answers a hundred times faster, and a purchase must not wait longer for a
// mere hint.
const Timeout = 50 * time.Millisecond

// Pause is how long the cache is left alone after an error.
const Pause = 500 * time.Millisecond

// connectTrips is how many timeouts it may take to make a connection in the
// background: TCP, TLS, a login, a sentinel's answer.
const connectTrips = 20

// steady is how long nothing must have failed until the cache counts as working
// again, so that one that fails now and then causes one warning.
const steady = 10 * time.Second

// factLife is after how long without new facts Redis forgets those of a sale, which
// costs speed only.
const factLife = 48 * time.Hour

// markField is the field of the items hash that holds the mark; items are numbers.
const markField = "mark"

// ErrPaused says that the cache failed a moment ago and was not asked.
var ErrPaused = errors.New("rejection: redis is left alone after an error")

// ErrMoved says that a sale's mark is not the one that the caller has seen.
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
	until  atomic.Int64 // end of the pause after the last failure, Unix nanoseconds
	warned atomic.Bool  // of the outage, whose end was not logged yet
}

// Open makes a cache. It connects lazily.
func Open(cfg Config, log *slog.Logger) (*Cache, error) {
	s, err := cfg.server()
	if err != nil {
		return nil, err
	}
	return &Cache{rdb: s.client(), timeout: s.ReadTimeout, log: log}, nil
}

// Close ends the connections. The cache must not be used meanwhile or afterwards.
func (c *Cache) Close() error {
	err := c.rdb.Close()
	c.background.Wait()
	return err
}

// Probe asks Redis what an edge asks, about a sale that does not exist, also during
// a pause: a Redis that answers nothing but PING is of no use.
func (c *Cache) Probe(ctx context.Context) error {
	if _, err := c.trip(ctx, []Question{{Item: 1, User: "nobody"}}); err != nil {
		return fmt.Errorf("rejection: redis does not answer what it is asked: %w", err)
	}
	return nil
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
	commands, err := pipe.Exec(ctx)
	if errors.Is(err, redis.Nil) { // a sale is not sold out; behind it may be another command's error
		err = nil
		for _, command := range commands {
			if failed := command.Err(); !errors.Is(failed, redis.Nil) {
				err = errors.Join(err, failed)
			}
		}
	}
	return groups, err
}

// Learn stores the facts of a batch that ends at upTo, if the sale's mark is still
// from, and returns the new mark. If there are no facts, it does nothing. If the mark
// is another one, it stores nothing and returns ErrMoved: Redis may have been put back
// to an earlier state since the caller has seen the mark. The facts must be committed
// in the ledger; see Mark for what else is required.
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

// Mark returns the commit up to which the sale's facts were learned; the zero Mark:
// there are no facts that prove anything. An allocator that begins to decide a sale
// must look for that commit in the ledger before it learns anything, and call Forget
// if the ledger does not know it.
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

// call makes one round trip of an allocator.
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

// done handles the end of a call of this kind. An error that Redis itself answers,
// such as that it is a replica, is an outage of this kind of call only; no answer is
// an outage of all.
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

// connect makes a connection for the next call in the background, unless that is
// being done. It takes several round trips, while a call waits for one only.
func (c *Cache) connect() {
	if !c.connecting.CompareAndSwap(false, true) {
		return
	}
	c.background.Go(func() {
		defer c.connecting.Store(false)
		ctx, cancel := context.WithTimeout(context.Background(), connectTrips*c.timeout)
		defer cancel()
		_ = c.Probe(ctx) // if it fails, so does the next call
	})
}

// Failures counts the calls that failed, without those during a pause.
func (c *Cache) Failures() uint64 { return c.failures.Load() }

func (o *outage) paused() bool { return time.Now().UnixNano() < o.until.Load() }

// fails starts a pause, and reports whether an outage begins with it.
func (o *outage) fails(now time.Time) (begins bool) {
	o.until.Store(now.Add(Pause).UnixNano())
	return o.warned.CompareAndSwap(false, true)
}

// ends reports whether a call that succeeds now ends an outage.
func (o *outage) ends(now time.Time) bool {
	return o.warned.Load() && now.Add(Pause-steady).UnixNano() >= o.until.Load() && o.warned.CompareAndSwap(true, false)
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

// Mark is the commit of the ledger up to which a sale's facts were learned. A ledger
// that was restored to before it does not know it. The zero Mark: there is none.
type Mark struct {
	Generation int64
	Sequence   uint64
	Chain      allocation.Hash
}

// MarkOf returns the mark of a batch that ends at the cursor.
func MarkOf(c *allocation.Cursor) Mark {
	return Mark{Generation: c.Generation, Sequence: c.Sequence, Chain: c.Chain}
}

const markSize = 8 + 8 + len(allocation.Hash{})

func (m Mark) encode() []byte {
	if m == (Mark{}) {
		return nil
	}
	b := make([]byte, 0, markSize)
	b = binary.BigEndian.AppendUint64(b, uint64(m.Generation))
	b = binary.BigEndian.AppendUint64(b, m.Sequence)
	return append(b, m.Chain[:]...)
}

// decodeMark reads what encode writes; anything else gives the zero Mark.
func decodeMark(text string) (m Mark) {
	if len(text) != markSize {
		return Mark{}
	}
	b := []byte(text)
	m.Generation, m.Sequence = int64(binary.BigEndian.Uint64(b)), binary.BigEndian.Uint64(b[8:])
	copy(m.Chain[:], b[16:])
	return m
}
