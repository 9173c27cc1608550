//go:build unix

package main

import (
	"context"
	"net/http"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"notsale/loadtest/hammer/shopper"
	"notsale/pkg/client"
	"notsale/pkg/effort"
	"notsale/services/servicetest"
)

// crowd is how many shoppers come at once.
const crowd = 256

// patient is a run whose shoppers outlast a restart of the program.
func patient(p *process, users int) shopper.Config {
	cfg := shopper.DefaultConfig()
	cfg.Target, cfg.Clients, cfg.Users = "http://"+p.address, crowd, users
	cfg.Timeout, cfg.Settle = servicetest.Patience, servicetest.Patience
	return cfg
}

func TestSellOut(t *testing.T) {
	t.Parallel()
	stock, users := effort.Of(1000, 10_000), effort.Of(120, 1200)
	p := runUpToAsk(t, "--sale-stock", itoa(stock))
	of := p.FirstSale(t)
	held := p.Checkout(t, "held", of.FirstItem)
	ctx, cancel := context.WithTimeout(t.Context(), 5*effort.Patience)
	defer cancel()
	result, err := shopper.Run(ctx, patient(p, users))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d items in %v, %.0f requests/s; checkouts %v, purchases %v", stock, result.Wall, result.RequestsPerSecond(), result.Checkout.Statuses, result.Purchase.Statuses)
	if result.Granted() != stock {
		t.Errorf("%d purchases were answered 200, want %d", result.Granted(), stock)
	}
	db := p.database()
	checkLedger(t, db, of, stock)
	checkOwners(t, db, result)
	checkAttempts(t, db, result, 1)
	servicetest.Eventually(t, "the cache knows that all is sold", func() bool {
		return p.Post(t, servicetest.CheckoutPath("prober", of.FirstItem)).Status == http.StatusGone
	})
	if a := p.Purchase(t, held.Code); a.Status != http.StatusGone {
		t.Errorf("a held code after the end: %d %s, want 410", a.Status, a.Body)
	}
	shop, err := client.New(client.Config{Base: p.Base})
	if err != nil {
		t.Fatal(err)
	}
	defer shop.Close()
	late := &demo{shop: shop}
	if late.visit(ctx, "demo"); late.missed.Load() != 1 || late.failed.Load() != 0 {
		t.Errorf("a shopper of --demo failed in a shop that is sold out")
	}
	for _, v := range shopper.Check(ctx, result) {
		if !v.OK {
			t.Errorf("%s: %s", v.Name, v.Detail)
		}
	}
}

// checkLedger looks whether exactly the stock was sold, and to nobody too much.
func checkLedger(t *testing.T, db *pgxpool.Pool, of servicetest.Sale, sold int) {
	t.Helper()
	for _, c := range []struct {
		what, query string
		want        int64
	}{
		{"items with an owner", `SELECT count(*) FROM items WHERE sale_id = $1`, int64(sold)},
		{"distinct items", `SELECT count(DISTINCT item_id) FROM items WHERE sale_id = $1`, int64(sold)},
		{"distinct codes that own an item", `SELECT count(DISTINCT code_id) FROM items WHERE sale_id = $1`, int64(sold)},
		{"granted decisions", `SELECT count(*) FROM decisions WHERE sale_id = $1 AND reason = 0`, int64(sold)},
		{"items whose decision says otherwise", `SELECT count(*) FROM items AS i LEFT JOIN decisions AS d USING (sale_id, position)
			WHERE sale_id = $1 AND (d.code_id, d.item_id, d.user_id, d.reason) IS DISTINCT FROM (i.code_id, i.item_id, i.user_id, 0::smallint)`, 0},
		{"items that are not of the sale", `SELECT count(*) FROM items JOIN sales USING (sale_id) WHERE sale_id = $1 AND (items.item_id < first_item OR items.item_id > last_item)`, 0},
		{"users over the limit", `SELECT count(*) FROM (SELECT FROM items WHERE sale_id = $1 GROUP BY user_id HAVING count(*) > 10) AS over`, 0},
		{"items sold by the cursor", `SELECT sold FROM cursors WHERE sale_id = $1`, int64(sold)},
	} {
		if got := servicetest.Count(t, db, c.query, of.ID); got != c.want {
			t.Errorf("%s: %d, want %d", c.what, got, c.want)
		}
	}
}

// checkOwners looks whether everybody who was told so owns the item.
func checkOwners(t *testing.T, db *pgxpool.Pool, result *shopper.Result) {
	t.Helper()
	owners := map[int64]string{}
	rows, err := db.Query(t.Context(), `SELECT item_id, user_id FROM items WHERE sale_id = $1`, result.Sale.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var item int64
		var user string
		if err := rows.Scan(&item, &user); err != nil {
			t.Fatal(err)
		}
		owners[item] = user
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	wrong := 0
	for i := range result.Outcomes {
		if o := &result.Outcomes[i]; o.Granted() && owners[o.Item] != o.User {
			wrong++
			t.Logf("%s was told that item %d is theirs; the ledger says %q", o.User, o.Item, owners[o.Item])
		}
	}
	if wrong > 0 {
		t.Errorf("%d items belong to somebody else than was told", wrong)
	}
}

// checkAttempts waits until every answered checkout has its row, and looks
// that there is no other and that the outcomes are those that were answered.
func checkAttempts(t *testing.T, db *pgxpool.Pool, result *shopper.Result, others int) {
	t.Helper()
	want := int64(result.Attempts + others)
	count := func() int64 { return servicetest.Count(t, db, `SELECT count(*) FROM checkout_attempts`) }
	servicetest.Eventually(t, "every answered checkout has a row", func() bool { return count() >= want })
	unanswered := int64(result.Checkout.Statuses[0] + result.Checkout.Statuses[http.StatusServiceUnavailable])
	if got := count(); got < want || got > want+unanswered {
		t.Errorf("%d attempts stored, want %d and at most %d more without an answer", got, want, unanswered)
	}
	for outcome, status := range map[string]int{"item-taken": http.StatusConflict, "sold-out": http.StatusGone} {
		got := servicetest.Count(t, db, `SELECT count(*) FROM checkout_attempts WHERE outcome = $1 AND code_id IS NULL`, outcome)
		if least := int64(result.Checkout.Statuses[status]); got < least || got > least+unanswered {
			t.Errorf("%d attempts %s, answered were %d", got, outcome, least)
		}
	}
	issued := servicetest.Count(t, db, `SELECT count(DISTINCT code_id) FROM checkout_attempts WHERE outcome = 'issued'`)
	least := want - int64(result.Checkout.Statuses[http.StatusConflict]+result.Checkout.Statuses[http.StatusGone])
	if issued < least || issued > least+unanswered {
		t.Errorf("%d distinct codes issued, want %d", issued, least)
	}
}
