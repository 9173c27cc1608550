package rejection_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/rejection"
	"notsale/pkg/sale"
)

const (
	granted  = allocation.Granted
	soldOut  = allocation.SoldOut
	limit    = allocation.LimitReached
	taken    = allocation.ItemTaken
	unproved = allocation.Granted // perhaps true, but the engine has to say so
)

func owner(id code.ID) []allocation.Owner { return []allocation.Owner{{Item: 7, Code: id}} }

func atLimit(codes ...code.ID) []allocation.UserAtLimit {
	return []allocation.UserAtLimit{{User: "ann", Codes: codes}}
}

// answers has every combination of facts that one history can give: a code that
// owns the item is among its user's grants, and one that is among them owns its
// item.
var answers = []struct {
	item  string // who owns it
	user  string // what is known of ann's limit
	facts allocation.Facts
	// answers to a purchase and to a checkout, without and with the fact that
	// the sale is sold out
	purchase, purchaseSoldOut, checkout, checkoutSoldOut allocation.Reason
}{
	{"unknown", "unknown", allocation.Facts{}, granted, unproved, granted, soldOut},
	{"unknown", "reached by others", allocation.Facts{AtLimit: atLimit(other)}, limit, limit, granted, soldOut},
	{"unknown", "reached by mine", allocation.Facts{AtLimit: atLimit(other, mine)}, granted, granted, granted, soldOut},
	{"other", "unknown", allocation.Facts{Owners: owner(other)}, taken, soldOut, taken, soldOut},
	{"other", "reached by others", allocation.Facts{Owners: owner(other), AtLimit: atLimit(other)}, limit, soldOut, taken, soldOut},
	{"mine", "unknown", allocation.Facts{Owners: owner(mine)}, granted, granted, taken, soldOut},
	{"mine", "reached by mine", allocation.Facts{Owners: owner(mine), AtLimit: atLimit(mine, other)}, granted, granted, taken, soldOut},
}

func TestEveryCombinationOfFacts(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store) {
		for i, c := range answers {
			for _, closed := range []bool{false, true} {
				id := sale.UUID{byte(i), 1}
				wantPurchase, wantCheckout := c.purchase, c.checkout
				if closed {
					id[1], wantPurchase, wantCheckout = 2, c.purchaseSoldOut, c.checkoutSoldOut
				}
				facts := c.facts
				facts.SoldOut = closed
				s.learn(t, id, facts)
				p, q := purchase, checkout
				p.Sale, q.Sale = id, id
				if got := s.ask(t, p, q); got[0] != wantPurchase || got[1] != wantCheckout {
					t.Errorf("owner %s, limit %s, sold out %v: purchase %v, checkout %v, want %v, %v",
						c.item, c.user, closed, got[0], got[1], wantPurchase, wantCheckout)
				}
			}
		}
	})
}

// "Sold out" says nothing about a code: it may have been granted before.
func TestSoldOutAloneRefusesCheckoutsOnly(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store) {
		s.learn(t, ours, allocation.Facts{SoldOut: true})
		if got := s.ask(t, purchase, checkout); got[0] != granted || got[1] != soldOut {
			t.Errorf("purchase %v, checkout %v", got[0], got[1])
		}
	})
}

