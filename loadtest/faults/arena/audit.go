//go:build unix

package arena

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"notsale/pkg/code"
	"notsale/pkg/sale"
	"notsale/services/notsale/notsaletest/audittest"
)

// Expect says what an audit may find.
type Expect struct {
	Sale      sale.ID // 0: 1
	SoldOut   bool    // exactly the stock is sold
	Holes     int     // recorded lost tails
	Rederived bool    // the ledger was restored and decided again: commits and attempts are not those of the time
}

// maxShown is how many violations of one kind are shown.
const maxShown = 3

// auditor collects what is wrong.
type auditor struct {
	*Arena

	of       sale.Sale
	want     Expect
	book     *book
	findings map[string]int // by kind
	shown    []string
}

// Audit checks the invariants over what the shoppers were told, the ledger and
// the stream. All answers must be in, and no process may be deciding still.
func (a *Arena) Audit(visits []*Visit, want Expect) {
	a.t.Helper()
	for _, f := range a.Findings(visits, want) {
		a.t.Error(f)
	}
}

// Findings is Audit for a test that expects some.
func (a *Arena) Findings(visits []*Visit, want Expect) []string {
	a.t.Helper()
	if want.Sale == 0 {
		want.Sale = 1
	}
	au := &auditor{Arena: a, of: a.Sale(want.Sale).Sale, want: want, findings: map[string]int{}}
	au.book = au.readBook()
	au.ledger()
	for _, v := range visits {
		au.answers(v)
	}
	if !want.Rederived {
		au.attempts(visits)
	}
	au.replay()
	au.audit()
	for kind, n := range au.findings {
		if n > maxShown {
			au.shown = append(au.shown, fmt.Sprintf("%s: %d times in all", kind, n))
		}
	}
	return au.shown
}

// audit lets the program's own auditor look.
func (au *auditor) audit() {
	au.t.Helper()
	au.audited = true
	ctx, cancel := context.WithTimeout(context.Background(), setupTime)
	defer cancel()
	findings, err := audittest.Findings(ctx, au.stores(), au.of.ID)
	if err != nil {
		au.wrongf("audit", "%v", err)
	}
	for _, f := range findings {
		au.wrongf("audit", "%s", f)
	}
}

// Spoilt says that the test has changed tables or streams itself, or leaves them
// in a state that no audit can read, so that none is due when it ends.
func (a *Arena) Spoilt() { a.audited = true }

// auditEnd audits all sales of a test that has not asked for an audit itself.
func (a *Arena) auditEnd() {
	if !a.audited && !a.t.Failed() {
		audittest.Clean(a.t, a.stores())
	}
}

func (a *Arena) stores() audittest.Stores {
	return audittest.Stores{DatabaseURL: a.DatabaseURL, NATSURL: a.NATSURL}
}

// wrongf records a violation.
func (au *auditor) wrongf(kind, format string, args ...any) {
	if au.findings[kind]++; au.findings[kind] <= maxShown {
		au.shown = append(au.shown, kind+": "+fmt.Sprintf(format, args...))
	}
}

// ledger checks I1 and I2 over the tables.
func (au *auditor) ledger() {
	au.t.Helper()
	id, sold := au.of.ID, int64(len(au.book.items))
	if sold > int64(au.of.Stock) || au.want.SoldOut && sold != int64(au.of.Stock) {
		au.wrongf("stock", "%d items sold of %d", sold, au.of.Stock)
	}
	for _, c := range []struct {
		what, query string
		want        int64
	}{
		{"granted decisions", `SELECT count(*) FROM decisions WHERE sale_id = $1 AND reason = 0`, sold},
		{"items sold by the cursor", `SELECT sold FROM cursors WHERE sale_id = $1`, sold},
		{"items whose decision says otherwise", `SELECT count(*) FROM items AS i LEFT JOIN decisions AS d USING (sale_id, position)
			WHERE sale_id = $1 AND (d.code_id, d.item_id, d.user_id, d.reason) IS DISTINCT FROM (i.code_id, i.item_id, i.user_id, 0::smallint)`, 0},
		{"items that are not of the sale", `SELECT count(*) FROM items JOIN sales USING (sale_id)
			WHERE sale_id = $1 AND (items.item_id < first_item OR items.item_id > last_item)`, 0},
		{"users over the limit", `SELECT count(*) FROM (SELECT FROM items WHERE sale_id = $1 GROUP BY user_id
			HAVING count(*) > (SELECT user_limit FROM sales WHERE sale_id = $1)) AS over`, 0},
		{"holes", `SELECT count(*) FROM holes WHERE sale_id = $1`, int64(au.want.Holes)},
		{"sold out, by its state", `SELECT (state = 'sold_out')::int FROM sales WHERE sale_id = $1`, truth(sold == int64(au.of.Stock))},
	} {
		if got := au.Number(c.query, id); got != c.want {
			au.wrongf("ledger", "%s: %d, want %d", c.what, got, c.want)
		}
	}
}

func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// answers checks what one shopper was told: I3, I5, I6, and that everybody got
// a final answer.
func (au *auditor) answers(v *Visit) {
	au.t.Helper()
	if v.Status == 0 {
		au.wrongf("no final answer", "%s, item %d, checkouts %v, purchases %v", v.User, v.Item, statuses(v.Checkouts), statuses(v.Purchases))
	}
	for i := range v.Checkouts {
		if c := &v.Checkouts[i]; !among(c.Status, 0, http.StatusOK, http.StatusConflict, http.StatusGone, http.StatusServiceUnavailable) {
			au.wrongf("checkout's answer", "%d %.200s", c.Status, c.Body)
		} else if c.Status == http.StatusServiceUnavailable && !c.Waits {
			au.wrongf("503 without Retry-After", "%.200s", c.Body)
		}
	}
	if v.Code == "" {
		return
	}
	claims, err := au.Keys.Verify(v.Code)
	if err != nil || string(claims.User) != v.User || int64(claims.Item) != v.Item {
		au.wrongf("code", "%v: %+v for %s, item %d", err, claims.Claims, v.User, v.Item)
		return
	}
	for i := range v.Purchases {
		au.purchase(v, claims.ID, &v.Purchases[i])
	}
}

