//go:build unix

package main

import (
	"net/http"
	"strings"
	"testing"

	"notsale/pkg/wire"
	"notsale/services/servicetest"
	"notsale/services/servicetest/edgetest"
)

type storedAttempt struct {
	sale                int64
	user, item, outcome string
}

// Every refused checkout is stored with its reason and with what was sent,
// whatever that was; and nothing that was sent disturbs the sale.
func TestRefusedCheckoutsAreStored(t *testing.T) {
	t.Parallel()
	p := runUpToAsk(t, "--sale-stock", "3")
	of := p.FirstSale(t)
	sell := func(user string, item int64) {
		t.Helper()
		if a := p.Purchase(t, p.Checkout(t, user, item).Code); a.Status != http.StatusOK {
			t.Fatalf("item %d: %d %s", item, a.Status, a.Body)
		}
	}
	servicetest.Eventually(t, "the stream of no sale is there", func() bool {
		return p.Post(t, servicetest.CheckoutPath("prober", of.LastItem+1)).Status == http.StatusNotFound
	})
	var want []storedAttempt
	refused := func(query string, status int, outcome wire.Outcome, sale int64, user, item string) {
		t.Helper()
		a := p.Post(t, "/checkout?"+query)
		if problem := edgetest.ProblemOf(t, a); a.Status != status || problem.Status != status {
			t.Errorf("%.60q: %d %s, want %d", query, a.Status, a.Body, status)
		}
		want = append(want, storedAttempt{sale, user, item, string(outcome)})
	}
	const bad = http.StatusBadRequest
	cut := wire.Printable
	long := strings.Repeat("x", 10_000)

	refused("user_id=u&id=4", http.StatusNotFound, wire.UnknownItem, 0, "u", "4")
	refused("user_id=u&id=999999999999999", http.StatusNotFound, wire.UnknownItem, 0, "u", "999999999999999")
	refused("", bad, wire.MissingParameter, 0, "", "")
	refused("user_id=u", bad, wire.MissingParameter, 0, "u", "")
	refused("id=2", bad, wire.MissingParameter, of.ID, "", "2")
	refused("item_id=2", bad, wire.MissingParameter, of.ID, "", "2")
	refused("user_id=&id=2", bad, wire.InvalidParameter, of.ID, "", "2")
	refused("user_id=u&id=", bad, wire.InvalidParameter, 0, "u", "")
	refused("user_id=u&id=0", bad, wire.InvalidParameter, 0, "u", "0")
	refused("user_id=u&id=-1", bad, wire.InvalidParameter, 0, "u", "-1")
	refused("user_id=u&id=02", bad, wire.InvalidParameter, 0, "u", "02")
	refused("user_id=u&id=2.0", bad, wire.InvalidParameter, 0, "u", "2.0")
	refused("user_id=u&id=99999999999999999999", bad, wire.InvalidParameter, 0, "u", "99999999999999999999")
	refused("user_id=a+b&id=2", bad, wire.InvalidParameter, of.ID, "a b", "2")
	refused("user_id=%00&id=2", bad, wire.InvalidParameter, of.ID, `\00`, "2")
	refused("user_id=u&id=%00", bad, wire.InvalidParameter, 0, "u", `\00`)
	refused("user_id=%ff%fe&id=2", bad, wire.InvalidParameter, of.ID, `\FF\FE`, "2")
	refused("user_id=u&id=%ff", bad, wire.InvalidParameter, 0, "u", `\FF`)
	refused("user_id=%22%5c%27%3B--&id=2", bad, wire.InvalidParameter, of.ID, `"\5C';--`, "2")
	refused("user_id=%E2%80%AE%F0%9F%92%A9&id=2", bad, wire.InvalidParameter, of.ID, `\E2\80\AE\F0\9F\92\A9`, "2")
	refused("user_id="+long+"&id=2", bad, wire.InvalidParameter, of.ID, cut(long), "2")
	refused("user_id=u&id="+long, bad, wire.InvalidParameter, 0, "u", cut(long))
	refused("user_id="+strings.Repeat("x", 129)+"&id=2", bad, wire.InvalidParameter, of.ID, strings.Repeat("x", 124)+`\...`, "2")
	refused("user_id="+strings.Repeat("%00", 500)+"&id=2", bad, wire.InvalidParameter, of.ID, cut(strings.Repeat("\x00", 500)), "2")
	refused("user_id=a&user_id=b&id=2", bad, wire.InvalidParameter, of.ID, "a,b", "2")
	refused("user_id=a&user_id=a&id=2", bad, wire.InvalidParameter, of.ID, "a,a", "2")
	refused("user_id=u&id=2&id=2", bad, wire.InvalidParameter, 0, "u", "2,2")
	refused("user_id=u&id=2&item_id=2", bad, wire.InvalidParameter, 0, "u", "2,2")
	refused("user_id=%zz&id=2", bad, wire.InvalidParameter, of.ID, "%zz", "2")
	refused("user_id=a;id=2", bad, wire.MissingParameter, 0, "a;id=2", "")
	refused("user_id=u&id=2;b", bad, wire.InvalidParameter, 0, "u", "2;b")

	sell("first", of.FirstItem)
	servicetest.Eventually(t, "the cache knows the item's owner", func() bool {
		return p.Post(t, servicetest.CheckoutPath("prober", of.FirstItem)).Status == http.StatusConflict
	})
	refused("user_id=u&id=1", http.StatusConflict, wire.ItemTaken, of.ID, "u", "1")
	sell("second", of.FirstItem+1)
	sell("third", of.LastItem)
	servicetest.Eventually(t, "the cache knows that all is sold", func() bool {
		return p.Post(t, servicetest.CheckoutPath("prober", of.FirstItem)).Status == http.StatusGone
	})
	refused("user_id=u&id=3", http.StatusGone, wire.SoldOut, of.ID, "u", "3")
	checkLedger(t, p.database(), of, 3)
	checkStored(t, p, want)
}

// checkStored compares what is stored, in the order in which it was sent.
func checkStored(t *testing.T, p *process, want []storedAttempt) {
	t.Helper()
	db := p.database()
	const which = ` FROM checkout_attempts WHERE outcome <> 'issued' AND user_param <> 'prober'`
	servicetest.Eventually(t, "all refused checkouts are stored", func() bool {
		return servicetest.Count(t, db, `SELECT count(*)`+which) >= int64(len(want))
	})
	rows, err := db.Query(t.Context(), `SELECT sale_id, user_param, item_param, outcome`+which+` ORDER BY attempted_at`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	n := 0
	for ; rows.Next(); n++ {
		var got storedAttempt
		if err := rows.Scan(&got.sale, &got.user, &got.item, &got.outcome); err != nil {
			t.Fatal(err)
		}
		if n < len(want) && got != want[n] {
			t.Errorf("stored is\n%+v, want\n%+v", got, want[n])
		}
		if len(got.user) > wire.MaxParameter || len(got.item) > wire.MaxParameter {
			t.Errorf("stored is more than %d bytes: %+v", wire.MaxParameter, got)
		}
	}
	if err := rows.Err(); err != nil || n != len(want) {
		t.Errorf("%d refused checkouts are stored, want %d (%v)", n, len(want), err)
	}
	if n := servicetest.Count(t, db, `SELECT count(*) FROM checkout_attempts WHERE outcome <> 'issued' AND (code_id IS NOT NULL OR expires_at IS NOT NULL)`); n != 0 {
		t.Errorf("%d refused checkouts have a code", n)
	}
}
