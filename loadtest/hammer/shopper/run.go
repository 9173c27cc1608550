package shopper

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// heldCodes are checked out before the run and purchased after it: fresh
// codes that the sold-out sale must refuse, even if it refuses checkouts too.
const heldCodes = 3

// run is one sell-out under way. Work is numbered: number k is for item
// perm[k/(1+contention)], by its home shopper or one of its rivals.
type run struct {
	cfg    Config
	sale   Sale
	perm   []int
	names  []string
	budget *budget
	next   atomic.Int64 // the next number, shared by all clients
}

// Run sells out one sale, from its first item to the last answer or the end
// of ctx, and returns what was seen. The sale may have sold items already.
func Run(ctx context.Context, cfg Config) (*Result, error) {
	r, prep, err := prepare(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer prep.conn.Close()
	clients := make([]*client, cfg.Clients)
	for i := range clients {
		if clients[i], err = newClient(&cfg, i+1); err != nil {
			return nil, err
		}
	}
	start := time.Now()
	var wg sync.WaitGroup
	for _, c := range clients {
		wg.Go(func() {
			defer c.conn.Close()
			r.work(ctx, c)
		})
	}
	wg.Wait()
	return newResult(r, time.Since(start), prep, clients), nil
}

func prepare(ctx context.Context, cfg Config) (*run, *client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, nil, err
	}
	prep, err := newClient(&cfg, 0)
	if err != nil {
		return nil, nil, err
	}
	r := &run{cfg: cfg}
	if r.sale, err = FetchSale(ctx, prep.conn, cfg.Sale); err != nil {
		return nil, nil, err
	}
	unsold := r.sale.Stock - r.sale.Sold
	if unsold == 0 {
		return nil, nil, fmt.Errorf("sale %d: %w: it is sold out", r.sale.ID, ErrNoOpenSale)
	}
	users, err := cfg.users(unsold)
	if err != nil {
		return nil, nil, err
	}
	r.fill(users)
	for i := 0; len(prep.outcomes) < heldCodes && i < heldCodes+len(r.perm); i++ {
		item := r.sale.FirstItem + int64(r.perm[i%len(r.perm)])
		user := r.user("held", i)
		resp := prep.doCheckout(ctx, user, item)
		if resp.Status == http.StatusConflict { // sold before
			continue
		}
		prep.outcomes = append(prep.outcomes, Outcome{User: user, Item: item, Code: parseCode(resp.Body), Status: resp.Status})
	}
	return r, prep, nil
}

func (r *run) fill(users int) {
	r.perm = rand.New(rand.NewPCG(r.cfg.Seed, 0)).Perm(r.sale.Stock) //nolint:gosec // a reproducible order, no secret
	r.names = make([]string, users)
	r.budget = newBudget(users, r.cfg.Limit)
	for i := range r.names {
		r.names[i] = r.user("u", i)
	}
}

func (r *run) user(kind string, n int) string {
	return "hammer-" + r.cfg.RunID + "-" + kind + strconv.Itoa(n)
}

// work lets one client take numbers until none is left.
func (r *run) work(ctx context.Context, c *client) {
	shoppers := int64(1 + r.cfg.Contention)
	for ctx.Err() == nil {
		k := r.next.Add(1) - 1
		if k >= int64(len(r.perm))*shoppers {
			return
		}
		if r.cfg.Pass != nil {
			r.cfg.Pass(k)
		}
		item := r.sale.FirstItem + int64(r.perm[k/shoppers])
		if k%shoppers == 0 {
			r.buy(ctx, c, item)
		} else {
			c.shop(ctx, r.rival(k), item)
		}
	}
}

// rival picks any user, within its budget or not: that is what makes the
// limit bite.
func (r *run) rival(k int64) string {
	rng := rand.NewPCG(r.cfg.Seed, uint64(k))
	return r.names[rng.Uint64()%uint64(len(r.names))]
}

// buy tries users until the item is sold, to one of them or to a rival.
func (r *run) buy(ctx context.Context, c *client, item int64) {
	for {
		user, ok := r.budget.take(ctx)
		if !ok {
			return
		}
		o := c.shop(ctx, r.names[user], item)
		r.budget.release(user, o.Status == http.StatusConflict || o.Status == http.StatusGone)
		if o.Status != http.StatusTooManyRequests { // at the limit: another user
			return
		}
	}
}
