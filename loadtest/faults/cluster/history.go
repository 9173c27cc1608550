//go:build unix

package cluster

import (
	"context"
	"encoding/hex"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"notsale/loadtest/faults/check"
	"notsale/pkg/client"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
)

// History is what the visits were told, and what the ledger says of the sale,
// for the checker. The visits must hold all traffic to the sale.
func (a *Cluster) History(visits []*Visit, id sale.ID) *check.History {
	a.t.Helper()
	h := &check.History{}
	var first time.Time
	for _, v := range visits {
		for _, calls := range [][]Call{v.Checkouts, v.Purchases, v.Lookups} {
			for i := range calls {
				if first.IsZero() || calls[i].At.Before(first) {
					first = calls[i].At
				}
			}
		}
	}
	for n, v := range visits {
		for i := range v.Checkouts {
			c := &v.Checkouts[i]
			o := operation(n, v, c, first)
			o.Kind = check.Checkout
			if answer := (client.Answer{Status: c.Status, Body: []byte(c.Body)}); answer.Code() != "" {
				o.Code, o.Expires = a.codeID(answer.Code(), v)
			}
			h.Operations = append(h.Operations, o)
		}
		for _, of := range []struct {
			kind  check.Kind
			calls []Call
		}{{check.Purchase, v.Purchases}, {check.Lookup, v.Lookups}} {
			for i := range of.calls {
				o := operation(n, v, &of.calls[i], first)
				o.Kind, o.Sale = of.kind, id
				o.Code, o.Expires = a.codeID(v.Code, v)
				h.Operations = append(h.Operations, o)
			}
		}
	}
	h.Ledgers = []check.Ledger{a.ledgerOf(id)}
	h.Attempts = a.attemptsOf(id)
	return h
}

func operation(n int, v *Visit, c *Call, first time.Time) check.Operation {
	o := check.Operation{
		Client: n, Edge: c.Edge.Name, Start: int64(c.At.Sub(first)) + 1, Item: sale.ItemID(v.Item), User: v.User, Status: c.Status,
	}
	if c.Status != 0 {
		o.End, o.Body = int64(c.End.Sub(first))+1, []byte(c.Body)
	}
	return o
}

// codeID is a code's id and expiry, of a code that an edge gave for the visit.
func (a *Cluster) codeID(text string, v *Visit) (string, sale.Instant) {
	a.t.Helper()
	claims, err := a.Keys.Verify(text)
	if err != nil || string(claims.User) != v.User || int64(claims.Item) != v.Item {
		a.t.Fatalf("%s got a code for item %d that says %+v: %v", v.User, v.Item, claims.Claims, err)
	}
	return claims.ID.String(), claims.Expires
}

func (a *Cluster) ledgerOf(id sale.ID) check.Ledger {
	a.t.Helper()
	of := a.Sale(id).Sale
	books, err := ledger.Open(context.Background(), ledger.Config{URL: a.DatabaseURL, Name: "test", Conns: 1})
	if err != nil {
		a.t.Fatal(err)
	}
	defer books.Close()
	l := check.Ledger{Sale: id, Stock: of.Stock, UserLimit: of.UserLimit, FirstItem: of.FirstItem, Rules: of.Rules}
	l.Holes = int(a.Number(`SELECT count(*) FROM holes WHERE sale_id = $1`, id))
	for d, err := range books.Decisions(context.Background(), id, 0, math.MaxInt64) {
		if err != nil {
			a.t.Fatal(err)
		}
		row := check.Decision{Position: d.Position, Item: d.Item, User: string(d.User), Reason: d.Reason, At: d.At}
		if !d.Code.IsZero() {
			row.Code = d.Code.String()
		}
		l.Decisions = append(l.Decisions, row)
	}
	s, err := books.Snapshot(context.Background(), id)
	if err != nil {
		a.t.Fatal(err)
	}
	for _, i := range s.Items {
		l.Sold = append(l.Sold, check.Sold{Item: i.Item, User: string(i.User), Code: i.Code.String(), Position: i.Position})
	}
	return l
}

func (a *Cluster) attemptsOf(id sale.ID) []check.Attempt {
	a.t.Helper()
	rows, err := a.DB.Query(context.Background(), `SELECT attempt_id::text, user_param, item_param, outcome, code_id FROM checkout_attempts WHERE sale_id = $1`, id)
	if err != nil {
		a.t.Fatal(err)
	}
	attempts, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (check.Attempt, error) {
		r := check.Attempt{Sale: id}
		var code *[16]byte
		err := row.Scan(&r.ID, &r.User, &r.Item, (*string)(&r.Outcome), &code)
		if code != nil {
			r.Code = hex.EncodeToString(code[:])
		}
		return r, err
	})
	if err != nil {
		a.t.Fatal(err)
	}
	return attempts
}
