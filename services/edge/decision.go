package edge

import (
	"context"
	"fmt"
	"strings"

	"github.com/gin-gonic/gin"

	"notsale/pkg/allocation"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/services/edge/shop"
)

// explainedJSON is a refusal as GET /purchase tells it: what POST answers, and
// what the request lost to. It says nothing of any other user or code but
// positions and times.
type explainedJSON struct {
	problemJSON

	LostTo *lostToJSON `json:"lost_to,omitempty"`
}

// lostToJSON is the grant that made a refusal final.
type lostToJSON struct {
	Reason   string `json:"reason"` // sold-out, limit-reached or item-taken
	Position int64  `json:"position"`
	Time     string `json:"time"`
}

// decision answers with what the ledger says of a code, and why; it never
// publishes.
func (e *Edge) decision(c *gin.Context) {
	_, v, of, ok := e.verified(c)
	if !ok {
		return
	}
	switch won, seen := e.shop.Recorded(of, v); { // not held up by who reads pages
	case won.Recorded && won.Reply.Reason == allocation.Granted:
		decided(c, of, v, won.Reply.Reason, won.Reply.Position, won.Reply.At)
		return
	case won.Unread && seen:
		e.failRead(c, shop.ErrNoAnswer, problemUndecided)
		return
	}
	x, err := shared(e.reads, "code "+v.ID.String(), func(ctx context.Context) (ledger.Explanation, error) {
		return e.ledger.Explain(ctx, of, &v)
	})
	switch d := x.Decision; {
	case err != nil:
		e.failRead(c, err, problemUndecided)
	case d == nil:
		body := problemUndecided.body(undecided(of, x.Facts))
		body.Retryable = len(x.Facts) == 0 // they are final: it would be refused
		explain(c, problemUndecided, body, x.Facts)
	case d.Reason == allocation.Granted:
		decided(c, of, v, d.Reason, d.Position, d.At)
	default:
		p := refusalOf(of, d.Reason).problem
		body := p.body(refused(of, d, v.Expires, x.Facts))
		body.Position, body.Time = d.Position, d.At.String()
		explain(c, p, body, x.Facts)
	}
}

// explain answers with a problem and the first of the facts, which is the one
// that the engine looks at first.
func explain(c *gin.Context, p *problem, body problemJSON, facts []ledger.Fact) {
	explained := explainedJSON{problemJSON: body}
	if len(facts) > 0 {
		f := facts[0]
		explained.LostTo = &lostToJSON{Reason: f.Reason.String(), Position: f.Position, Time: f.At.String()}
	}
	send(c, p, explained)
}

// undecided says what is known of a code without a decision.
func undecided(of *sale.Sale, facts []ledger.Fact) string {
	if len(facts) == 0 {
		return "no decision yet, POST again"
	}
	text := "no decision yet: a request with this code never reached the queue, or waits there. It would be refused."
	for _, f := range facts {
		text += " " + sentence(of, f)
	}
	return text
}

// refused says why a request was refused, whose code expires then.
func refused(of *sale.Sale, d *allocation.Decision, expires sale.Instant, facts []ledger.Fact) string {
	switch {
	case d.Reason == allocation.CodeExpired:
		return fmt.Sprintf("The code expired at %v, and the request was decided at %v. Check out again.", expires, d.At)
	case len(facts) > 0:
		return sentence(of, facts[0])
	}
	return refusalOf(of, d.Reason).detail
}

// lost says where what the detail of a refusal speaks of came about, by the scope of
// its reason.
var lost = map[allocation.Scope]string{
	allocation.ScopeSale: "the last one at position %d, %v.",
	allocation.ScopeUser: "the last of them at position %d, %v.",
	allocation.ScopeItem: "at position %d, %v.",
}

func sentence(of *sale.Sale, f ledger.Fact) string {
	return strings.TrimSuffix(refusalOf(of, f.Reason).detail, ".") + ": " + fmt.Sprintf(lost[f.Reason.Scope()], f.Position, f.At)
}
