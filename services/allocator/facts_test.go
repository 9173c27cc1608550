//go:build unix

package allocator_test

import (
	"bytes"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"notsale/loadtest/faults/proxy"
	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/rejection"
	"notsale/pkg/sale"
	"notsale/services/servicetest"
)

// past brings a state of Redis back in which somebody else owns the item, by a
// commit that the ledger does not know.
func (d *desk) past(of sale.Sale, item sale.ItemID) {
	d.t.Helper()
	options, err := redis.ParseURL(d.RedisURL)
	if err != nil {
		d.t.Fatal(err)
	}
	client := redis.NewClient(options)
	defer client.Close()
	owner := code.ID{9}
	pipe := client.TxPipeline()
	for _, what := range []string{"items", "users", "sold"} {
		pipe.Del(d.t.Context(), fmt.Sprintf("notsale:{%v}:%s", of.UUID, what))
	}
	pipe.HSet(d.t.Context(), fmt.Sprintf("notsale:{%v}:items", of.UUID), int64(item), owner[:], "mark", bytes.Repeat([]byte{7}, 48))
	if _, err := pipe.Exec(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
}

// asked waits until the cache answers so about an item.
func (d *desk) asked(what string, of sale.Sale, item sale.ItemID, want allocation.Reason) {
	d.t.Helper()
	cache := d.Cache("asker")
	servicetest.Eventually(d.t, what, func() bool {
		answers, err := cache.Ask(d.t.Context(), []rejection.Question{{Sale: of.UUID, Item: item, User: "eve", Code: code.ID{1}}})
		return err == nil && answers[0].Reason == want
	})
}

// cached waits until the cache knows that an item is taken. What was not stored
// in time, on a busy machine, is stored with the next refusal.
func (d *desk) cached(of sale.Sale, item sale.ItemID) {
	d.t.Helper()
	cache, id := d.Cache("looker"), uint16(1000)
	servicetest.Eventually(d.t, "the cache knows what was sold", func() bool {
		answers, err := cache.Ask(d.t.Context(), []rejection.Question{{Sale: of.UUID, Item: item, User: "eve"}})
		if err == nil && answers[0].Reason == allocation.ItemTaken {
			return true
		}
		r := d.request(id, item, "eve")
		d.pack(of.ID, r)
		d.awaitReplies(r)
		id++
		return false
	})
}

// An older state of Redis is brought back after the ledger was, while the sale
// is decided: what it says of a history that never was is forgotten, at the next
// commit, and where there is none.
func TestFactsThatComeBackAreForgotten(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	of := d.OpenSale(20, 10)
	foreign := of.LastItem()
	d.allocate("allocator-1", nil)
	d.decided(of, 1)
	d.cached(of, of.FirstItem+1)
	d.past(of, foreign)
	d.asked("the past is back", of, foreign, allocation.ItemTaken)
	d.decided(of, 2)
	d.asked("a commit makes it be forgotten", of, foreign, allocation.Granted)
	d.past(of, foreign)
	d.asked("it is forgotten without one", of, foreign, allocation.Granted)
	d.check(of.ID)
}

// through puts a proxy before the server of one of the desk's URLs, which leads
// through it until direct is called.
func (d *desk) through(address *string) (way *proxy.Proxy, direct func()) {
	d.t.Helper()
	was := *address
	u, err := url.Parse(was)
	if err != nil {
		d.t.Fatal(err)
	}
	if way, err = proxy.New(u.Host, 1); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(way.Close)
	u.Host = way.Address()
	*address = u.String()
	return way, func() { *address = was }
}

// Redis comes back, with facts that are to be compared with a ledger that is
// far; later Redis is far, too. No loop counts as stalled: the lease is kept, and
// the sale goes on.
func TestComparingTheCacheIsNoStall(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	of := d.OpenSale(20, 10)
	toPostgres, directly := d.through(&d.DatabaseURL)
	patient := d.RedisURL
	d.RedisURL, _, _ = strings.Cut(patient, "?")
	toRedis, _ := d.through(&d.RedisURL)
	toRedis.Set(proxy.Reset)
	_, reg := d.allocate("allocator-1", nil)
	directly()
	d.RedisURL = patient
	d.decided(of, 1)
	d.past(of, of.LastItem())
	toPostgres.Slow(time.Second, 0) // comparing takes two round trips, with which the loop has to be patient
	toRedis.Set(proxy.Forward)
	d.decided(of, 2)
	d.asked("what a lost history says is forgotten", of, of.LastItem(), allocation.Granted)
	toPostgres.Slow(0, 0)
	toRedis.Slow(150*time.Millisecond, 0)
	d.decided(of, 3)
	if n := counter(t, reg, "notsale_allocator_alarms_total"); n != 0 {
		t.Errorf("%v alarms", n)
	}
	if n := d.Count(`SELECT epoch FROM cursors`); n != 1 {
		t.Errorf("epoch %d, though nobody had gone", n)
	}
	d.check(of.ID)
}

// Redis is away when the last item is sold. What it holds says of each item that
// it is taken, so that no request may come again that would be told the rest.
func TestTheCacheLearnsLaterThatTheSaleIsSoldOut(t *testing.T) {
	t.Parallel()
	for name, successor := range map[string]bool{"from who sold it": false, "from the next": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			of := d.OpenSale(3, 10)
			toRedis, directly := d.through(&d.RedisURL)
			stop, _ := d.allocate("allocator-1", nil)
			directly()
			d.decided(of, 0)
			d.decided(of, 1)
			d.cached(of, of.FirstItem)
			toRedis.Set(proxy.Reset)
			d.decided(of, 2)
			if successor {
				stop()
				d.allocate("allocator-2", nil)
			}
			toRedis.Set(proxy.Forward)
			d.asked("a taken item is one of a sale that is sold out", of, of.FirstItem, allocation.SoldOut)
			d.check(of.ID)
		})
	}
}

// decided buys an item and waits for the decision.
func (d *desk) decided(of sale.Sale, id uint16) {
	d.t.Helper()
	r := d.request(id, of.FirstItem+sale.ItemID(id), servicetest.User(int(id)))
	d.pack(of.ID, r)
	expectReasons(d.t, d.awaitReplies(r), allocation.Granted)
}

func (d *desk) exec(statement string, args ...any) {
	d.t.Helper()
	if _, err := d.DB.Exec(d.t.Context(), statement, args...); err != nil {
		d.t.Fatalf("%s: %v", statement, err)
	}
}
