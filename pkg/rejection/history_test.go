package rejection_test

import (
	"encoding/binary"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/rejection"
	"notsale/pkg/sale"
)

// history is a naive account of what was decided, searched from the start for
// every question.
type history struct {
	sale      sale.Sale
	decisions []allocation.Decision
}

func (h *history) grants(match func(d *allocation.Decision) bool) (n int) {
	for i := range h.decisions {
		if d := &h.decisions[i]; d.Reason == allocation.Granted && match(d) {
			n++
		}
	}
	return n
}

// holds tells whether the engine would refuse a new code for this reason, or for
// one that it checks earlier.
func (h *history) holds(r allocation.Reason, q rejection.Question) bool {
	switch r {
	case allocation.SoldOut:
		return h.grants(func(*allocation.Decision) bool { return true }) == h.sale.Stock
	case allocation.LimitReached:
		return h.grants(func(d *allocation.Decision) bool { return d.User == q.User }) == h.sale.UserLimit
	case allocation.ItemTaken:
		return h.grants(func(d *allocation.Decision) bool { return d.Item == q.Item }) == 1
	default:
		return false
	}
}

func (h *history) granted(id code.ID) bool {
	return h.grants(func(d *allocation.Decision) bool { return d.Code == id }) == 1
}

const codes = 24 // in one sale of the property

// claims are those of the n-th code, as a signed code's claims follow from its id.
func claims(s sale.Sale, n int) allocation.Request {
	return allocation.Request{
		Code: code.ID{byte(n + 1), 0xc0}, User: sale.UserID(fmt.Sprintf("u%d", n%4)),
		Item: s.FirstItem + sale.ItemID(n*7%s.Stock), Expires: sale.Instant(5 + n%40),
	}
}

// forget drops some facts, as a Redis does that was down, full or restarted.
func forget(t *rapid.T, f allocation.Facts) (kept allocation.Facts) {
	for _, o := range f.Owners {
		if rapid.Bool().Draw(t, "owner kept") {
			kept.Owners = append(kept.Owners, o)
		}
	}
	for _, u := range f.AtLimit {
		if rapid.Bool().Draw(t, "limit kept") {
			kept.AtLimit = append(kept.AtLimit, u)
		}
	}
	kept.SoldOut = f.SoldOut && rapid.Bool().Draw(t, "sold out kept")
	return kept
}

// check asks about every code and every checkout there can be.
func check(t *rapid.T, s *store, h *history) {
	questions := make([]rejection.Question, 0, 2*codes)
	for n := range codes {
		r := claims(h.sale, n)
		questions = append(questions,
			rejection.Question{Sale: h.sale.UUID, Item: r.Item, User: r.User, Code: r.Code},
			rejection.Question{Sale: h.sale.UUID, Item: r.Item, User: r.User})
	}
	for i, reason := range s.ask(t, questions...) {
		q := questions[i]
		switch {
		case reason == allocation.Granted:
		case !q.Code.IsZero() && h.granted(q.Code):
			t.Fatalf("code %v was granted, the cache says %v", q.Code, reason)
		case !reason.Final() || !h.holds(reason, q):
			t.Fatalf("%+v is refused for %v, which is not so", q, reason)
		}
	}
}

// Whatever the history, and whatever of it Redis knows, the cache refuses no
// code that was granted, and each reason that it gives is true.
func TestTheCacheIsNeverWrong(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store) {
		histories := uint64(0)
		rapid.Check(t, func(t *rapid.T) {
			histories++
			of := sale.Sale{
				Installation: sale.UUID{9}, ID: 1, FirstItem: 1, Rules: 1,
				Stock: rapid.IntRange(1, 8).Draw(t, "stock"), UserLimit: rapid.IntRange(1, 3).Draw(t, "limit"),
			}
			binary.BigEndian.PutUint64(of.UUID[:], histories)
			engine, h := allocation.New(of, allocation.Hash{}, 0), &history{sale: of}
			for range rapid.IntRange(1, 5).Draw(t, "batches") {
				p := allocation.Pack{Sequence: engine.Cursor().Sequence + 1, Time: sale.Instant(rapid.IntRange(0, 30).Draw(t, "time"))}
				for range rapid.IntRange(0, 10).Draw(t, "size") {
					p.Requests = append(p.Requests, claims(of, rapid.IntRange(0, codes-1).Draw(t, "code")))
				}
				b := engine.Begin()
				engine.Apply(p, b)
				h.decisions = append(h.decisions, b.Decisions...)
				s.learn(t, of.UUID, forget(t, b.Facts))
				check(t, s, h)
			}
		})
	})
}
