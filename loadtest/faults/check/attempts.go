package check

import (
	"net/http"

	"notsale/pkg/wire"
)

// outcomes says how each outcome of an attempt is answered.
var outcomes = map[wire.Outcome]int{
	wire.Issued: http.StatusOK, wire.MissingParameter: http.StatusBadRequest, wire.InvalidParameter: http.StatusBadRequest,
	wire.UnknownItem: http.StatusNotFound, wire.ItemTaken: http.StatusConflict, wire.SoldOut: http.StatusGone,
}

// group is all checkouts with the same parameters, and all attempts with them.
type group struct {
	answered map[int][]*op // by status: each must have a row
	maybe    []*op         // not known to be stored: each may have a row
	rows     map[int]int   // by the status that belongs to the outcome
}

type parameters struct{ user, item string }

// checkAttempts checks I4. A row of a code belongs to the checkout that gave
// it; other rows are counted by parameters and outcome, for that is all that
// the shopper and the row have in common.
func (c *checker) checkAttempts() {
	groups, order := c.groupCheckouts()
	rows, ids := map[string]*Attempt{}, map[string]bool{}
	for i := range c.history.Attempts {
		a := &c.history.Attempts[i]
		status, known := outcomes[a.Outcome]
		key := parameters{a.User, a.Item}
		s := groups[key]
		switch {
		case !known || (a.Code != "") != (a.Outcome == wire.Issued):
			c.findf(I4, nil, "attempt %s has outcome %q and code %q", a.ID, a.Outcome, a.Code)
			continue
		case a.ID != "" && ids[a.ID]:
			c.findf(I4, nil, "attempt %s has two rows", a.ID)
			continue
		case a.Code != "" && rows[a.Code] != nil:
			c.findf(I4, c.issuedBy(a.Code), "two rows, %s and %s, say that code %s was issued", rows[a.Code].ID, a.ID, a.Code)
			continue
		case s == nil:
			c.findf(I4, nil, "attempt %s (%s, user %q, item %q) was sent by no client", a.ID, a.Outcome, a.User, a.Item)
			continue
		}
		ids[a.ID] = true
		if a.Code != "" {
			rows[a.Code] = a
		}
		s.rows[status]++
	}
	c.checkIssued(rows)
	for _, key := range order {
		c.checkGroup(key, groups[key])
	}
}

// groupCheckouts sorts the checkouts by their parameters.
func (c *checker) groupCheckouts() (groups map[parameters]*group, order []parameters) {
	groups = map[parameters]*group{}
	for i := range c.ops {
		o := &c.ops[i]
		if o.Kind != Checkout {
			continue
		}
		key := parameters{wire.Printable(o.User), wire.Printable(o.itemParam())}
		s := groups[key]
		if s == nil {
			s = &group{answered: map[int][]*op{}, rows: map[int]int{}}
			groups[key] = s
			order = append(order, key)
		}
		switch o.Status {
		case http.StatusOK, http.StatusBadRequest, http.StatusNotFound, http.StatusConflict, http.StatusGone:
			s.answered[o.Status] = append(s.answered[o.Status], o)
		default:
			s.maybe = append(s.maybe, o)
		}
	}
	return groups, order
}

// checkIssued: each code that was given has its row.
func (c *checker) checkIssued(rows map[string]*Attempt) {
	for _, s := range c.stories {
		for _, o := range s.issued {
			switch a := rows[o.Code]; {
			case a == nil:
				c.findf(I4, []*op{o}, "no attempts row says that code %s was issued", o.Code)
			case a.User != wire.Printable(o.User) || a.Item != wire.Printable(o.itemParam()):
				c.findf(I4, []*op{o}, "the attempts row of code %s says user %q, item %q", o.Code, a.User, a.Item)
			}
		}
	}
}

// checkGroup: as many rows as answers, and for each checkout whose fate is not
// known at most one more.
func (c *checker) checkGroup(key parameters, s *group) {
	surplus := 0
	for _, status := range []int{http.StatusOK, http.StatusBadRequest, http.StatusNotFound, http.StatusConflict, http.StatusGone} {
		n, rows := len(s.answered[status]), s.rows[status]
		if status != http.StatusOK && rows < n {
			c.findf(I4, s.answered[status][:min(n, 3)], "%d checkouts of item %q for user %q were answered %d, attempts has %d rows of them", n, key.item, key.user, status, rows)
		}
		surplus += max(0, rows-n)
	}
	if surplus > len(s.maybe) {
		var ops []*op
		for _, status := range sorted(s.answered) {
			ops = append(ops, s.answered[status]...)
		}
		c.findf(I4, ops[:min(len(ops), 5)], "attempts has %d rows too many for item %q and user %q: only %d checkouts are of unknown fate", surplus, key.item, key.user, len(s.maybe))
	}
}

// issuedBy returns the checkouts that gave the code.
func (c *checker) issuedBy(code string) []*op {
	if s := c.byCode[code]; s != nil {
		return s.issued
	}
	return nil
}