func TestFactsAreOfTheirSaleItemAndUserOnly(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store) {
		s.learn(t, ours, allocation.Facts{Owners: owner(other), AtLimit: atLimit(other), SoldOut: true})
		elsewhere, item, user := purchase, purchase, purchase
		elsewhere.Sale = theirs
		item.Item, item.User = 70, "Ann" // another item, and user ids are case-sensitive
		user.User = "bob"
		elseCheckout := checkout
		elseCheckout.Sale = theirs
		want := []allocation.Reason{soldOut, granted, granted, soldOut, granted, soldOut}
		if got := s.ask(t, purchase, elsewhere, item, user, elseCheckout, checkout); !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

// Many questions about several sales, one and the same more than once, are
// answered in their order.
func TestManyQuestionsInOneTrip(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store) {
		const sales, items = 3, 40
		for n := range sales {
			var f allocation.Facts
			for item := n; item < items; item += 2 { // every other item
				f.Owners = append(f.Owners, allocation.Owner{Item: sale.ItemID(item), Code: other})
			}
			s.learn(t, sale.UUID{byte(n + 1)}, f)
		}
		var questions []rejection.Question
		var want []allocation.Reason
		for i := range 2 * sales * items {
			n, item := i%sales, i/sales%items
			questions = append(questions, rejection.Question{Sale: sale.UUID{byte(n + 1)}, Item: sale.ItemID(item), User: "ann", Code: mine})
			reason := granted
			if item >= n && item%2 == n%2 {
				reason = taken
			}
			want = append(want, reason)
		}
		if got := s.ask(t, questions...); !reflect.DeepEqual(got, want) {
			t.Errorf("got %v\nwant %v", got, want)
		}
	})
}

func TestNoQuestionsAndNoFacts(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store) {
		if got := s.ask(t); len(got) != 0 {
			t.Errorf("%v", got)
		}
		s.learn(t, ours, allocation.Facts{})
		if n, err := s.raw.DBSize(t.Context()).Result(); err != nil || n != 0 {
			t.Errorf("%d keys, %v", n, err)
		}
	})
}

// elsewhere is a fact that has nothing to do with the question, but comes with a
// mark.
var elsewhere = []allocation.Owner{{Item: 99, Code: other}}

// What is in Redis is what the package's documentation says, and it goes away
// by itself.
func TestKeys(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store) {
		s.learn(t, ours, allocation.Facts{Owners: owner(mine), AtLimit: atLimit(mine, other), SoldOut: true})
		prefix := fmt.Sprintf("notsale:{%v}:", ours)
		for key, get := range map[string]func() (string, error){
			"sold":  func() (string, error) { return s.raw.Get(t.Context(), prefix+"sold").Result() },
			"items": func() (string, error) { return s.raw.HGet(t.Context(), prefix+"items", "7").Result() },
			"users": func() (string, error) { return s.raw.HGet(t.Context(), prefix+"users", "ann").Result() },
		} {
			want := map[string]string{"sold": "1", "items": string(mine[:]), "users": string(mine[:]) + string(other[:])}[key]
			if got, err := get(); err != nil || got != want {
				t.Errorf("%s: %q, %v, want %q", key, got, err, want)
			}
			if life, err := s.raw.TTL(t.Context(), prefix+key).Result(); err != nil || life <= 0 {
				t.Errorf("%s lives for %v, %v", key, life, err)
			}
		}
		if n, err := s.raw.DBSize(t.Context()).Result(); err != nil || n != 3 {
			t.Errorf("%d keys, %v", n, err)
		}
		if got, err := s.cache.Mark(t.Context(), ours); err != nil || got != mark {
			t.Errorf("mark %+v, %v, want %+v", got, err, mark)
		}
		retry(t, "forget", func() error { return s.cache.Forget(t.Context(), ours) })
		if n, err := s.raw.DBSize(t.Context()).Result(); err != nil || n != 0 {
			t.Errorf("%d keys after all is forgotten, %v", n, err)
		}
		if got, err := s.cache.Mark(t.Context(), ours); err != nil || got != none {
			t.Errorf("a mark after all is forgotten: %+v, %v", got, err)
		}
	})
}

// Facts without a mark may be of a history that the ledger does not know.
func TestFactsWithoutAMarkProveNothing(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store) {
		s.learn(t, ours, allocation.Facts{Owners: owner(other), AtLimit: atLimit(other), SoldOut: true})
		for _, text := range []string{"", "1", strings.Repeat("x", 47)} {
			s.set(t, "HSET", fmt.Sprintf("notsale:{%v}:items", ours), "mark", text)
			if got, err := s.cache.Mark(t.Context(), ours); err != nil || got != none {
				t.Errorf("%q is a mark: %+v, %v", text, got, err)
			}
			if got := s.ask(t, purchase, checkout); got[0] != granted || got[1] != granted {
				t.Errorf("mark %q: %v", text, got)
			}
		}
	})
}

