package flow

import (
	"notsale/pkg/allocation"
	"notsale/pkg/planted"
	"notsale/pkg/wire"
)

// Action is what a flow wants done next, or what its end is.
type Action uint8

// The actions. Those from Refused on end the flow.
const (
	Ask      Action = 1  // ask the rejection cache; then Known
	Submit   Action = 2  // put the request into the sale's queue; then Submitted
	Wait     Action = 3  // wait for Stored, Replied or TimedOut, whichever comes first
	Store    Action = 4  // put the attempt into the sale's queue; then Submitted
	Refused  Action = 5  // the cache proves that it is refused: Reason
	Decided  Action = 6  // the decision is there: Reply
	Pending  Action = 7  // durably queued, not decided in time
	Unqueued Action = 8  // not known to be queued: Err
	Answer   Action = 9  // the attempt is stored: Outcome
	Settled  Action = 10 // nothing more is queued: the ledger has the answer
)

// Purchase is one purchase at an edge, after its code was verified.
type Purchase struct {
	Closed bool              // the sale's stream takes nothing more; set before Known
	Reason allocation.Reason // why it is Refused
	Reply  wire.Reply        // when Decided
	Err    error             // why it is Unqueued

	stored bool
}

// Start returns the first action.
func (p *Purchase) Start() Action { return Ask }

// Known takes the cache's answer; Granted: nothing is known.
func (p *Purchase) Known(reason allocation.Reason) Action {
	if reason != allocation.Granted {
		p.Reason = reason
		return Refused
	}
	if p.Closed {
		return Settled
	}
	return Submit
}

// Submitted takes whether the queue took the request.
func (p *Purchase) Submitted(err error) Action {
	if err != nil {
		p.Err = err
		return Unqueued
	}
	return Wait
}

// Stored takes the fate of the request's pack.
func (p *Purchase) Stored(err error) Action {
	if err != nil {
		p.Err = err
		return Unqueued
	}
	p.stored = true
	return Wait
}

// Replied takes the decision.
func (p *Purchase) Replied(r wire.Reply) Action {
	p.Reply = r
	return Decided
}

// TimedOut says that the wait is over.
func (p *Purchase) TimedOut(err error) Action {
	if planted.Bug == planted.TimeoutIsRefusal {
		return p.Known(allocation.SoldOut)
	}
	if p.stored {
		return Pending
	}
	p.Err = err
	return Unqueued
}
