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

	"notsale/pkg/client"
)

// heldCodes are checked out before the run and purchased after it: fresh
// codes that the sold-out sale must refuse, even if it refuses checkouts too.
const heldCodes = 3

// run is one sell-out under way. Work is numbered: number k is for item
// perm[k/(1+contention)], by its home shopper or one of its rivals.
type run struct {
	cfg    Config
	sale   client.Sale
	perm   []int
	names  []string
	budget *budget
	next   atomic.Int64 // the next number, shared by all buyers
}

// Run sells out one sale, from its first item to the last answer or the end
// of ctx, and returns what was seen. The sale may have sold items already.
func Run(ctx context.Context, cfg Config) (*Result, error) {
	r, prep, err := prepare(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer prep.shop.Close()
	buyers := make([]*buyer, cfg.Clients)
	for i := range buyers {
		if buyers[i], err = newBuyer(&cfg); err != nil {
			return nil, err
		}
	}
	start := time.Now()
	var wg sync.WaitGroup
	for _, b := range buyers {
		wg.Go(func() {
			defer b.shop.Close()
			r.work(ctx, b)
		})
	}
	wg.Wait()
	return newResult(r, time.Since(start), prep, buyers), nil
}

func prepare(ctx context.Context, cfg Config) (*run, *buyer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, nil, err
	}
	prep, err := newBuyer(&cfg)
	if err != nil {
		return nil, nil, err
	}
	r := &run{cfg: cfg}
	if cfg.Sale == 0 {
		r.sale, err = prep.shop.OpenSale(ctx)
	} else {
		r.sale, err = prep.shop.Sale(ctx, cfg.Sale)
	}
	if err != nil {
		return nil, nil, err
	}
	unsold := r.sale.Stock - r.sale.Sold
	if unsold <= 0 {
		return nil, nil, fmt.Errorf("sale %d: %w: it is sold out", r.sale.ID, client.ErrNoOpenSale)
	}
	users, err := cfg.users(unsold)
	if err != nil {
		return nil, nil, err
	}
	r.fill(users)
	for i := 0; len(prep.outcomes) < heldCodes && i < heldCodes+len(r.perm); i++ {
		item := r.sale.FirstItem + int64(r.perm[i%len(r.perm)])
		user := r.user("held", i)
		a := prep.doCheckout(ctx, user, item)
		if a.Status == http.StatusConflict { // sold before
			continue
		}
		prep.outcomes = append(prep.outcomes, Outcome{User: user, Item: item, Code: a.Code(), Status: a.Status})
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

// work lets one buyer take numbers until none is left.
func (r *run) work(ctx context.Context, b *buyer) {
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
			r.sell(ctx, b, item)
		} else {
			b.buy(ctx, r.rival(k), item)
		}
	}
}

// rival picks any user, within its budget or not: so some are refused by the limit.
func (r *run) rival(k int64) string {
	rng := rand.NewPCG(r.cfg.Seed, uint64(k))
	return r.names[rng.Uint64()%uint64(len(r.names))]
}

// sell tries users until the item is sold, to one of them or to a rival.
func (r *run) sell(ctx context.Context, b *buyer, item int64) {
	for {
		user, ok := r.budget.take(ctx)
		if !ok {
			return
		}
		o := b.buy(ctx, r.names[user], item)
		r.budget.release(user, o.Status == http.StatusConflict || o.Status == http.StatusGone)
		if o.Status != http.StatusTooManyRequests { // at the limit: another user
			return
		}
	}
}
