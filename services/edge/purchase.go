package edge

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/gin-gonic/gin"

	"notsale/pkg/allocation"
	"notsale/pkg/catalogue"
	"notsale/pkg/code"
	"notsale/pkg/sale"
	"notsale/services/edge/shop"
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
	o, err := e.shop.Purchase(c.Request.Context(), of, v)
	if err != nil {
		e.fail(c, err, repeatPurchase)
		return
	}
	switch o.End {
	case shop.Refused:
		e.metrics.rejections.WithLabelValues(o.Reason.String()).Inc()
		refuseFor(c, of, o.Reason)
	case shop.Decided:
		decided(c, of, v, o.Reply.Reason, o.Reply.Position, o.Reply.At)
	case shop.Pending:
		c.Header("Retry-After", retryAfter)
		c.Header("Location", "/purchase?code="+url.QueryEscape(text))
		reply(c, http.StatusAccepted, pendingBody{Status: "pending", Message: "Queued, not decided yet. Send the same code again."})
	case shop.Unqueued:
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
	v, of, err := e.shop.Verify(text, known)
	switch {
	case errors.Is(err, shop.ErrCode):
		refuse(c, problemCode, codeDetail)
	case err != nil:
		e.failRead(c, err, problemCode)
	}
	return text, v, of, !c.Writer.Written()
}

// codeDetail is the same for malformed, forged and foreign codes, and for those
// of other users where the user is known.
const codeDetail = "The code is not one that a checkout of this shop gave."

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
