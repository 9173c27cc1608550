package rejection

import (
	"context"
	"slices"

	"github.com/redis/go-redis/v9"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/sale"
)

// Question asks whether a request is refused already. A checkout has no code.
type Question struct {
	Sale sale.UUID
	Item sale.ItemID
	User sale.UserID
	Code code.ID
}

// Answer is what the cache knows about a question.
type Answer struct {
	Reason allocation.Reason // why it is refused for good; Granted: it is not known to be
	Ours   bool              // a fact names the code as a grant: its decision is in the ledger
	Blank  bool              // nothing is known about the sale
}

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
	found := make(map[sale.UUID]*group, 1)
	for i := range questions {
		g, ok := found[questions[i].Sale]
		if !ok {
			g = &group{sale: questions[i].Sale}
			found[g.sale] = g
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

// judge answers the questions about the sale, if there is a mark: facts without one
// may be of another history.
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
		k.Owner, k.Grants = code.ID{}, readIDs(users[n])
		if owner := readIDs(items[n]); len(owner) == 1 {
			k.Owner = owner[0]
		}
		answers[i] = Answer{Reason: Judge(&questions[i], &k), Ours: k.Names(questions[i].Code)}
	}
}

// readIDs reads code ids of 16 bytes each; nil: there are none, or it is no fact.
func readIDs(value any) []code.ID {
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

// Known is what the cache holds about one question. Any part may be missing.
type Known struct {
	SoldOut bool
	Owner   code.ID   // code that owns the item; zero: not known
	Grants  []code.ID // all grants of the user, who is at the limit; nil: not known to be
}

// Judge answers a question with the reason why the ledger refuses it for good,
// or with Granted if what is known does not prove that. A purchase is refused only
// with a proof that its code was not granted: the item's owner is another code, or
// none of the user's grants is this code. A checkout needs no such proof: its code
// does not exist yet.
func Judge(q *Question, k *Known) allocation.Reason {
	taken := !k.Owner.IsZero() && k.Owner != q.Code
	if q.Code.IsZero() {
		switch {
		case k.SoldOut:
			return allocation.SoldOut
		case taken:
			return allocation.ItemTaken
		}
		return allocation.Granted
	}
	switch {
	case k.SoldOut && taken:
		return allocation.SoldOut
	case len(k.Grants) > 0 && !slices.Contains(k.Grants, q.Code):
		return allocation.LimitReached
	case taken:
		return allocation.ItemTaken
	}
	return allocation.Granted
}

// Names reports whether a fact names the code as a grant.
func (k *Known) Names(id code.ID) bool {
	return !id.IsZero() && (k.Owner == id || slices.Contains(k.Grants, id))
}
