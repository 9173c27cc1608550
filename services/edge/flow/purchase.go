package flow

import (
	"errors"

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
	Look     Action = 5  // ask the ledger; then Looked
	Refused  Action = 6  // it is proved to be refused for good: Reason
	Decided  Action = 7  // the decision is there: Reply
	Pending  Action = 8  // durably queued, not decided in time
	Unqueued Action = 9  // not known to be queued: Err
	Answer   Action = 10 // the attempt is stored: Outcome
)

// ErrNoAnswer says that the sale's stream takes nothing more, or that the code
// was decided, and that the ledger has no answer, or was not read.
var ErrNoAnswer = errors.New("edge: the ledger has no answer yet")

// Verdict is what the ledger says of a request; the zero value: nothing.
type Verdict struct {
	Unread   bool              // it did not answer in time: the others are zero
	Recorded bool              // the code's decision is Reply
	Reply    wire.Reply        // when Recorded
	Reason   allocation.Reason // else why it can never be granted; Granted: it may be
}

// Purchase is one purchase at an edge, after its code was verified.
type Purchase struct {
	Closed bool              // the sale's stream takes nothing more; set before Known
	Seen   bool              // the code was seen to be decided: it is queued only if the ledger says otherwise
	Reason allocation.Reason // why it is Refused
	Reply  wire.Reply        // when Decided
	Err    error             // why it is Unqueued

	stored bool
}

// Start returns the first action.
func (p *Purchase) Start() Action { return Ask }

// Known takes the cache's answer; Granted: nothing is known. hint: the code may
// be decided already, so that its row is read before anything is queued.
func (p *Purchase) Known(reason allocation.Reason, hint bool) Action {
	if reason != allocation.Granted {
		p.Reason = reason
		return Refused
	}
	if hint || p.Closed {
		return Look
	}
	return Submit
}

// Looked takes what the ledger says, before the request is queued, or after
// waiting for it in vain. As long as it can be queued, only a sold-out sale
// refuses it: the engine says best what else does.
func (p *Purchase) Looked(v Verdict) Action {
	fresh := p.Err == nil && !p.stored && !p.Closed && (!p.Seen || !v.Unread)
	switch {
	case v.Recorded:
		p.Reply = v.Reply
		return Decided
	case v.Reason == allocation.SoldOut, v.Reason != allocation.Granted && !fresh:
		p.Reason = v.Reason
		return Refused
	case fresh:
		return Submit
	case p.stored:
		return Pending
	case p.Err == nil:
		p.Err = ErrNoAnswer
	}
	return Unqueued
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
		return Look
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
		return p.Known(allocation.SoldOut, false)
	}
	if !p.stored {
		p.Err = err
	}
	return Look
}
