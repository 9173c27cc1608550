package check_test

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"notsale/loadtest/faults/check"
	"notsale/pkg/allocation"
	"notsale/pkg/sale"
	"notsale/pkg/wire"
)

func small() setting {
	return setting{
		seed: 5, operations: 4000, clients: 24, users: 45, stock: 160, limit: 6,
		lost: 0.03, failed: 0.05, forgets: 0.01, lookups: 0.15,
	}
}

func clone(h *check.History) *check.History {
	c := *h
	c.Attempts, c.Operations = slices.Clone(h.Attempts), slices.Clone(h.Operations)
	c.Ledgers = slices.Clone(h.Ledgers)
	for i := range c.Ledgers {
		l := &c.Ledgers[i]
		l.Decisions, l.Sold = slices.Clone(l.Decisions), slices.Clone(l.Sold)
	}
	return &c
}

// plant is a history to be spoilt, with ways to find one's way in it.
type plant struct {
	*testing.T
	*check.History

	ledger *check.Ledger
	o      *check.Options
}

// op returns the first operation that fits.
func (p *plant) op(what string, fits func(*check.Operation) bool) *check.Operation {
	for i := range p.Operations {
		if fits(&p.Operations[i]) {
			return &p.Operations[i]
		}
	}
	p.Fatalf("there is no %s", what)
	return nil
}

func (p *plant) answered(kind check.Kind, status int) *check.Operation {
	return p.op(fmt.Sprintf("%s %d", kind, status), func(o *check.Operation) bool { return o.Kind == kind && o.Status == status })
}

// cachedOp returns a purchase that the cache refused.
func (p *plant) cachedOp(status int) *check.Operation {
	return p.op("refusal from the cache", func(o *check.Operation) bool {
		return o.Kind == check.Purchase && o.Status == status && !hasPosition(o)
	})
}

// refusedOp returns a purchase that the engine refused because of its item.
func (p *plant) refusedOp() *check.Operation {
	return p.op("refusal by the engine", func(o *check.Operation) bool {
		return o.Kind == check.Purchase && o.Status == 409 && hasPosition(o)
	})
}

func hasPosition(o *check.Operation) bool { return bytes.Contains(o.Body, []byte(`"position"`)) }

// last returns the end of the history.
func (p *plant) last() int64 {
	var t int64
	for i := range p.Operations {
		t = max(t, p.Operations[i].End, p.Operations[i].Start)
	}
	return t
}

// add repeats an operation at the end of the history with another answer.
func (p *plant) add(like *check.Operation, kind check.Kind, status int, body string) {
	o := *like
	t := p.last()
	o.Kind, o.Start, o.End, o.Status, o.Body = kind, t+1000, t+2000, status, []byte(body)
	p.Operations = append(p.Operations, o)
}

func (p *plant) decision(code string) *check.Decision {
	i := slices.IndexFunc(p.ledger.Decisions, func(d check.Decision) bool { return d.Code == code })
	if i < 0 {
		p.Fatalf("no decision of %s", code)
	}
	return &p.ledger.Decisions[i]
}

func (p *plant) first(reason allocation.Reason) *check.Decision {
	i := slices.IndexFunc(p.ledger.Decisions, func(d check.Decision) bool { return d.Reason == reason && d.Code != "" })
	if i < 0 {
		p.Fatalf("nothing was %v", reason)
	}
	return &p.ledger.Decisions[i]
}

// replace changes the bodies of all operations on a code.
func (p *plant) replace(code, old, with string) {
	for i := range p.Operations {
		if o := &p.Operations[i]; o.Code == code && o.Kind != check.Checkout {
			o.Body = bytes.ReplaceAll(o.Body, []byte(old), []byte(with))
		}
	}
}

// unsold makes an item one that was never sold nor asked for with success.
func (p *plant) unsold(item sale.ItemID) {
	p.ledger.Decisions = slices.DeleteFunc(p.ledger.Decisions, func(d check.Decision) bool { return d.Item == item })
	p.ledger.Sold = slices.DeleteFunc(p.ledger.Sold, func(s check.Sold) bool { return s.Item == item })
	p.Operations = slices.DeleteFunc(p.Operations, func(o check.Operation) bool {
		return o.Item == item && o.Kind != check.Checkout || o.Status == 410 || o.Item == item && o.Status == 409
	})
}