// Facts are added to those that were looked at, and to no others: an earlier
// state of Redis may have been brought back meanwhile.
func TestFactsAreAddedOnlyToThoseThatWereLookedAt(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store) {
		next := rejection.Mark{Generation: 1, Sequence: 3, Chain: allocation.Hash{4}}
		s.learn(t, ours, allocation.Facts{Owners: owner(other)})
		for _, from := range []rejection.Mark{none, next} {
			retry(t, "learn", func() error {
				if _, err := s.cache.Learn(t.Context(), ours, from, next, &allocation.Facts{Owners: elsewhere, AtLimit: atLimit(other), SoldOut: true}); !errors.Is(err, rejection.ErrMoved) {
					return fmt.Errorf("want ErrMoved: %w", err)
				}
				return nil
			})
		}
		if got, err := s.cache.Mark(t.Context(), ours); err != nil || got != mark {
			t.Errorf("mark %+v, %v, want %+v", got, err, mark)
		}
		if got := s.ask(t, purchase, checkout); got[0] != taken || got[1] != taken {
			t.Errorf("what was not stored is known: %v", got)
		}
		retry(t, "learn", func() error {
			got, err := s.cache.Learn(t.Context(), ours, mark, next, &allocation.Facts{SoldOut: true})
			if errors.Is(err, rejection.ErrMoved) { // by a try of which no answer came
				return nil
			}
			if err == nil && got != next {
				t.Errorf("mark %+v, want %+v", got, next)
			}
			return err
		})
		if got := s.ask(t, purchase, checkout); got[0] != soldOut || got[1] != soldOut {
			t.Errorf("what was added is not known: %v", got)
		}
		// Without a mark, what is there must not begin to prove something.
		s.set(t, "HDEL", fmt.Sprintf("notsale:{%v}:items", ours), "mark")
		s.learn(t, ours, allocation.Facts{Owners: elsewhere})
		if got := s.ask(t, purchase, checkout); got[0] != granted || got[1] != granted {
			t.Errorf("facts without a mark are believed again: %v", got)
		}
	})
}

// More facts come from one batch than a script's call takes.
func TestABatchOfManyFacts(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store) {
		const many = 2501
		var f allocation.Facts
		for n := range many {
			f.Owners = append(f.Owners, allocation.Owner{Item: sale.ItemID(n + 1), Code: other})
			f.AtLimit = append(f.AtLimit, allocation.UserAtLimit{User: sale.UserID(fmt.Sprintf("u%d", n)), Codes: []code.ID{other}})
		}
		s.learn(t, ours, f)
		for key, want := range map[string]int64{"items": many + 1, "users": many} {
			if n, err := s.raw.HLen(t.Context(), fmt.Sprintf("notsale:{%v}:%s", ours, key)).Result(); err != nil || n != want {
				t.Errorf("%s: %d, %v, want %d", key, n, err, want)
			}
		}
	})
}

// What names the code as a grant, and what is not known at all, is told from
// what is known and does not refuse.
func TestHints(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store) {
		for i, c := range []struct {
			facts allocation.Facts
			want  rejection.Answer
		}{
			{allocation.Facts{}, rejection.Answer{Blank: true}},
			{allocation.Facts{Owners: elsewhere}, rejection.Answer{}},
			{allocation.Facts{Owners: owner(mine)}, rejection.Answer{Ours: true}},
			{allocation.Facts{AtLimit: atLimit(other, mine), SoldOut: true}, rejection.Answer{Ours: true}},
			{allocation.Facts{Owners: owner(other)}, rejection.Answer{Reason: taken}},
		} {
			q := purchase
			q.Sale = sale.UUID{byte(i), 7}
			s.learn(t, q.Sale, c.facts)
			var got []rejection.Answer
			retry(t, "ask", func() (err error) {
				got, err = s.cache.Ask(t.Context(), []rejection.Question{q})
				return err
			})
			if got[0] != c.want {
				t.Errorf("%+v: %+v, want %+v", c.facts, got[0], c.want)
			}
		}
	})
}

