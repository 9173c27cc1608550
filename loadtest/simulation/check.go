package simulation

import (
	"fmt"
	"slices"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/sale"
	"notsale/pkg/wire"
	"notsale/services/edge/shop"
)

// codeHistory is what shoppers were told of one code.
type codeHistory struct {
	first    sale.Instant // when it was first sent
	granted  *operation
	refused  *operation
	decided  *operation   // an answer with a position
	known    sale.Instant // when the first answer with a position, or 202, arrived; 0: never
	position int64
}

func (s *simulation) violatef(format string, args ...any) {
	s.violations = append(s.violations, fmt.Sprintf("at %.6f s: ", float64(s.w.now-epoch)/1e6)+fmt.Sprintf(format, args...))
}

// check compares an answer with the ledger at the moment when it is given.
func (s *simulation) check(o *operation) {
	if !o.purchase {
		s.checkRefusedCheckout(o)
		return
	}
	id := s.codeOf(o)
	d, recorded := s.book.byCode[id]
	switch o.end { //nolint:exhaustive // the others say nothing of the ledger
	case shop.Decided:
		r := &o.reply
		if !recorded || d.Position != r.Position || d.Reason != r.Reason || d.At != r.At {
			s.violatef("I5: code %v was told %v at %d, the ledger says %+v", id, r.Reason, r.Position, d)
		}
	case shop.Refused:
		if recorded && d.Reason == allocation.Granted {
			s.violatef("I6: code %v is granted at %d and was refused from the cache as %v", id, d.Position, o.reason)
		}
		s.checkFact(o, id)
	}
}

// checkFact checks a refusal from the cache against the ledger.
func (s *simulation) checkFact(o *operation, id code.ID) {
	of := s.book.sale(o.sale)
	true_ := false
	switch o.reason { //nolint:exhaustive // the cache knows no other
	case allocation.SoldOut:
		true_ = of.pos.Cursor.Sold == of.row.Sale.Stock
	case allocation.ItemTaken:
		owner, taken := s.book.owners[o.item]
		true_ = taken && owner != id
	case allocation.LimitReached:
		true_ = of.grantsOf(o.user) >= of.row.Sale.UserLimit
	}
	if !true_ {
		s.violatef("I6: refused from the cache as %v before the ledger said so: item %v, user %v", o.reason, o.item, o.user)
	}
}

func (s *simulation) checkRefusedCheckout(o *operation) {
	if o.unqueued {
		return
	}
	of := s.book.sale(o.sale)
	_, taken := s.book.owners[o.item]
	if o.outcome == wire.SoldOut && of.pos.Cursor.Sold != of.row.Sale.Stock || o.outcome == wire.ItemTaken && !taken {
		s.violatef("I6: checkout of item %v refused as %v before the ledger said so", o.item, o.outcome)
	}
}

// remember keeps an answer that has reached its shopper.
func (s *simulation) remember(o *operation) {
	if !o.purchase {
		if !o.unqueued {
			s.answeredAttempts = append(s.answeredAttempts, o)
		}
		return
	}
	id := s.codeOf(o)
	h := s.codes[id]
	switch o.end { //nolint:exhaustive // the others are counted only
	case shop.Pending:
		s.w.hit(PendingAnswered)
	case shop.Unqueued:
		s.w.hit(UnqueuedAnswered)
	}
	if !o.final() {
		return
	}
	if o.end == shop.Decided {
		if h.decided != nil && h.decided.reply != o.reply && (h.decided.reply.Position != o.reply.Position || h.decided.reply.Reason != o.reply.Reason || h.decided.reply.At != o.reply.At) {
			s.violatef("I3: code %v was told %+v and %+v", id, h.decided.reply, o.reply)
		}
		if h.decided == nil {
			h.decided, h.known, h.position = o, s.w.now, o.reply.Position
		}
	}
	if o.verdict() == allocation.Granted {
		h.granted = o
	} else {
		h.refused = o
	}
	if h.granted != nil && h.refused != nil {
		s.violatef("I3: code %v was granted and refused", id)
	}
}

