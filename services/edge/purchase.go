package edge

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/gin-gonic/gin"

	"notsale/pkg/allocation"
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
	if !ok {
		return
	}
	p := flow.Purchase{Closed: e.directory.closed(of.ID)}
	switch e.run(c.Request.Context(), &p, of, v) { //nolint:exhaustive // the others do not end a purchase
	case flow.Refused:
		e.metrics.rejections.WithLabelValues(p.Reason.String()).Inc()
		r := refusalOf(of, p.Reason)
		refuse(c, r.problem, r.detail)
	case flow.Decided:
		decided(c, of, v, p.Reply.Reason, p.Reply.Position, p.Reply.At)
	case flow.Pending:
		c.Header("Retry-After", retryAfter)
		c.Header("Location", "/purchase?code="+url.QueryEscape(text))
		reply(c, http.StatusAccepted, pendingBody{Status: "pending", Message: "Queued, not decided yet. Send the same code again."})
	case flow.Settled:
		e.settled(c, of, v)
	default:
		if errors.Is(p.Err, stream.ErrFull) {
			e.fromLedger(c, of, v, problemFull)
			return
		}
		e.fail(c, p.Err)
	}
}

// verified reads and verifies the code of a request and finds its sale, or
// answers the request itself.
func (e *Edge) verified(c *gin.Context) (string, code.Verified, *sale.Sale, bool) {
	text, err := parseCode(c.Request.URL)
	if err != nil {
		refuse(c, problemParameter, err.Error())
		return "", code.Verified{}, nil, false
	}
	v, err := e.keys.Load().Verify(text)
	if err != nil {
		refuse(c, problemCode, codeDetail)
		return "", code.Verified{}, nil, false
	}
	of, err := e.find(c.Request.Context(), func(d *directory) *sale.Sale { return d.uuid(v.Sale) })
	if err != nil {
		e.fail(c, err)
		return "", code.Verified{}, nil, false
	}
	if of == nil || !of.Contains(v.Item) {
		refuse(c, problemCode, codeDetail)
		return "", code.Verified{}, nil, false
	}
	return text, v, of, true
}

// codeDetail is the same for malformed, forged and foreign codes.
const codeDetail = "The code is not one that a checkout of this shop gave."

// run carries out a purchase's actions until one ends it.
func (e *Edge) run(ctx context.Context, p *flow.Purchase, of *sale.Sale, v code.Verified) flow.Action {
	if end := p.Known(e.gate.ask(rejection.Question{Sale: of.UUID, Item: v.Item, User: v.User, Code: v.ID})); end != flow.Submit {
		return end
	}
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
	patience := time.NewTimer(e.cfg.PurchaseWait)
	defer patience.Stop()
	for stored := ticket.Done(); next == flow.Wait; {
		select {
		case r := <-w.reply:
			next = p.Replied(r)
		case <-stored:
			next, stored = p.Stored(ticket.Err()), nil
		case <-patience.C:
			next = p.TimedOut(errNotQueued)
		case <-ctx.Done():
			next = p.Submitted(ctx.Err())
		}
	}
	return next
}

// decided answers with a decision.
func decided(c *gin.Context, of *sale.Sale, v code.Verified, reason allocation.Reason, position int64, at sale.Instant) {
	if reason == allocation.Granted {
		reply(c, http.StatusOK, purchaseBody{
			Message: "Purchase successful", Status: "success", Item: v.Item, Name: of.Name(v.Item), Sale: of.ID,
			UserID: v.User, Position: position, Time: at.String(),
		})
		return
	}
	r := refusalOf(of, reason)
	body := r.problem.body(r.detail)
	body.Position, body.Time = position, at.String()
	send(c, r.problem, body)
}

// fromLedger answers with the recorded decision, or with the problem given.
func (e *Edge) fromLedger(c *gin.Context, of *sale.Sale, v code.Verified, otherwise *problem) {
	ctx, cancel := context.WithTimeout(c.Request.Context(), readTimeout)
	defer cancel()
	_, d, err := e.ledger.DecisionOf(ctx, v.ID)
	switch {
	case errors.Is(err, ledger.ErrNotFound):
		refuse(c, otherwise, "no decision yet, POST again")
	case err != nil:
		e.log.Debug("ledger not read", "error", err)
		refuse(c, problemLedger, "Try again in a moment.")
	default:
		decided(c, of, v, d.Reason, d.Position, d.At)
	}
}
