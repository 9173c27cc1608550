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
	reason := e.gate.ask(rejection.Question{Sale: of.UUID, Item: v.Item, User: v.User, Code: v.ID})
	if reason != allocation.Granted {
		e.metrics.rejections.WithLabelValues(reason.String()).Inc()
		refuse(c, refusals[reason].problem, refusals[reason].detail)
		return
	}
	r, queued, err := e.request(c.Request.Context(), of.ID, v)
	switch {
	case err == nil:
		decided(c, of, v, r.Reason, r.Position, r.At)
	case queued:
		c.Header("Retry-After", retryAfter)
		c.Header("Location", "/purchase?code="+url.QueryEscape(text))
		reply(c, http.StatusAccepted, pendingBody{Status: "pending", Message: "Queued, not decided yet. Send the same code again."})
	case errors.Is(err, stream.ErrFull):
		e.fromLedger(c, of, v, problemFull)
	default:
		e.fail(c, err)
	}
}

// verified reads and verifies the code of a request and finds its sale, or
// answers the request itself.
func (e *Edge) verified(c *gin.Context) (string, code.Verified, *sale.Sale, bool) {
	c.Header("Cache-Control", "no-store")
	text, err := parseCode(c.Request.URL)
	if err != nil {
		refuse(c, problemParameter, err.Error())
		return "", code.Verified{}, nil, false
	}
	v, err := e.keyring().Verify(text)
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

// request publishes a purchase request and waits for its decision. queued says
// whether it is durably stored when an error is returned.
func (e *Edge) request(ctx context.Context, id sale.ID, v code.Verified) (r wire.Reply, queued bool, err error) {
	w, err := e.waiters.add(v.ID)
	if err != nil {
		return wire.Reply{}, false, err
	}
	defer e.waiters.remove(w)
	ticket, err := e.lane(id).requests.Add(allocation.Request{
		Number: w.number, Code: v.ID, Item: v.Item, User: v.User, Expires: v.Expires,
	}, wire.RequestSize)
	if err != nil {
		return wire.Reply{}, false, err
	}
	patience := time.NewTimer(e.cfg.PurchaseWait)
	defer patience.Stop()
	stored := ticket.Done()
	for {
		select {
		case r = <-w.reply:
			return r, true, nil
		case <-stored:
			if err := ticket.Err(); err != nil {
				return wire.Reply{}, false, err
			}
			queued, stored = true, nil
		case <-patience.C:
			return wire.Reply{}, queued, errNotQueued
		case <-ctx.Done():
			return wire.Reply{}, false, ctx.Err()
		}
	}
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
	r := refusals[reason]
	body := r.problem.body(r.detail)
	body.Position, body.Time = position, at.String()
	send(c, r.problem, body)
}

// decision answers with what the ledger says of a code; it never publishes.
func (e *Edge) decision(c *gin.Context) {
	_, v, of, ok := e.verified(c)
	if !ok {
		return
	}
	e.fromLedger(c, of, v, problemUndecided)
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
