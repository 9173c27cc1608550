package edge

import (
	"crypto/rand"
	"errors"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"notsale/pkg/allocation"
	"notsale/pkg/catalogue"
	"notsale/pkg/code"
	"notsale/pkg/ledger"
	"notsale/pkg/pack"
	"notsale/pkg/rejection"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
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

// admitted reads who wants what. One who is refused here, and has his answer then,
// has made no attempt.
func (e *Edge) admitted(c *gin.Context) (p checkoutParams, ok bool) {
	errBody := e.arrived(c)
	if errors.Is(errBody, errSlowBody) {
		slow, detail := invalid(errBody)
		refuse(c, slow, detail)
		return p, false
	}
	if !e.checkouts.admitAddress(c) {
		return p, false
	}
	known, ok := e.identity.user(c)
	if !ok {
		return p, false
	}
	p = parseCheckout(c.Request.URL, known)
	if known != "" && p.user != known {
		refuse(c, problemIdentity, "user_id is not the user whom the proxy names: leave it out.")
		return p, false
	}
	if errBody != nil {
		p.err = errBody
	}
	return p, e.checkouts.admitUser(c, p.user)
}

// checkout gives a code for an item. A code reserves nothing.
func (e *Edge) checkout(c *gin.Context) {
	p, ok := e.admitted(c)
	if !ok {
		return
	}
	a, err := e.attempt(&p)
	if err != nil {
		e.fail(c, err, repeatCheckout)
		return
	}
	if p.err != nil {
		wrong, detail := invalid(p.err)
		e.refuseCheckout(c, a, wrong, detail)
		return
	}
	of, err := e.find(miss{item: p.item})
	if err != nil {
		e.fail(c, err, repeatCheckout)
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
	f := e.outlook(of, &p)
	a.Outcome = f.Outcome
	text, err := e.sign(a, of, &p)
	if err != nil {
		e.fail(c, err, repeatCheckout)
		return
	}
	if e.persist(&f, a) == flow.Unqueued {
		e.fail(c, f.Err, repeatCheckout)
		return
	}
	switch a.Outcome { //nolint:exhaustive // the others were answered above
	case wire.SoldOut:
		refuseFor(c, of, allocation.SoldOut)
	case wire.ItemTaken:
		refuseFor(c, of, allocation.ItemTaken)
	default:
		reply(c, http.StatusOK, checkoutBody{
			Code: text, Item: p.item, Name: catalogue.Name(of, p.item), Image: imagePath(p.item), Sale: of.ID, UserID: p.user, Expires: a.Expires.String(),
		})
	}
}

// outlook says whether the item can still be had, as far as is known. The
// ledger is asked where this edge has seen that the item is sold, and where the
// cache knows nothing of the sale, emptied or away: else it would have been told.
func (e *Edge) outlook(of *sale.Sale, p *checkoutParams) flow.Checkout {
	f := flow.Checkout{Closed: e.directory.closed(of.ID)}
	known := e.gate.ask(rejection.Question{Sale: of.UUID, Item: p.item, User: p.user})
	hint := known.Blank || e.soldOut(of) || e.memory.soldItem(p.item)
	if f.Known(known.Reason, hint) == flow.Look {
		f.Looked(e.records.ask(e.records.keys, ledger.Question{Sale: of.UUID, Item: p.item, User: p.user}, lookPatience))
	}
	return f
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
	if e.persist(&f, a) == flow.Unqueued {
		e.fail(c, f.Err, repeatCheckout)
		return
	}
	refuse(c, p, detail)
}

// persist stores the attempt in its stream. Only then may it be answered.
func (e *Edge) persist(f *flow.Checkout, a *wire.Attempt) flow.Action {
	ticket, err := e.attemptLane(a.Sale).attempts.Add(*a, wire.AttemptSize)
	if next := f.Submitted(err); next != flow.Wait {
		return next
	}
	patience := time.NewTimer(e.cfg.CheckoutWait)
	defer patience.Stop()
	select {
	case <-ticket.Done():
		return f.Stored(ticket.Err())
	case <-patience.C:
		return f.Stored(errNotQueued)
	}
}

// attemptLane is the way into the stream that keeps a sale's attempts: the one
// of no sale, where the sale's own takes nothing more.
func (e *Edge) attemptLane(id sale.ID) *lane {
	if e.directory.closed(id) {
		id = 0
	}
	return e.lane(id)
}

// errNotQueued says that storing took too long.
var errNotQueued = errors.New("edge: not known to be queued in time")

// What whoever was answered 503 should do.
const (
	repeatPurchase = "The request may or may not have been queued. Send the same request again: the same code always gets the same answer."
	repeatCheckout = "The checkout may or may not have been recorded, and gave no code. Check out again."
)

// fail answers a request that could not be carried out, as classified here and
// nowhere else. again says what to do about one whose fate is not known.
func (e *Edge) fail(c *gin.Context, err error, again string) {
	switch {
	case errors.Is(err, pack.ErrFull), errors.Is(err, flow.ErrCrowded):
		refuse(c, problemOverload, "This request was not queued. Send it again.")
	case errors.Is(err, flow.ErrNoAnswer):
		refuse(c, problemLedger, "Try again in a moment.")
	case errors.Is(err, stream.ErrFull):
		refuse(c, problemFull, again)
	default:
		e.log.Debug("request failed", "error", err)
		refuse(c, problemUnavailable, again)
	}
}