func (au *auditor) purchase(v *Visit, id code.ID, c *Call) {
	au.t.Helper()
	owner, sold := au.book.items[sale.ItemID(v.Item)]
	mine := sold && owner.code == id
	switch c.Status {
	case 0:
	case http.StatusOK:
		au.granted(v, c, owner, mine)
	case http.StatusAccepted, http.StatusServiceUnavailable:
		if !c.Waits {
			au.wrongf("no Retry-After", "%d %.200s", c.Status, c.Body)
		}
		if c.Status == http.StatusAccepted && au.want.Holes == 0 && au.book.byCode[id] == nil {
			au.wrongf("acknowledged and not decided", "%s, item %d", v.User, v.Item)
		}
	case http.StatusConflict, http.StatusGone, http.StatusTooManyRequests:
		if mine {
			au.wrongf("refused, but sold", "%d %.200s", c.Status, c.Body)
		}
		if c.Status == http.StatusTooManyRequests && !strings.Contains(c.Body, fmt.Sprintf("User has reached the maximum of %d items per sale", au.of.UserLimit)) {
			au.wrongf("limit's words", "%.200s", c.Body)
		}
	default:
		au.wrongf("purchase's answer", "%d %.200s", c.Status, c.Body)
	}
}

// granted checks an answer that says "sold".
func (au *auditor) granted(v *Visit, c *Call, o owner, mine bool) {
	au.t.Helper()
	var body struct {
		Item     int64  `json:"item"`
		User     string `json:"user_id"`
		Position int64  `json:"position"`
	}
	err := json.Unmarshal([]byte(c.Body), &body)
	switch {
	case err != nil || body.Item != v.Item || body.User != v.User:
		au.wrongf("body of a sale", "%.200s (%v)", c.Body, err)
	case !mine || o.position != body.Position:
		au.wrongf("told sold, but not in the ledger", "%s, ledger: %+v", c.Body, o)
	case c.Body != v.Body():
		au.wrongf("two bodies for one code", "%s and %s", v.Body(), c.Body)
	case !au.want.Rederived && c.End.Before(au.book.committed(o.position)):
		au.wrongf("told before the commit", "at %v, committed at %v", c.End, au.book.committed(o.position))
	}
}

func statuses(calls []Call) (list []int) {
	for i := range calls {
		list = append(list, calls[i].Status)
	}
	return list
}

func among(n int, list ...int) bool {
	for _, m := range list {
		if n == m {
			return true
		}
	}
	return false
}

// attempts checks I4: every answered checkout has exactly one row.
func (au *auditor) attempts(visits []*Visit) {
	au.t.Helper()
	answered, taken, gone, unknown := 0, 0, 0, 0
	issued := map[code.ID]int{}
	prefixes := map[string]bool{}
	for _, v := range visits {
		prefix, _, _ := strings.Cut(v.User, "-")
		prefixes[prefix+"-%"] = true
		if claims, err := au.Keys.Verify(v.Code); err == nil {
			issued[claims.ID] = 0
		}
		for i := range v.Checkouts {
			switch v.Checkouts[i].Status {
			case http.StatusOK:
				answered++
			case http.StatusConflict:
				answered, taken = answered+1, taken+1
			case http.StatusGone:
				answered, gone = answered+1, gone+1
			default:
				unknown++
			}
		}
	}
	users := make([]string, 0, len(prefixes))
	for p := range prefixes {
		users = append(users, p)
	}
	const rows = `SELECT count(*) FROM checkout_attempts WHERE user_param LIKE ANY ($1)`
	au.Eventually("every answered checkout is recorded", func() bool { return au.Number(rows, users) >= int64(answered) })
	for _, c := range []struct {
		what, query string
		least       int
	}{
		{"attempts", rows, answered},
		{"attempts issued", rows + ` AND outcome = 'issued'`, len(issued)},
		{"attempts taken", rows + ` AND outcome = 'item-taken'`, taken},
		{"attempts sold out", rows + ` AND outcome = 'sold-out'`, gone},
	} {
		if n := au.Number(c.query, users); n < int64(c.least) || n > int64(c.least+unknown) {
			au.wrongf("attempts", "%s: %d, answered were %d, %d got no answer", c.what, n, c.least, unknown)
		}
	}
	au.each(`SELECT code_id FROM checkout_attempts WHERE code_id IS NOT NULL AND user_param LIKE ANY ($1)`, []any{users}, func(rows pgx.Rows) error {
		var id [16]byte
		if err := rows.Scan(&id); err != nil {
			return err
		}
		if _, known := issued[id]; known {
			issued[id]++
		}
		return nil
	})
	for id, n := range issued {
		if n != 1 {
			au.wrongf("attempts", "code %v has %d rows", id, n)
		}
	}
}

// each reads all rows of a query.
func (a *Arena) each(query string, args []any, read func(pgx.Rows) error) {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), setupTime)
	defer cancel()
	rows, err := a.DB.Query(ctx, query, args...)
	if err != nil {
		a.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := read(rows); err != nil {
			a.t.Fatal(err)
		}
	}
	if err := rows.Err(); err != nil {
		a.t.Fatal(err)
	}
}

// clockSlack is how far two looks at one machine's clock may differ.
const clockSlack = time.Millisecond
