//go:build unix

package cluster

import (
	"context"
	"math"
	"time"

	"notsale/loadtest/faults/check"
	"notsale/pkg/client"
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
	l, attempts := a.recorded(id)
	h.Ledgers, h.Attempts = []check.Ledger{l}, attempts
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

// recorded is what the ledger says of a sale, and of its checkouts.
func (a *Cluster) recorded(id sale.ID) (check.Ledger, []check.Attempt) {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), setupTime)
	defer cancel()
	books := a.ledger()
	defer books.Close()
	s, err := books.Snapshot(ctx, id)
	a.must(err)
	of := s.Sale.Sale
	l := check.Ledger{Sale: id, Stock: of.Stock, UserLimit: of.UserLimit, FirstItem: of.FirstItem, Rules: of.Rules, Holes: len(s.Holes)}
	for _, i := range s.Items {
		l.Sold = append(l.Sold, check.Sold{Item: i.Item, User: string(i.User), Code: i.Code.String(), Position: i.Position})
	}
	for d, err := range books.Decisions(ctx, id, 0, math.MaxInt64) {
		a.must(err)
		row := check.Decision{Position: d.Position, Item: d.Item, User: string(d.User), Reason: d.Reason, At: d.At}
		if !d.Code.IsZero() {
			row.Code = d.Code.String()
		}
		l.Decisions = append(l.Decisions, row)
	}
	var attempts []check.Attempt
	for r, err := range books.Attempts(ctx, id) {
		a.must(err)
		row := check.Attempt{ID: r.ID.String(), Sale: id, User: r.User, Item: r.Item, Outcome: r.Outcome}
		if !r.Code.IsZero() {
			row.Code = r.Code.String()
		}
		attempts = append(attempts, row)
	}
	return l, attempts
}