// checkEnd compares the end of a healed run with everything that was promised.
func (s *simulation) checkEnd() {
	s.violations = append(s.violations, s.book.broken...)
	if s.shopping > 0 {
		s.violatef("%d shoppers have not come to an end", s.shopping)
	}
	for _, of := range s.book.sales {
		s.checkSale(of)
	}
	s.checkCodes()
	s.checkAttempts()
	for _, of := range s.broker.sizes() {
		if of.Bytes > of.MaxBytes {
			s.violatef("%s was not made large enough: %d bytes of %d", of.Name, of.Bytes, of.MaxBytes)
		}
	}
	s.audit()
}

func (s *simulation) checkSale(of *bookSale) {
	id, c := of.row.Sale.ID, &of.pos.Cursor
	perUser, sold := map[sale.UserID]int{}, 0
	for i := range of.decisions {
		d := &of.decisions[i]
		if d.Reason != allocation.Granted {
			continue
		}
		sold++
		if perUser[d.User]++; perUser[d.User] > of.row.Sale.UserLimit {
			s.violatef("I2: user %v has %d items of sale %d", d.User, perUser[d.User], id)
		}
	}
	if sold != c.Sold || sold > of.row.Sale.Stock || id == 1 && sold != of.row.Sale.Stock {
		s.violatef("I1: sale %d sold %d, cursor %d, of %d", id, sold, c.Sold, of.row.Sale.Stock)
	}
	messages := s.broker.sales[id].messages
	if c.Sequence != uint64(len(messages)) {
		s.violatef("sale %d is decided to %d, its stream ends at %d", id, c.Sequence, len(messages))
	}
	for i := 1; i < len(of.commits); i++ {
		if of.commits[i].epoch < of.commits[i-1].epoch {
			s.violatef("I9: epoch %d committed after epoch %d", of.commits[i].epoch, of.commits[i-1].epoch)
		}
	}
}

// checkCodes checks what is known at the end of every code, and that whoever
// was answered before another asked has the lower position.
func (s *simulation) checkCodes() {
	for _, id := range s.codeOrder {
		h, d := s.codes[id], s.book.byCode[id]
		if h.granted == nil && h.refused == nil {
			s.violatef("code %v never got a final answer", id)
		}
		if h.refused != nil && d.Reason == allocation.Granted && !d.Code.IsZero() {
			s.violatef("I6: code %v was refused, and is granted at %d", id, d.Position)
		}
	}
	byKnown := make([]*codeHistory, 0, len(s.codes))
	byFirst := make([]*codeHistory, 0, len(s.codes))
	for _, id := range s.codeOrder {
		if h := s.codes[id]; h.decided != nil {
			byKnown, byFirst = append(byKnown, h), append(byFirst, h)
		}
	}
	slices.SortStableFunc(byKnown, func(a, b *codeHistory) int { return int(a.known - b.known) })
	slices.SortStableFunc(byFirst, func(a, b *codeHistory) int { return int(a.first - b.first) })
	highest, i := map[sale.ID]int64{}, 0
	for _, h := range byFirst {
		for ; i < len(byKnown) && byKnown[i].known < h.first; i++ {
			of := byKnown[i].decided.sale
			highest[of] = max(highest[of], byKnown[i].position)
		}
		if p := highest[h.decided.sale]; h.position <= p {
			s.violatef("I7: position %d was asked for after %d was answered", h.position, p)
		}
	}
}

func (s *simulation) checkAttempts() {
	for _, o := range s.answeredAttempts {
		a, stored := s.book.attempts[o.attempt]
		if !stored || a.Outcome != o.outcome {
			s.violatef("I4: checkout of item %v by %v, answered %v, is not recorded", o.item, o.user, o.outcome)
		}
	}
	for id := sale.ID(0); int(id) <= len(s.broker.sales); id++ {
		of := s.broker.attempts[id]
		if of == nil {
			s.violatef("I4: sale %d has no stream of checkouts", id)
			continue
		}
		if at := s.book.recorded[wire.AttemptStream{Sale: id}]; at.Sequence != uint64(len(of.messages)) {
			s.violatef("I4: attempts of sale %d are recorded up to message %d of %d", id, at.Sequence, len(of.messages))
		}
	}
}
