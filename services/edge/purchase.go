package edge

import (
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/gin-gonic/gin"

	"notsale/pkg/allocation"
	"notsale/pkg/catalogue"
	"notsale/pkg/code"
	"notsale/pkg/ledger"
	"notsale/pkg/rejection"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
	"notsale/services/edge/flow"
)

// purchaseBody is the answer to a purchase that was granted. It is the same,
// byte for byte, for every retry: all of it is in the code and the decision.
type purchaseBody struct {
	Message  string      `json:"message"`
	Status   string      `json:"status"`
	Item     sale.ItemID `json:"item"`
	Name     string      `json:"name"`
	Sale     sale.ID     `json:"sale"`
	UserID   sale.UserID `json:"user_id"`
	Position int64       `json:"position"`
	Time     string      `json:"time"`
}

// pendingBody is the answer to a purchase that is queued but not decided.
type pendingBody struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

// purchase sells the item of a code to its user, if it can still be had.
func (e *Edge) purchase(c *gin.Context) {
	text, v, of, ok := e.verified(c)
	if !ok || !e.purchases.admitUser(c, v.User) {
		return
	}
	o, err := e.flights.take(c.Request.Context(), v.ID, func() outcome { return e.run(of, v) })
	if err != nil {
		e.fail(c, err, repeatPurchase)
		return
	}
	switch o.end { //nolint:exhaustive // the others do not end a purchase
	case flow.Refused:
		e.metrics.rejections.WithLabelValues(o.Reason.String()).Inc()
		refuseFor(c, of, o.Reason)
	case flow.Decided:
		decided(c, of, v, o.Reply.Reason, o.Reply.Position, o.Reply.At)
	case flow.Pending:
		c.Header("Retry-After", retryAfter)
		c.Header("Location", "/purchase?code="+url.QueryEscape(text))
		reply(c, http.StatusAccepted, pendingBody{Status: "pending", Message: "Queued, not decided yet. Send the same code again."})
	default:
		e.fail(c, o.Err, repeatPurchase)
	}
}

// verified reads and verifies the code of a request and finds its sale, or
// answers the request itself.
func (e *Edge) verified(c *gin.Context) (string, code.Verified, *sale.Sale, bool) {
	if !e.purchases.admitAddress(c) {
		return "", code.Verified{}, nil, false
	}
	known, ok := e.identity.user(c)
	if !ok {
		return "", code.Verified{}, nil, false
	}
	text, err := parseCode(c.Request.URL)
	if err != nil {
		refuse(c, problemParameter, err.Error())
		return "", code.Verified{}, nil, false
	}
	v, err := e.keys.Load().Verify(text)
	if err != nil || known != "" && v.User != known {
		refuse(c, problemCode, codeDetail)
		return "", code.Verified{}, nil, false
	}
	of, err := e.find(miss{uuid: v.Sale})
	if err != nil {
		e.failRead(c, err, problemCode)
		return "", code.Verified{}, nil, false
	}
	if of == nil || !of.Contains(v.Item) {
		refuse(c, problemCode, codeDetail)
		return "", code.Verified{}, nil, false
	}
	return text, v, of, true
}

// codeDetail is the same for malformed, forged and foreign codes, and for those
// of other users where the user is known.
const codeDetail = "The code is not one that a checkout of this shop gave."

// run carries out a purchase's actions until one ends it. It goes on when the
// client has left, or has only closed its sending half: the answer is true for
// whoever waits.
func (e *Edge) run(of *sale.Sale, v code.Verified) outcome {
	p := flow.Purchase{Closed: e.directory.closed(of.ID)}
	known, seen := e.known(of, v)
	latest := time.Now().Add(lookPatience + e.cfg.PurchaseWait) // however long the ledger took
	p.Seen = seen
	next := p.Known(known.Reason, p.Seen || e.hint(of, v))
	if next == flow.Look {
		next = p.Looked(e.recorded(of, v, p.Seen))
	}
	if next == flow.Submit {
		next = e.submit(&p, of, v, latest)
	}
	switch next { //nolint:exhaustive // the others say nothing of the item
	case flow.Decided:
		e.memory.learned(of.UUID, v.Item, p.Reply.Reason)
	case flow.Refused:
		e.memory.learned(of.UUID, v.Item, p.Reason)
	}
	return outcome{end: next, Purchase: p}
}

