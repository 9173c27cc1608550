package shop

import (
	"context"
	"errors"
	"time"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/host"
	"notsale/pkg/ledger"
	"notsale/pkg/rejection"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
)

// End is how a purchase ended.
type End uint8

// The ends.
const (
	Refused  End = 1 // it is proved to be refused for good: Reason
	Decided  End = 2 // the decision is there: Reply
	Pending  End = 3 // durably queued, not decided in time
	Unqueued End = 4 // not known to be queued: Err
)

// Outcome is how a purchase ended, and what its end tells.
type Outcome struct {
	End    End
	Reason allocation.Reason
	Reply  wire.Reply
	Err    error
}

// Why a request is not queued, or not known to be.
var (
	// ErrCode says that a code is malformed, forged, or of another shop.
	ErrCode = errors.New("edge: no code of this shop")
	// ErrCrowded says that as many purchases wait as may.
	ErrCrowded = errors.New("edge: too many purchases wait")
	// ErrNoAnswer says that the sale's stream takes nothing more, or that the code
	// was decided, and that the ledger has no answer, or was not read.
	ErrNoAnswer = errors.New("edge: the ledger has no answer yet")
)

// Verify verifies a code, which must be the user's where that is known, and finds its
// sale. Any error but ErrCode says that the ledger could not be asked for a sale that
// the directory does not have.
func (s *Shop) Verify(text string, user sale.UserID) (code.Verified, *sale.Sale, error) {
	v, err := s.keys.Load().Verify(text)
	if err != nil || user != "" && v.User != user {
		return code.Verified{}, nil, ErrCode
	}
	of, err := s.find(miss{uuid: v.Sale})
	if err != nil {
		return code.Verified{}, nil, err
	}
	if of == nil || !of.Contains(v.Item) {
		return code.Verified{}, nil, ErrCode
	}
	return v, of, nil
}

// Purchase sells the item of a code to its user, if it can still be had. Whoever
// posts a code that is under way waits for the same outcome, until ctx ends. The
// purchase goes on even if nobody waits for it any more.
func (s *Shop) Purchase(ctx context.Context, of *sale.Sale, v code.Verified) (Outcome, error) {
	return s.flights.do(ctx, v.ID, func() Outcome {
		out := s.purchase(of, v)
		switch out.End { //nolint:exhaustive // the others say nothing of the item
		case Decided:
			s.memory.learned(of.UUID, v.Item, out.Reply.Reason)
		case Refused:
			s.memory.learned(of.UUID, v.Item, out.Reason)
		}
		return out
	})
}

func (s *Shop) purchase(of *sale.Sale, v code.Verified) Outcome {
	known, seen := s.known(of, v)
	if known.Reason != allocation.Granted {
		return Outcome{End: Refused, Reason: known.Reason}
	}
	latest := s.host.Now().Add(lookPatience + s.cfg.PurchaseWait) // however long the ledger takes
	closed := s.sales.closed(of.ID)
	if closed || seen || s.mayBeDecided(of, v) {
		found := s.recorded(of, v, seen)
		submits := !closed && (!seen || !found.Unread)
		switch {
		case found.Recorded:
			return Outcome{End: Decided, Reply: found.Reply}
		case found.Reason == allocation.SoldOut, found.Reason != allocation.Granted && !submits: // else the engine says best what refuses it
			return Outcome{End: Refused, Reason: found.Reason}
		case !submits:
			return Outcome{End: Unqueued, Err: ErrNoAnswer}
		}
	}
	return s.submit(of, v, min(s.cfg.PurchaseWait, latest.Sub(s.host.Now())))
}

// known asks the cache about a request, and whether its code was seen to be decided,
// there or here.
func (s *Shop) known(of *sale.Sale, v code.Verified) (known rejection.Answer, seen bool) {
	known = s.ask(rejection.Question{Sale: of.UUID, Item: v.Item, User: v.User, Code: v.ID})
	return known, known.Ours || s.memory.decidedCode(v.ID)
}

// mayBeDecided reports whether to read the ledger before a request is queued whose
// code was not seen to be decided. A code that has expired by this clock was refused,
// or will be: so its request enters the stream once.
func (s *Shop) mayBeDecided(of *sale.Sale, v code.Verified) bool {
	return s.soldOut(of) || sale.InstantOf(s.host.Now()) > v.Expires
}

// recorded asks the ledger for this very code: once, or, where it was seen to be
// decided, until it answers, also after errors, for as long as a purchase waits for
// its decision.
func (s *Shop) recorded(of *sale.Sale, v code.Verified, seen bool) Verdict {
	if !seen {
		return s.look(of, v, s.rows, lookPatience)
	}
	for end := s.host.Now().Add(max(lookPatience, s.cfg.PurchaseWait)); ; s.host.Wait(context.Background(), lookPause) {
		found := s.look(of, v, s.decided, end.Sub(s.host.Now()))
		if !found.Unread || end.Sub(s.host.Now()) < lookPause {
			return found
		}
	}
}

// submit queues a request and waits for its decision. Where that does not come, the
// ledger says what is known of the code.
func (s *Shop) submit(of *sale.Sale, v code.Verified, patience time.Duration) Outcome {
	inbox := s.host.Inbox()
	number, err := s.waiters.add(v.ID, inbox)
	if err != nil {
		return Outcome{End: Unqueued, Err: err}
	}
	defer s.waiters.remove(number)
	request := allocation.Request{Number: number, Code: v.ID, Item: v.Item, User: v.User, Expires: v.Expires}
	ticket, err := s.publisher(of.ID).requests.Add(request, wire.RequestSize, inbox)
	if err != nil {
		return Outcome{End: Unqueued, Err: err}
	}
	if reply, decided := decision(inbox, patience); decided {
		return Outcome{End: Decided, Reply: reply}
	}
	err = ticket.Wait(context.Background(), 0)
	kind := s.rows
	if errors.Is(err, stream.ErrFull) {
		kind = s.limits
	}
	found := s.look(of, v, kind, lookPatience)
	if reply, decided := decision(inbox, 0); decided { // it came meanwhile
		return Outcome{End: Decided, Reply: reply}
	}
	switch {
	case found.Recorded:
		return Outcome{End: Decided, Reply: found.Reply}
	case found.Reason != allocation.Granted:
		return Outcome{End: Refused, Reason: found.Reason}
	case err == nil:
		return Outcome{End: Pending}
	}
	return Outcome{End: Unqueued, Err: err}
}

// decision waits for the decision of a request, for at most so long, and no longer
// once its pack has failed.
func decision(inbox host.Inbox, patience time.Duration) (wire.Reply, bool) {
	for {
		told, ok := inbox.Take(context.Background(), patience)
		if reply, decided := told.(wire.Reply); decided || !ok {
			return reply, decided
		}
		patience = 0
	}
}

// look asks the ledger for this very code, by the look-ups of a kind.
func (s *Shop) look(of *sale.Sale, v code.Verified, kind *lookups, patience time.Duration) Verdict {
	found := kind.ask(ledger.Question{Sale: of.UUID, Item: v.Item, User: v.User, Code: v.ID}, patience)
	if found.Recorded {
		s.memory.decided(v.ID)
	}
	return found
}

// Recorded returns what the ledger says of a code, and whether it was seen to be
// decided.
func (s *Shop) Recorded(of *sale.Sale, v code.Verified) (found Verdict, seen bool) {
	_, seen = s.known(of, v)
	return s.recorded(of, v, seen), seen
}