// swap exchanges the places of two decisions everywhere.
func (p *plant) swap(a, b *check.Decision) {
	swapText := func(x, y string) {
		p.replace(a.Code, x, y)
		p.replace(b.Code, y, x)
	}
	swapText(fmt.Sprintf(`"position":%d,`, a.Position), fmt.Sprintf(`"position":%d,`, b.Position))
	swapText(a.At.String(), b.At.String())
	a.Position, b.Position, a.At, b.At = b.Position, a.Position, b.At, a.At
	for i := range p.ledger.Sold {
		switch s := &p.ledger.Sold[i]; s.Code {
		case a.Code:
			s.Position = a.Position
		case b.Code:
			s.Position = b.Position
		}
	}
}

func granted(o *check.Operation) bool { return o.Kind == check.Purchase && o.Status == 200 }

type corruption struct {
	name      string
	want      check.Invariant // that speaks of it
	porcupine bool            // finds it as well
	do        func(p *plant)
}

// corruptions are what may go wrong.
var corruptions = []corruption{
	{"200 for an item that another owns", check.I1, true, func(p *plant) {
		o := p.cachedOp(409)
		o.Status, o.Body = 200, []byte(success(o.Item, sale.UserID(o.User), 7, 8))
	}},
	{"200 that the ledger refused", check.I5, true, func(p *plant) {
		o := p.refusedOp()
		d := p.decision(o.Code)
		o.Status, o.Body = 200, []byte(success(o.Item, sale.UserID(o.User), d.Position, d.At))
	}},
	{"200 that the ledger has lost", check.I5, true, func(p *plant) {
		code := p.answered(check.Purchase, 200).Code
		p.ledger.Decisions = slices.DeleteFunc(p.ledger.Decisions, func(d check.Decision) bool { return d.Code == code })
		p.ledger.Sold = slices.DeleteFunc(p.ledger.Sold, func(s check.Sold) bool { return s.Code == code })
	}},
	{"two bodies of one code", check.I3, true, func(p *plant) {
		o := p.answered(check.Purchase, 200)
		p.add(o, check.Purchase, 200, strings.Replace(string(o.Body), "Velvet", "velvet", 1))
	}},
	{"body of a lookup is not the purchase's", check.I3, true, func(p *plant) {
		o := p.answered(check.Purchase, 200)
		p.add(o, check.Lookup, 200, string(o.Body)+"\n")
	}},
	{"refusal by the engine, granted later", check.I3, true, func(p *plant) {
		o := p.refusedOp()
		p.add(o, check.Purchase, 200, success(o.Item, sale.UserID(o.User), 900_000, 1))
	}},
	{"refusal from the cache, granted later", check.I6, true, func(p *plant) {
		o := p.cachedOp(409)
		p.add(o, check.Purchase, 200, success(o.Item, sale.UserID(o.User), 900_000, 1))
	}},
	{"grant, refused by the cache later", check.I6, true, func(p *plant) {
		p.add(p.answered(check.Purchase, 200), check.Purchase, 410, problem("sold-out", 410))
	}},
	{"timeout taken for a refusal", check.I6, true, func(p *plant) {
		o := p.op("lost answer to a grant", func(o *check.Operation) bool {
			return o.Kind == check.Purchase && o.Status == 0 && slices.ContainsFunc(p.Operations, func(x check.Operation) bool { return x.Code == o.Code && granted(&x) })
		})
		o.Status, o.End, o.Body = 409, o.Start+5e6, []byte(problem("item-taken", 409))
	}},
	{"timeout of a grant that nobody heard of, taken for a refusal", check.I6, true, func(p *plant) {
		g := *p.answered(check.Purchase, 200)
		for i := range p.Operations {
			if o := &p.Operations[i]; o.Code == g.Code && o.Kind != check.Checkout {
				o.Status, o.End, o.Body = 0, 0, nil
			}
		}
		p.add(&g, check.Purchase, 409, problem("item-taken", 409))
	}},
	{"two decisions in refusals of one code", check.I3, true, func(p *plant) {
		o := p.refusedOp()
		p.add(o, check.Purchase, 409, refusal("item-taken", 409, 900_000, 1))
	}},
	{"refusal that the ledger does not have", check.I6, false, func(p *plant) {
		code := p.refusedOp().Code
		p.ledger.Decisions = slices.DeleteFunc(p.ledger.Decisions, func(d check.Decision) bool { return d.Code == code })
	}},
	{"limit off by one", check.I2, true, func(p *plant) { p.ledger.UserLimit-- }},
	{"limit off by one the other way", check.Rules, true, func(p *plant) { p.ledger.UserLimit++ }},
	{"stock off by one", check.I1, false, func(p *plant) {
		p.ledger.Stock--
		p.ledger.Sold = slices.DeleteFunc(p.ledger.Sold, func(s check.Sold) bool { return !p.inStock(s.Item) })
	}},
	{"undersold", check.I1, false, func(p *plant) {
		p.o.SoldOut = true
		p.unsold(p.first(allocation.Granted).Item)
	}},
	{"item sold twice", check.I1, true, func(p *plant) {
		d := p.first(allocation.ItemTaken)
		d.Reason = allocation.Granted
	}},
	{"item with another owner in items", check.I1, false, func(p *plant) { p.ledger.Sold[3].User = "thief" }},
	{"owner missing in items", check.I1, false, func(p *plant) { p.ledger.Sold = p.ledger.Sold[1:] }},
	{"item in items that was not granted", check.I1, false, func(p *plant) {
		code := p.ledger.Sold[0].Code
		p.ledger.Decisions = slices.DeleteFunc(p.ledger.Decisions, func(d check.Decision) bool { return d.Code == code })
	}},
	{"positions against real time", check.I7, false, func(p *plant) {
		var g []*check.Decision
		for i := range p.ledger.Decisions {
			if d := &p.ledger.Decisions[i]; d.Reason == allocation.Granted {
				g = append(g, d)
			}
		}
		p.swap(g[10], g[60])
	}},
	{"202 overtaken", check.I7, false, func(p *plant) {
		o := p.answered(check.Purchase, 202)
		d, last := p.decision(o.Code), &p.ledger.Decisions[len(p.ledger.Decisions)-1]
		for i := range p.Operations { // nobody but the 202 tells of it
			if x := &p.Operations[i]; x != o && x.Code == o.Code && x.Kind != check.Checkout {
				x.Status, x.End, x.Body = 0, 0, nil
			}
		}
		p.swap(d, last)
	}},
	{"cached 409 for an item never sold", check.I6, true, func(p *plant) {
		o := *p.answered(check.Purchase, 200)
		p.unsold(o.Item)
		p.add(&o, check.Purchase, 409, problem("item-taken", 409))
	}},
	{"checkout refused for an item never sold", check.I6, true, func(p *plant) {
		item := p.answered(check.Purchase, 200).Item
		p.unsold(item)
		p.add(p.answered(check.Checkout, 409), check.Checkout, 409, problem("item-taken", 409))
		p.Operations[len(p.Operations)-1].Item = item
	}},
	{"cached 409 before anybody asked for the item", check.I6, true, func(p *plant) {
		o := p.cachedOp(409)
		o.Start, o.End = 1, 2
	}},
	{"410 before the last grant", check.I6, true, func(p *plant) {
		o := p.cachedOp(410)
		o.Start, o.End = 40e6, 41e6
	}},
	{"checkout refused as sold out before the last grant", check.I6, true, func(p *plant) {
		o := p.answered(check.Checkout, 410)
		o.Start, o.End = 40e6, 41e6
	}},
	{"410 with items left", check.I6, true, func(p *plant) {
		o := *p.cachedOp(410)
		p.unsold(p.answered(check.Purchase, 200).Item)
		p.add(&o, check.Purchase, 410, problem("sold-out", 410))
	}},
	{"429 below the limit", check.I6, true, func(p *plant) {
		o := p.op("refusal of a user below the limit", func(o *check.Operation) bool {
			n := 0
			for _, s := range p.ledger.Sold {
				if s.User == o.User {
					n++
				}
			}
			return o.Kind == check.Purchase && o.Status == 409 && n < p.ledger.UserLimit
		})
		o.Status, o.Body = 429, bytes.ReplaceAll([]byte(problem("limit-reached", 429)), []byte("of 10"), []byte("of 6"))
	}},
	{"cached 429 before the user's last grant", check.I6, true, func(p *plant) {
		o := p.cachedOp(429)
		o.Start, o.End = 1, 2
	}},
	{"an edge judges expiry", check.I6, false, func(p *plant) {
		o := p.cachedOp(409)
		o.Status, o.Body = 410, []byte(problem("code-expired", 410))
	}},
	{"refusal of one kind with the status of another", check.I6, false, func(p *plant) { p.cachedOp(409).Status = 410 }},
	{"limit without its words", check.I6, false, func(p *plant) {
		o := p.cachedOp(429)
		o.Body = bytes.ReplaceAll(o.Body, []byte("maximum of 6"), []byte("maximum of six"))
	}},
	{"limit of another sale", check.I6, false, func(p *plant) {
		o := p.cachedOp(429)
		o.Body = bytes.ReplaceAll(o.Body, []byte("maximum of 6"), []byte("maximum of 60"))
	}},
	{"attempt not recorded", check.I4, false, func(p *plant) {
		code := p.answered(check.Checkout, 200).Code
		p.Attempts = slices.DeleteFunc(p.Attempts, func(a check.Attempt) bool { return a.Code == code })
	}},
	{"refused attempt not recorded", check.I4, false, func(p *plant) {
		o := p.answered(check.Checkout, 409)
		p.Attempts = slices.DeleteFunc(p.Attempts, func(a check.Attempt) bool {
			return a.Outcome == wire.ItemTaken && a.User == o.User && a.Item == o.Item.String()
		})
	}},
	{"attempt recorded twice", check.I4, false, func(p *plant) {
		i := slices.IndexFunc(p.Attempts, func(a check.Attempt) bool { return a.Code == p.answered(check.Checkout, 200).Code })
		a := p.Attempts[i]
		a.ID = "again"
		p.Attempts = append(p.Attempts, a)
	}},
	{"refused attempt recorded twice", check.I4, false, func(p *plant) {
		o := p.answered(check.Checkout, 404)
		for n := range 6 { // more than can come of answers that were lost
			p.Attempts = append(p.Attempts, check.Attempt{ID: fmt.Sprint("x", n), User: o.User, Item: o.Item.String(), Outcome: wire.UnknownItem})
		}
	}},
	{"attempt under another name", check.I4, false, func(p *plant) {
		p.Attempts[slices.IndexFunc(p.Attempts, func(a check.Attempt) bool { return a.Code != "" })].User = "other"
	}},
	{"attempt recorded under another outcome", check.I4, false, func(p *plant) {
		p.Attempts[slices.IndexFunc(p.Attempts, func(a check.Attempt) bool { return a.Outcome == wire.UnknownItem })].Outcome = wire.SoldOut
	}},
	{"wrong position in a body", check.I5, false, func(p *plant) {
		o := p.answered(check.Purchase, 200)
		d := p.decision(o.Code)
		p.replace(o.Code, fmt.Sprintf(`"position":%d,`, d.Position), fmt.Sprintf(`"position":%d,`, d.Position+1))
	}},
	{"wrong time in a body", check.I5, false, func(p *plant) {
		o := p.answered(check.Purchase, 200)
		d := p.decision(o.Code)
		p.replace(o.Code, d.At.String(), (d.At + 1).String())
	}},
	{"another's answer", check.I5, false, func(p *plant) {
		a := p.answered(check.Purchase, 200)
		b := p.op("grant of another", func(o *check.Operation) bool { return granted(o) && o.Code != a.Code })
		b.Body = a.Body
	}},
	{"sold, then unknown", check.I5, true, func(p *plant) {
		p.add(p.answered(check.Purchase, 200), check.Lookup, 404, problem("no-decision-yet", 404))
	}},
	{"cache before ledger", check.I6, false, func(p *plant) {
		o := p.cachedOp(409)
		d := p.ledger.Decisions[slices.IndexFunc(p.ledger.Decisions, func(d check.Decision) bool { return d.Item == o.Item && d.Reason == allocation.Granted })]
		first := p.op("first request", func(x *check.Operation) bool { return x.Code == d.Code && x.Kind == check.Purchase })
		o.Start, o.End = first.Start-2, first.Start-1
	}},
	{"taken by somebody who is unknown then", check.I6, true, func(p *plant) {
		o := p.cachedOp(409)
		d := p.ledger.Decisions[slices.IndexFunc(p.ledger.Decisions, func(d check.Decision) bool { return d.Item == o.Item && d.Reason == allocation.Granted })]
		x := *p.op("owner", func(x *check.Operation) bool { return x.Code == d.Code && x.Kind == check.Purchase })
		p.add(&x, check.Lookup, 404, problem("no-decision-yet", 404))
	}},
	{"refused, though the rules grant", check.Rules, false, func(p *plant) {
		d := p.first(allocation.Granted)
		d.Reason = allocation.ItemTaken
	}},
	{"wrong reason of two that hold", check.Rules, false, func(p *plant) { p.first(allocation.SoldOut).Reason = allocation.ItemTaken }},
	{"expired too early", check.Rules, false, func(p *plant) {
		d := p.first(allocation.CodeExpired)
		for i := range p.Operations {
			if p.Operations[i].Code == d.Code {
				p.Operations[i].Expires = d.At
			}
		}
	}},
	{"granted after its expiry", check.Rules, false, func(p *plant) {
		d := p.first(allocation.Granted)
		for i := range p.Operations {
			if p.Operations[i].Code == d.Code {
				p.Operations[i].Expires = d.At - 1
			}
		}
	}},
	{"engine time runs back", check.Rules, false, func(p *plant) {
		p.ledger.Decisions[50].At = p.ledger.Decisions[20].At - 1
	}},
	{"one position for two", check.Rules, false, func(p *plant) { p.ledger.Decisions[1].Position = p.ledger.Decisions[0].Position }},
	{"decision that nobody asked for", check.Rules, false, func(p *plant) {
		d := *p.first(allocation.ItemTaken)
		d.Code, d.Position = "ghost", 900_000
		p.ledger.Decisions = append(p.ledger.Decisions, d)
	}},
	{"decision for another's item", check.Rules, false, func(p *plant) { p.first(allocation.ItemTaken).User = "other" }},
	{"repeated code decided anew", check.I3, false, func(p *plant) {
		d := *p.first(allocation.ItemTaken)
		d.Position = 900_000
		p.ledger.Decisions = append(p.ledger.Decisions, d)
	}},
	{"202 swallowed", check.Ack, false, func(p *plant) {
		o := *p.refusedOp()
		o.Code = "swallowed"
		p.add(&o, check.Purchase, 202, `{"status":"pending"}`)
	}},
	{"code given twice", check.I3, false, func(p *plant) {
		a := *p.answered(check.Checkout, 200)
		p.add(&a, check.Checkout, 200, string(a.Body))
	}},
	{"good code called invalid", check.I6, false, func(p *plant) {
		p.add(p.refusedOp(), check.Purchase, 400, problem("invalid-code", 400))
	}},
	{"body that is cut", check.I5, false, func(p *plant) {
		o := p.answered(check.Purchase, 200)
		o.Body = o.Body[:len(o.Body)-1]
	}},
	{"operation that ends before it starts", check.Input, false, func(p *plant) {
		o := p.answered(check.Purchase, 200)
		o.End = o.Start - 1
	}},
	{"code for two users", check.Input, false, func(p *plant) {
		p.add(p.refusedOp(), check.Purchase, 503, "")
		p.Operations[len(p.Operations)-1].User = "other"
	}},
	{"sale without a ledger", check.Input, false, func(p *plant) { p.answered(check.Purchase, 200).Sale = 4 }},
}

