package shop

import (
	"io"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/ledger"
	"notsale/pkg/rejection"
	"notsale/pkg/sale"
	"notsale/pkg/wire"
)

// Wish is what a checkout asks for.
type Wish struct {
	User             sale.UserID
	Item             sale.ItemID
	RawUser, RawItem string // as sent
	Missing          bool   // that Invalid says that something is
	Invalid          error  // why it is no valid checkout
}

// Checkout is what a checkout came to, once its attempt is stored.
type Checkout struct {
	Outcome wire.Outcome
	Sale    *sale.Sale   // of the item, where that is known
	Code    string       // when Issued, as is Expires
	Expires sale.Instant //
	Invalid error        // why, when InvalidParameter or MissingParameter
	Attempt sale.UUID    // names it in its stream
}

// Checkout gives a code for an item, if that can still be had as far as is known. A
// code reserves nothing. After an error the attempt may be stored all the same.
func (s *Shop) Checkout(w *Wish) (Checkout, error) {
	a := wire.Attempt{At: sale.InstantOf(s.host.Now()), User: wire.Printable(w.RawUser), Item: wire.Printable(w.RawItem)}
	if _, err := io.ReadFull(s.ports.Random, a.ID[:]); err != nil { // it is the same, however often it is published
		return Checkout{}, err
	}
	a.ID[6], a.ID[8] = a.ID[6]&0x0f|0x40, a.ID[8]&0x3f|0x80 // version 4, RFC 9562
	c := Checkout{Attempt: a.ID, Invalid: w.Invalid}
	var err error
	if w.Invalid != nil {
		c.Sale = s.sales.ofItem(w.Item)
	} else if c.Sale, err = s.find(miss{item: w.Item}); err != nil {
		return Checkout{}, err
	}
	if c.Sale != nil {
		a.Sale = c.Sale.ID
		if c.Invalid == nil {
			c.Invalid = c.Sale.Takes(w.User)
		}
	}
	switch {
	case c.Invalid != nil && w.Missing:
		a.Outcome = wire.MissingParameter
	case c.Invalid != nil:
		a.Outcome = wire.InvalidParameter
	case c.Sale == nil:
		a.Outcome = wire.UnknownItem
	default:
		a.Outcome = s.availability(c.Sale, w)
	}
	if a.Outcome == wire.Issued {
		if c.Code, err = s.sign(&a, c.Sale, w); err != nil {
			return Checkout{}, err
		}
	}
	c.Outcome, c.Expires = a.Outcome, a.Expires
	return c, s.store(&a)
}

// availability says whether the item can still be had, as far as is known. A user's
// limit refuses no checkout. The ledger is asked where this shop has seen that the
// item or the sale is sold, and where the cache knows nothing of the sale, because it
// was emptied or does not answer.
func (s *Shop) availability(of *sale.Sale, w *Wish) wire.Outcome {
	known := s.ask(rejection.Question{Sale: of.UUID, Item: w.Item, User: w.User})
	if s.sales.closed(of.ID) {
		return wire.SoldOut
	}
	reason := known.Reason
	if refusal(reason) == wire.Issued && (known.Blank || s.soldOut(of) || s.memory.soldItem(w.Item)) {
		reason = s.rows.ask(ledger.Question{Sale: of.UUID, Item: w.Item, User: w.User}, lookPatience).Reason
	}
	return refusal(reason)
}

func refusal(reason allocation.Reason) wire.Outcome {
	switch reason { //nolint:exhaustive // the others refuse no checkout
	case allocation.SoldOut:
		return wire.SoldOut
	case allocation.ItemTaken:
		return wire.ItemTaken
	}
	return wire.Issued
}

// sign makes the code of an attempt.
func (s *Shop) sign(a *wire.Attempt, of *sale.Sale, w *Wish) (string, error) {
	var nonce code.Nonce
	if _, err := io.ReadFull(s.ports.Random, nonce[:]); err != nil {
		return "", err
	}
	a.Expires = a.At + sale.Instant(s.cfg.CodeTTL.Microseconds())
	text, signed := s.keys.Load().Sign(code.Claims{Sale: of.UUID, Item: w.Item, User: w.User, Expires: a.Expires}, nonce)
	a.Code = signed.ID
	return text, nil
}

// store stores an attempt in the stream that keeps its sale's, or in that of no
// sale where its own takes nothing more. Only then may it be answered.
func (s *Shop) store(a *wire.Attempt) error {
	id := a.Sale
	if s.sales.closed(id) {
		id = 0
	}
	return s.publisher(id).attempts.Do(*a, wire.AttemptSize, s.cfg.CheckoutWait)
}
