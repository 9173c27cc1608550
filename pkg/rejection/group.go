package rejection

import (
	"context"

	"github.com/redis/go-redis/v9"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/sale"
)

// group is the questions about one sale, which need three commands together.
type group struct {
	sale    sale.UUID
	indexes []int // into the questions
	sold    *redis.StringCmd
	items   *redis.SliceCmd
	users   *redis.SliceCmd
}

func bySale(questions []Question) []*group {
	var groups []*group
	of := make(map[sale.UUID]*group, 1)
	for i := range questions {
		g, ok := of[questions[i].Sale]
		if !ok {
			g = &group{sale: questions[i].Sale}
			of[g.sale] = g
			groups = append(groups, g)
		}
		g.indexes = append(g.indexes, i)
	}
	return groups
}

func (g *group) send(ctx context.Context, pipe redis.Pipeliner, questions []Question) {
	items, users := make([]string, len(g.indexes)), make([]string, len(g.indexes))
	for n, i := range g.indexes {
		items[n], users[n] = questions[i].Item.String(), string(questions[i].User)
	}
	g.sold = pipe.Get(ctx, soldKey(g.sale))
	g.items = pipe.HMGet(ctx, itemsKey(g.sale), items...)
	g.users = pipe.HMGet(ctx, usersKey(g.sale), users...)
}

func (g *group) judge(questions []Question, reasons []allocation.Reason) {
	sold := g.sold.Val() == "1"
	items, users := g.items.Val(), g.users.Val()
	if len(items) != len(g.indexes) || len(users) != len(g.indexes) {
		return
	}
	for n, i := range g.indexes {
		owner, taken := oneID(items[n])
		q := &questions[i]
		if q.Code.IsZero() {
			reasons[i] = forCheckout(sold, taken)
			continue
		}
		reasons[i] = forPurchase(q.Code, sold, taken, owner, atLimit(users[n], q.Code))
	}
}

// forCheckout needs no proof: nothing was granted to a code that is not made.
func forCheckout(sold, taken bool) allocation.Reason {
	switch {
	case sold:
		return allocation.SoldOut
	case taken:
		return allocation.ItemTaken
	}
	return allocation.Granted
}

// forPurchase refuses only what is proved not to be granted: by the item's
// owner being another code, or by the user's grants all being other codes.
func forPurchase(id code.ID, sold, taken bool, owner code.ID, atLimit bool) allocation.Reason {
	taken = taken && owner != id
	switch {
	case taken && sold:
		return allocation.SoldOut
	case atLimit:
		return allocation.LimitReached
	case taken:
		return allocation.ItemTaken
	}
	return allocation.Granted
}

// oneID reads the owner of an item; anything else than 16 bytes is no fact.
func oneID(value any) (id code.ID, ok bool) {
	s, isText := value.(string)
	if !isText || len(s) != len(id) {
		return id, false
	}
	copy(id[:], s)
	return id, !id.IsZero()
}

// atLimit reports whether the fact says that the user is at the limit and that
// the code is not among the grants.
func atLimit(value any, id code.ID) bool {
	s, isText := value.(string)
	if !isText || s == "" || len(s)%len(id) != 0 {
		return false
	}
	for i := 0; i < len(s); i += len(id) {
		if s[i:i+len(id)] == string(id[:]) {
			return false
		}
	}
	return true
}
