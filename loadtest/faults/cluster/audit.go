//go:build unix

package cluster

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"notsale/loadtest/faults/check"
	"notsale/pkg/sale"
	"notsale/services/servicetest/audittest"
)

// Expect says what must be so in the end.
type Expect struct {
	Sale    sale.ID // 0: 1
	SoldOut bool    // exactly the stock is sold
	Holes   int     // recorded lost tails
}

// maxShown is how many findings of one kind are shown.
const maxShown = 3

// Audit fails the test for everything that is wrong with a sale, by the judges of
// Findings. The visits must hold all traffic to the sale, all answers must be in,
// and no process may be deciding still.
func (a *Cluster) Audit(visits []*Visit, want Expect) {
	a.t.Helper()
	for _, f := range a.Findings(visits, want) {
		a.t.Error(f)
	}
}

// Findings asks two judges that know nothing of each other: the program's auditor
// compares stream and ledger, and the checker of histories the ledger and what the
// shoppers were told. Each finding begins with its kind: "audit", or the checker's
// invariant; or "answer", where one is not as a shopper's must be.
func (a *Cluster) Findings(visits []*Visit, want Expect) []string {
	a.t.Helper()
	if want.Sale == 0 {
		want.Sale = 1
	}
	found := answers(visits)
	a.awaitAttempts(visits, want.Sale)
	h := a.History(visits, want.Sale)
	if n := h.Ledgers[0].Holes; n != want.Holes {
		found = append(found, fmt.Sprintf("holes: %d, want %d", n, want.Holes))
	}
	o := check.DefaultOptions()
	o.SoldOut, o.MaxFindings, o.Timeout = want.SoldOut, maxShown, Patience
	found = append(found, check.Check(h, o).Texts()...)
	ctx, cancel := context.WithTimeout(context.Background(), setupTime)
	defer cancel()
	a.audited = true
	findings, err := audittest.Findings(ctx, a.stores(), want.Sale)
	if err != nil {
		findings = append(findings, err.Error())
	}
	for _, f := range findings {
		found = append(found, "audit: "+f)
	}
	return found
}

// allowed are the answers that an edge may give to a shopper of the crowd; 0: none.
var allowed = map[check.Kind][]int{
	check.Checkout: {0, http.StatusOK, http.StatusConflict, http.StatusGone, http.StatusServiceUnavailable},
	check.Purchase: {
		0, http.StatusOK, http.StatusAccepted, http.StatusConflict, http.StatusGone, http.StatusTooManyRequests, http.StatusServiceUnavailable,
	},
	check.Lookup: {
		0, http.StatusOK, http.StatusNotFound, http.StatusConflict, http.StatusGone, http.StatusTooManyRequests, http.StatusServiceUnavailable,
	},
}

// answers looks at what no history holds: that everybody got a final answer, that
// no answer was of another status, and that "later" says when.
func answers(visits []*Visit) (found []string) {
	for _, v := range visits {
		if v.Status == 0 {
			found = append(found, fmt.Sprintf("answer: no final one for %s, item %d: checkouts %v, purchases %v", v.User, v.Item, statuses(v.Checkouts), statuses(v.Purchases)))
		}
		for kind, calls := range map[check.Kind][]Call{check.Checkout: v.Checkouts, check.Purchase: v.Purchases, check.Lookup: v.Lookups} {
			for i := range calls {
				c := &calls[i]
				later := c.Status == http.StatusAccepted || c.Status == http.StatusServiceUnavailable
				if !slices.Contains(allowed[kind], c.Status) || later && !c.Waits {
					found = append(found, fmt.Sprintf("answer: %s got %d %.200s, Retry-After: %v", kind, c.Status, c.Body, c.Waits))
				}
			}
		}
	}
	if more := len(found) - maxShown; more > 0 {
		found = append(found[:maxShown], fmt.Sprintf("answer: %d more", more))
	}
	return found
}

func statuses(calls []Call) (list []int) {
	for i := range calls {
		list = append(list, calls[i].Status)
	}
	return list
}

// awaitAttempts waits until every answered checkout of the sale can have its row.
func (a *Cluster) awaitAttempts(visits []*Visit, id sale.ID) {
	a.t.Helper()
	answered := 0
	for _, v := range visits {
		for i := range v.Checkouts {
			if s := v.Checkouts[i].Status; s != 0 && s < http.StatusInternalServerError {
				answered++
			}
		}
	}
	a.Eventually("every answered checkout is recorded", func() bool {
		return a.Number(`SELECT count(*) FROM checkout_attempts WHERE sale_id = $1`, id) >= int64(answered)
	})
}

// Spoilt says that the test has changed tables or streams itself, or leaves them
// in a state that no audit can read, so that none is due when it ends.
func (a *Cluster) Spoilt() { a.audited = true }

// auditEnd audits all sales of a test that has not asked for an audit itself.
func (a *Cluster) auditEnd() {
	if !a.audited && !a.t.Failed() {
		audittest.Clean(a.t, a.stores())
	}
}

func (a *Cluster) stores() audittest.Stores {
	return audittest.Stores{DatabaseURL: a.DatabaseURL, NATSURL: a.NATSURL}
}
