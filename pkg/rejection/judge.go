package rejection

import (
	"slices"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
)

// Known is what the cache holds about one question. Any part may be missing.
type Known struct {
	SoldOut bool
	Owner   code.ID   // code that owns the item; zero: not known
	Grants  []code.ID // all grants of the user, who is at the limit; nil: not known to be
}

// Judge answers a question with the reason why the ledger refuses it for good,
// or with Granted where what is known does not prove that. A purchase is
// refused only if its code is proved not to be granted: by the item's owner
// being another code, or by the user's grants all being others. A checkout
// needs no such proof: nothing was granted to a code that is not yet made.
func Judge(q *Question, k *Known) allocation.Reason {
	taken := !k.Owner.IsZero() && k.Owner != q.Code
	if q.Code.IsZero() {
		switch {
		case k.SoldOut:
			return allocation.SoldOut
		case taken:
			return allocation.ItemTaken
		}
		return allocation.Granted
	}
	switch {
	case k.SoldOut && taken:
		return allocation.SoldOut
	case len(k.Grants) > 0 && !slices.Contains(k.Grants, q.Code):
		return allocation.LimitReached
	case taken:
		return allocation.ItemTaken
	}
	return allocation.Granted
}

// Names reports whether a fact names the code as a grant.
func (k *Known) Names(id code.ID) bool {
	return !id.IsZero() && (k.Owner == id || slices.Contains(k.Grants, id))
}