// known asks the cache about a request, and whether its code was seen to be decided,
// there or here.
func (e *Edge) known(of *sale.Sale, v code.Verified) (known rejection.Answer, seen bool) {
	known = e.gate.ask(rejection.Question{Sale: of.UUID, Item: v.Item, User: v.User, Code: v.ID})
	return known, known.Ours || e.memory.decidedCode(v.ID)
}

// hint reports whether the ledger is read before a request is queued whose code
// was not seen to be decided: it may have been. A code that has expired by this
// edge's clock was, or will be refused; so each enters the stream once.
func (e *Edge) hint(of *sale.Sale, v code.Verified) bool {
	return e.soldOut(of) || sale.InstantOf(e.now()) > v.Expires
}

// soldOut reports whether the sale has been seen to be sold out; the ledger says
// whether it is.
func (e *Edge) soldOut(of *sale.Sale) bool {
	return e.directory.soldOut(of.ID) || e.memory.soldOut(of.UUID)
}

// look asks the ledger for this very code, by the look-ups of a kind.
func (e *Edge) look(of *sale.Sale, v code.Verified, kind *lookups, patience time.Duration) flow.Verdict {
	found := e.records.ask(kind, ledger.Question{Sale: of.UUID, Item: v.Item, User: v.User, Code: v.ID}, patience)
	if found.Recorded {
		e.memory.decided([]wire.Reply{found.Reply})
	}
	return found
}

// recorded asks the ledger for this very code: once, or, where it was seen to be
// decided, until it answers, also after errors, for as long as a purchase waits for
// its decision.
func (e *Edge) recorded(of *sale.Sale, v code.Verified, seen bool) flow.Verdict {
	if !seen {
		return e.look(of, v, e.records.keys, lookPatience)
	}
	for end := time.Now().Add(max(lookPatience, e.cfg.PurchaseWait)); ; time.Sleep(recordsPause) {
		found := e.look(of, v, e.records.decided, time.Until(end))
		if !found.Unread || time.Until(end) < recordsPause {
			return found
		}
	}
}

// submit queues a request and waits for its decision, until latest at most.
func (e *Edge) submit(p *flow.Purchase, of *sale.Sale, v code.Verified, latest time.Time) flow.Action {
	w, err := e.waiters.add(v.ID)
	if err != nil {
		return p.Submitted(err)
	}
	defer e.waiters.remove(w)
	ticket, err := e.lane(of.ID).requests.Add(allocation.Request{
		Number: w.number, Code: v.ID, Item: v.Item, User: v.User, Expires: v.Expires,
	}, wire.RequestSize)
	next := p.Submitted(err)
	if next != flow.Wait {
		return next
	}
	patience := time.NewTimer(min(e.cfg.PurchaseWait, time.Until(latest)))
	defer patience.Stop()
	for stored := ticket.Done(); next == flow.Wait; {
		select {
		case r := <-w.reply:
			next = p.Replied(r)
		case <-stored:
			next, stored = p.Stored(ticket.Err()), nil
		case <-patience.C:
			next = p.TimedOut(errNotQueued)
		}
	}
	if next != flow.Look {
		return next
	}
	kind := e.records.keys
	if errors.Is(p.Err, stream.ErrFull) {
		kind = e.records.limits
	}
	next = p.Looked(e.look(of, v, kind, lookPatience))
	select {
	case r := <-w.reply: // it came while the ledger was asked
		return p.Replied(r)
	default:
		return next
	}
}

// decided answers with a decision.
func decided(c *gin.Context, of *sale.Sale, v code.Verified, reason allocation.Reason, position int64, at sale.Instant) {
	if reason == allocation.Granted {
		reply(c, http.StatusOK, purchaseBody{
			Message: "Purchase successful", Status: "success", Item: v.Item, Name: catalogue.Name(of, v.Item), Sale: of.ID,
			UserID: v.User, Position: position, Time: at.String(),
		})
		return
	}
	r := refusalOf(of, reason)
	body := r.problem.body(r.detail)
	body.Position, body.Time = position, at.String()
	send(c, r.problem, body)
}

// refuseFor refuses a request for good, for a reason that is proved.
func refuseFor(c *gin.Context, of *sale.Sale, reason allocation.Reason) {
	r := refusalOf(of, reason)
	refuse(c, r.problem, r.detail)
}
