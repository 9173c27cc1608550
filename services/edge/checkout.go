package edge

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/pack"
	"notsale/pkg/rejection"
	"notsale/pkg/sale"
	"notsale/pkg/wire"
	"notsale/services/edge/flow"
)

// checkoutBody is the answer to a checkout that got a code.
type checkoutBody struct {
	Code    string      `json:"code"`
	Item    sale.ItemID `json:"item"`
	Name    string      `json:"name"`
	Image   string      `json:"image"`
	Sale    sale.ID     `json:"sale"`
	UserID  sale.UserID `json:"user_id"`
	Expires string      `json:"expires"`
}

// checkout gives a code for an item. A code reserves nothing.
func (e *Edge) checkout(c *gin.Context) {
	errBody := e.arrived(c)
	if errBody != nil && !errors.Is(errBody, errLargeBody) { // what has not arrived is no attempt
		p, detail := invalid(errBody)
		refuse(c, p, detail)
		return
	}
	p := parseCheckout(c.Request.URL)
	if errBody != nil {
		p.err = errBody
	}
	a, err := e.attempt(&p)
	if err != nil {
		e.fail(c, err)
		return
	}
	ctx := c.Request.Context()
	if p.err != nil {
		wrong, detail := invalid(p.err)
		e.refuseCheckout(c, a, wrong, detail)
		return
	}
	of, err := e.find(ctx, func(d *directory) *sale.Sale { return d.ofItem(p.item) })
	if err != nil {
		e.fail(c, err)
		return
	}
	if of == nil {
		a.Outcome = wire.UnknownItem
		e.refuseCheckout(c, a, e.directory.unknown(p.item), "No sale has an item with this id.")
		return
	}
	a.Sale = of.ID
	if err := of.Takes(p.user); err != nil {
		a.Outcome = wire.InvalidParameter
		e.refuseCheckout(c, a, problemParameter, err.Error())
		return
	}
	f := flow.Checkout{Closed: e.directory.closed(of.ID)}
	f.Known(e.gate.ask(rejection.Question{Sale: of.UUID, Item: p.item, User: p.user}))
	a.Outcome = f.Outcome
	text, err := e.sign(a, of, &p)
	if err != nil {
		e.fail(c, err)
		return
	}
	if e.persist(ctx, &f, a) == flow.Unqueued {
		e.fail(c, f.Err)
		return
	}
	switch a.Outcome { //nolint:exhaustive // the others were answered above
	case wire.SoldOut:
		refuse(c, problemSoldOut, refusals[allocation.SoldOut].detail)
	case wire.ItemTaken:
		refuse(c, problemTaken, refusals[allocation.ItemTaken].detail)
	default:
		reply(c, http.StatusOK, checkoutBody{
			Code: text, Item: p.item, Name: of.Name(p.item), Image: imagePath(p.item), Sale: of.ID, UserID: p.user, Expires: a.Expires.String(),
		})
	}
}

// attempt begins the record of a checkout. Its id is made before anything is
// published.
func (e *Edge) attempt(p *checkoutParams) (*wire.Attempt, error) {
	a := &wire.Attempt{
		At: sale.InstantOf(e.now()), User: wire.Printable(p.rawUser), Item: wire.Printable(p.rawItem), Outcome: wire.Issued,
	}
	if _, err := rand.Read(a.ID[:]); err != nil {
		return nil, err
	}
	a.ID[6], a.ID[8] = a.ID[6]&0x0f|0x40, a.ID[8]&0x3f|0x80 // version 4, RFC 9562
	if p.err != nil {
		a.Outcome = wire.InvalidParameter
		if p.missing {
			a.Outcome = wire.MissingParameter
		}
		if of := e.directory.ofItem(p.item); of != nil {
			a.Sale = of.ID
		}
	}
	return a, nil
}

// sign makes the code of an attempt that gets one.
func (e *Edge) sign(a *wire.Attempt, of *sale.Sale, p *checkoutParams) (string, error) {
	if a.Outcome != wire.Issued {
		return "", nil
	}
	var nonce code.Nonce
	if _, err := rand.Read(nonce[:]); err != nil {
		return "", err
	}
	a.Expires = a.At + sale.Instant(e.cfg.CodeTTL.Microseconds())
	text, signed := e.keys.Load().Sign(code.Claims{Sale: of.UUID, Item: p.item, User: p.user, Expires: a.Expires}, nonce)
	a.Code = signed.ID
	return text, nil
}

// refuseCheckout answers a checkout that the cache was not asked about.
func (e *Edge) refuseCheckout(c *gin.Context, a *wire.Attempt, p *problem, detail string) {
	var f flow.Checkout
	if e.persist(c.Request.Context(), &f, a) == flow.Unqueued {
		e.fail(c, f.Err)
		return
	}
	refuse(c, p, detail)
}

// persist stores the attempt in its stream. Only then may it be answered.
func (e *Edge) persist(ctx context.Context, f *flow.Checkout, a *wire.Attempt) flow.Action {
	ticket, err := e.attemptLane(a.Sale).attempts.Add(*a, wire.AttemptSize)
	if next := f.Submitted(err); next != flow.Wait {
		return next
	}
	select {
	case <-ticket.Done():
		return f.Stored(ticket.Err())
	case <-ctx.Done():
		return f.Stored(ctx.Err())
	case <-time.After(e.cfg.CheckoutWait):
		return f.Stored(errNotQueued)
	}
}

// errNotQueued says that storing took too long.
var errNotQueued = errors.New("edge: not known to be queued in time")

// fail answers a request that could not be carried out, as classified here and
// nowhere else.
func (e *Edge) fail(c *gin.Context, err error) {
	switch {
	case errors.Is(err, pack.ErrFull), errors.Is(err, flow.ErrCrowded):
		refuse(c, problemOverload, "Nothing was queued. Send the same request again.")
	case errors.Is(err, context.Canceled):
		c.Abort() // the client is gone; nobody reads an answer
	default:
		e.log.Debug("request failed", "error", err)
		refuse(c, problemUnavailable, "The request may or may not have been queued. Send the same request again: the same code always gets the same answer.")
	}
}