func (p *plant) inStock(item sale.ItemID) bool {
	return item < p.ledger.FirstItem+sale.ItemID(p.ledger.Stock)
}

func TestPlantedCorruptionsAreFound(t *testing.T) {
	sound := simulate(small())
	o := check.DefaultOptions()
	if r := check.Check(sound, o); !r.OK() {
		t.Fatal(text(r))
	}
	for _, c := range corruptions {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			h, o := clone(sound), o
			c.do(&plant{T: t, History: h, ledger: &h.Ledgers[0], o: &o})
			began := time.Now()
			r := check.Check(h, o)
			took := time.Since(began)
			if r.OK() || r.Violated[c.want] == 0 {
				t.Fatalf("not found to be against %s:\n%s", c.want, text(r))
			}
			if c.porcupine && r.Violated[check.Linearizable] == 0 {
				t.Errorf("porcupine did not find it:\n%s", text(r))
			}
			if r.Violated[check.Unknown] > 0 {
				t.Errorf("porcupine did not finish in %v:\n%s", took, text(r))
			}
			if testing.Verbose() {
				t.Logf("in %v\n%s", took, text(r))
			}
		})
	}
}

// The corruptions must be what makes the difference: the base is left alone.
func TestPlantsSpoilACopy(t *testing.T) {
	a, b := simulate(small()), simulate(small())
	for _, c := range corruptions {
		o := check.DefaultOptions()
		h := clone(a)
		c.do(&plant{T: t, History: h, ledger: &h.Ledgers[0], o: &o})
	}
	if !reflect.DeepEqual(a, b) {
		t.Error("a corruption reached the base")
	}
}
