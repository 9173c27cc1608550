package simulation

import (
	"context"
	"errors"
	"maps"
	"slices"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/rejection"
	"notsale/pkg/sale"
)

// cache is the model of Redis: facts that can be away, forgotten or old.
type cache struct {
	service
	facts    map[sale.UUID]*facts
	snapshot map[sale.UUID]*facts // an earlier state, to go back to
}

type facts struct {
	mark   rejection.Mark
	owners map[sale.ItemID]code.ID
	grants map[sale.UserID][]code.ID
	sold   bool
}

func newCache(w *world) *cache {
	return &cache{service: service{w: w, away: errors.New("simulated: Redis does not answer")}, facts: map[sale.UUID]*facts{}}
}

func (c *cache) of(id sale.UUID) *facts {
	f := c.facts[id]
	if f == nil {
		f = &facts{owners: map[sale.ItemID]code.ID{}, grants: map[sale.UserID][]code.ID{}}
		c.facts[id] = f
	}
	return f
}

// cacheOf is the cache as a process sees it.
type cacheOf struct {
	*cache

	by *process
}

// cached is a call to the cache.
func cached[T any](ctx context.Context, c cacheOf, name string, do func() (T, error)) (T, error) {
	return port(ctx, c.by, name, func() (x T, err error) {
		if err := c.answers(); err != nil {
			return x, err
		}
		return do()
	})
}

// Mark implements allocator.Cache.
func (c cacheOf) Mark(ctx context.Context, id sale.UUID) (rejection.Mark, error) {
	return cached(ctx, c, "mark", func() (rejection.Mark, error) { return c.of(id).mark, nil })
}

// Learn implements allocator.Cache.
func (c cacheOf) Learn(ctx context.Context, id sale.UUID, from, upTo rejection.Mark, f *allocation.Facts) (rejection.Mark, error) {
	return port(ctx, c.by, "learn", func() (rejection.Mark, error) {
		of := c.of(id)
		switch {
		case len(f.Owners) == 0 && len(f.AtLimit) == 0 && !f.SoldOut:
			return from, nil
		case !c.up():
			return upTo, c.away
		case of.mark != from:
			return upTo, rejection.ErrMoved
		}
		of.mark = upTo
		for _, o := range f.Owners {
			of.owners[o.Item] = o.Code
		}
		for _, u := range f.AtLimit {
			of.grants[u.User] = slices.Clone(u.Codes)
		}
		of.sold = of.sold || f.SoldOut
		return upTo, nil
	})
}

// Forget implements allocator.Cache.
func (c cacheOf) Forget(ctx context.Context, id sale.UUID) error {
	_, err := cached(ctx, c, "forget", func() (none struct{}, err error) {
		delete(c.facts, id)
		return none, nil
	})
	return err
}

// Ask implements shop.Cache.
func (c cacheOf) Ask(ctx context.Context, questions []rejection.Question) ([]rejection.Answer, error) {
	return port(ctx, c.by, "ask", func() ([]rejection.Answer, error) {
		answers := make([]rejection.Answer, len(questions))
		for i := range questions {
			answers[i] = c.ask(&questions[i])
		}
		return answers, nil
	})
}

// ask answers as the cache would.
func (c *cache) ask(q *rejection.Question) rejection.Answer {
	if !c.up() {
		return rejection.Answer{Blank: true}
	}
	f := c.of(q.Sale)
	if f.mark == (rejection.Mark{}) {
		return rejection.Answer{Blank: true}
	}
	k := rejection.Known{SoldOut: f.sold, Owner: f.owners[q.Item], Grants: f.grants[q.User]}
	reason := rejection.Judge(q, &k)
	if !q.Code.IsZero() {
		if reason != allocation.Granted {
			c.w.hit(CacheRefused)
		} else if k.Owner == q.Code {
			c.w.hit(CacheProvedWinner)
		}
	}
	return rejection.Answer{Reason: reason, Ours: k.Names(q.Code)}
}

func (c *cache) empty() {
	c.facts = map[sale.UUID]*facts{}
	c.w.hit(CacheForgot)
}

func (c *cache) remember() {
	c.snapshot = map[sale.UUID]*facts{}
	for id, f := range c.facts {
		c.snapshot[id] = &facts{mark: f.mark, owners: maps.Clone(f.owners), grants: maps.Clone(f.grants), sold: f.sold}
	}
}

func (c *cache) goBack() {
	if c.snapshot != nil {
		c.facts = c.snapshot
		c.snapshot = nil
		c.w.hit(CacheForgot)
	}
}
