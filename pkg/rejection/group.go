package rejection

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"

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
	items, users := make([]string, len(g.indexes), len(g.indexes)+1), make([]string, len(g.indexes))
	for n, i := range g.indexes {
		items[n], users[n] = questions[i].Item.String(), string(questions[i].User)
	}
	items = append(items, markField)
	g.sold = pipe.Get(ctx, soldKey(g.sale))
	g.items = pipe.HMGet(ctx, itemsKey(g.sale), items...)
	g.users = pipe.HMGet(ctx, usersKey(g.sale), users...)
}

// failed returns the error of a round trip, unless it was only that a sale is
// not known to be sold out: redis.Nil of a first command may hide another's.
func failed(groups []*group, err error) error {
	if err == nil || !errors.Is(err, redis.Nil) {
		return err
	}
	for _, g := range groups {
		if err := errors.Join(g.items.Err(), g.users.Err()); err != nil {
			return err
		}
	}
	return nil
}

// judge answers the questions about the sale, if there is a mark: else what is
// there may be of another history.
func (g *group) judge(questions []Question, answers []Answer) {
	items, users := g.items.Val(), g.users.Val()
	if len(items) != len(g.indexes)+1 || len(users) != len(g.indexes) {
		return
	}
	mark, _ := items[len(g.indexes)].(string)
	if decodeMark(mark) == (Mark{}) {
		return
	}
	k := Known{SoldOut: g.sold.Val() == "1"}
	for n, i := range g.indexes {
		k.Owner, k.Grants = oneID(items[n]), allIDs(users[n])
		answers[i] = Answer{Reason: Judge(&questions[i], &k), Ours: k.Names(questions[i].Code)}
	}
}

// oneID reads the owner of an item; anything else than 16 bytes is no fact.
func oneID(value any) (id code.ID) {
	if s, isText := value.(string); isText && len(s) == len(id) {
		copy(id[:], s)
	}
	return id
}

// allIDs reads the grants of a user at the limit, or nil where that is no fact.
func allIDs(value any) []code.ID {
	s, isText := value.(string)
	if !isText || s == "" || len(s)%len(code.ID{}) != 0 {
		return nil
	}
	ids := make([]code.ID, len(s)/len(code.ID{}))
	for i := range ids {
		copy(ids[i][:], s[i*len(code.ID{}):])
	}
	return ids
}