// A value of the wrong length proves nothing.
func TestCorruptValuesAreNoFacts(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store) {
		items, users, sold := fmt.Sprintf("notsale:{%v}:items", ours), fmt.Sprintf("notsale:{%v}:users", ours), fmt.Sprintf("notsale:{%v}:sold", ours)
		for _, text := range []string{"", "1", strings.Repeat("x", 15), strings.Repeat("x", 17), strings.Repeat("\x00", 16)} {
			s.learn(t, ours, allocation.Facts{Owners: elsewhere})
			s.set(t, "HSET", items, "7", text)
			if got := s.ask(t, purchase, checkout); got[0] != granted || got[1] != granted {
				t.Errorf("owner %q: %v", text, got)
			}
		}
		s.set(t, "HDEL", items, "7")
		for _, text := range []string{"", "1", strings.Repeat("x", 15), strings.Repeat("x", 33)} {
			s.set(t, "HSET", users, "ann", text)
			if got := s.ask(t, purchase, checkout); got[0] != granted || got[1] != granted {
				t.Errorf("grants %q: %v", text, got)
			}
		}
		s.set(t, "DEL", users)
		for _, text := range []string{"", "0", "11", "true"} {
			s.set(t, "SET", sold, text)
			if got := s.ask(t, purchase, checkout); got[0] != granted || got[1] != granted {
				t.Errorf("sold %q: %v", text, got)
			}
		}
	})
}

// Keys of another type than ours refuse nobody.
func TestKeysOfAnotherTypeAreNoFacts(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store) {
		s.learn(t, ours, allocation.Facts{Owners: elsewhere})
		for _, key := range []string{"items", "users", "sold"} {
			key = fmt.Sprintf("notsale:{%v}:%s", ours, key)
			s.set(t, "DEL", key)
			s.set(t, "RPUSH", key, "7", "ann", "1")
			answers, _ := s.cache.Ask(t.Context(), []rejection.Question{purchase, checkout}) // an error is fine, too
			if reasons := reasonsOf(answers); !reflect.DeepEqual(reasons, []allocation.Reason{granted, granted}) {
				t.Errorf("%s: %v", key, reasons)
			}
			s.set(t, "DEL", key)
			s.learn(t, ours, allocation.Facts{Owners: elsewhere})
		}
	})
}

// A Redis that has forgotten everything is asked as one that never knew.
func TestAnEmptiedCacheRefusesNothing(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store) {
		s.learn(t, ours, allocation.Facts{Owners: owner(other), AtLimit: atLimit(other), SoldOut: true})
		if got := s.ask(t, purchase, checkout); got[0] != soldOut || got[1] != soldOut {
			t.Fatalf("before: %v", got)
		}
		s.set(t, "FLUSHDB")
		if got := s.ask(t, purchase, checkout); got[0] != granted || got[1] != granted {
			t.Errorf("after: %v", got)
		}
	})
}

// The URL says for how long Redis is waited for.
func TestTheURLsTimeoutIsTheCaches(t *testing.T) {
	t.Parallel()
	silent, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0") // never answers
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	patient := openStore(t, "redis://"+silent.Addr().String()+"?read_timeout=1h").cache
	until := time.Now().Add(3 * rejection.Timeout)
	ctx, cancel := context.WithDeadline(t.Context(), until)
	defer cancel()
	if _, err := patient.Ask(ctx, []rejection.Question{purchase}); err == nil || time.Now().Before(until) {
		t.Errorf("it did not wait: %v", err)
	}
}

func TestOpenRefusesWhatIsNoURL(t *testing.T) {
	t.Parallel()
	if _, err := rejection.Open(rejection.Config{URL: "http://localhost"}, nil); err == nil || !strings.Contains(err.Error(), "REDIS_URL") {
		t.Errorf("error %v does not name the setting", err)
	}
}
