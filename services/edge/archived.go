package edge

import (
	"context"
	"errors"

	"github.com/gin-gonic/gin"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
)

// settled answers a purchase of a sale whose stream takes nothing more: with the
// recorded decision, else that the sale is sold out. An edge whose directory is
// older publishes in vain and answers 503, until it learns of it.
//
// Whether all is decided is read before the decision: what has none then never
// gets another. A ledger that was restored to before that says nothing final.
func (e *Edge) settled(c *gin.Context, of *sale.Sale, v code.Verified) {
	ctx, cancel := context.WithTimeout(c.Request.Context(), readTimeout)
	defer cancel()
	over, errSale := e.over(ctx, of.ID)
	switch _, d, err := e.ledger.DecisionOf(ctx, v.ID); {
	case err == nil:
		decided(c, of, v, d.Reason, d.Position, d.At)
	case errors.Is(err, ledger.ErrNotFound) && over:
		refuse(c, problemSoldOut, refusals[allocation.SoldOut].detail)
	default:
		e.log.Debug("ledger not read", "error", errors.Join(errSale, err))
		refuse(c, problemLedger, "Try again in a moment.")
	}
}

// over reports whether nothing of the sale is left to decide: it is archived, or
// its closed stream is decided to its end.
func (e *Edge) over(ctx context.Context, id sale.ID) (bool, error) {
	row, err := e.ledger.Sale(ctx, id)
	if err != nil || row.State != sale.Archiving {
		return row.State == sale.Archived, err
	}
	info, err := e.stream.Info(ctx, id)
	if err != nil {
		return false, err
	}
	pos, err := e.ledger.Cursor(ctx, id)
	return err == nil && pos.Cursor.Sequence == info.Last, err
}

// attemptLane is the way into the stream that keeps a sale's attempts: the one
// of no sale, where the sale's own takes nothing more.
func (e *Edge) attemptLane(id sale.ID) *lane {
	if e.directory.closed(id) {
		id = 0
	}
	return e.lane(id)
}
