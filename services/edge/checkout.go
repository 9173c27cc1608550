package edge

import (
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"notsale/pkg/allocation"
	"notsale/pkg/catalogue"
	"notsale/pkg/pack"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
	"notsale/services/edge/shop"
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
	w, ok := e.admitted(c)
	if !ok {
		return
	}
	out, err := e.shop.Checkout(&w)
	if err != nil {
		e.fail(c, err, repeatCheckout)
		return
	}
	switch out.Outcome {
	case wire.Issued:
		reply(c, http.StatusOK, checkoutBody{
			Code: out.Code, Item: w.Item, Name: catalogue.Name(out.Sale, w.Item), Image: imagePath(w.Item), Sale: out.Sale.ID, UserID: w.User, Expires: out.Expires.String(),
		})
	case wire.SoldOut:
		refuseFor(c, out.Sale, allocation.SoldOut)
	case wire.ItemTaken:
		refuseFor(c, out.Sale, allocation.ItemTaken)
	case wire.UnknownItem:
		refuse(c, e.unknown(w.Item), "No sale has an item with this id.")
	case wire.InvalidParameter, wire.MissingParameter:
		wrong, detail := invalid(out.Invalid)
		refuse(c, wrong, detail)
	}
}

// admitted reads who wants what. One who is refused here, and has his answer then,
// has made no attempt.
func (e *Edge) admitted(c *gin.Context) (w shop.Wish, ok bool) {
	errBody := e.arrived(c)
	if errors.Is(errBody, errSlowBody) {
		slow, detail := invalid(errBody)
		refuse(c, slow, detail)
		return w, false
	}
	if !e.checkouts.admitAddress(c) {
		return w, false
	}
	known, ok := e.identity.user(c)
	if !ok {
		return w, false
	}
	w = parseCheckout(c.Request.URL, known)
	if known != "" && w.User != known {
		refuse(c, problemIdentity, "user_id is not the user whom the proxy names: leave it out.")
		return w, false
	}
	if errBody != nil {
		w.Invalid = errBody
	}
	return w, e.checkouts.admitUser(c, w.User)
}

// What whoever was answered 503 should do.
const (
	repeatPurchase = "The request may or may not have been queued. Send the same request again: the same code always gets the same answer."
	repeatCheckout = "The checkout may or may not have been recorded, and gave no code. Check out again."
)

// fail answers a request that could not be carried out, as classified here and
// nowhere else. again says what to do about one whose fate is not known.
func (e *Edge) fail(c *gin.Context, err error, again string) {
	switch {
	case errors.Is(err, pack.ErrFull), errors.Is(err, shop.ErrCrowded):
		refuse(c, problemOverload, "This request was not queued. Send it again.")
	case errors.Is(err, shop.ErrNoAnswer):
		refuse(c, problemLedger, "Try again in a moment.")
	case errors.Is(err, stream.ErrFull):
		refuse(c, problemFull, again)
	default:
		e.log.Debug("request failed", "error", err)
		refuse(c, problemUnavailable, again)
	}
}
