package flow

import (
	"notsale/pkg/allocation"
	"notsale/pkg/planted"
	"notsale/pkg/wire"
)

// Checkout is one checkout at an edge, after its sale was found.
type Checkout struct {
	Closed  bool         // the sale is sold out for certain; set before Known
	Outcome wire.Outcome // what the attempt says, from Known on
	Err     error        // why it is Unqueued
}

// Start returns the first action.
func (c *Checkout) Start() Action { return Ask }

// Known takes the cache's answer. Only what closes the sale or the item refuses
// a checkout; a user's limit does not. hint: the ledger may know more.
func (c *Checkout) Known(reason allocation.Reason, hint bool) Action {
	if c.Closed {
		reason = allocation.SoldOut
	}
	c.outcome(reason)
	if hint && c.Outcome == wire.Issued {
		return Look
	}
	return Store
}

// Looked takes what the ledger says.
func (c *Checkout) Looked(v Verdict) Action {
	c.outcome(v.Reason)
	return Store
}

func (c *Checkout) outcome(reason allocation.Reason) {
	switch reason { //nolint:exhaustive // the others refuse no checkout
	case allocation.SoldOut:
		c.Outcome = wire.SoldOut
	case allocation.ItemTaken:
		c.Outcome = wire.ItemTaken
	default:
		c.Outcome = wire.Issued
	}
}

// Submitted takes whether the queue took the attempt.
func (c *Checkout) Submitted(err error) Action {
	if err != nil {
		c.Err = err
		return Unqueued
	}
	if planted.Bug == planted.CheckoutBeforeAck {
		return Answer
	}
	return Wait
}

// Stored takes the fate of the attempt's pack, or why nobody waits for it any more.
func (c *Checkout) Stored(err error) Action {
	if err != nil {
		c.Err = err
		return Unqueued
	}
	return Answer
}
