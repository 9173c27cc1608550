package allocation

import (
	"errors"
	"strconv"
)

// Reason says why a request was refused; Granted is the outcome that has none.
// The numbers are stored and are never reused.
type Reason uint8

// The reasons.
const (
	Granted      Reason = 0
	Malformed    Reason = 1
	CodeExpired  Reason = 2
	SoldOut      Reason = 3
	LimitReached Reason = 4
	ItemTaken    Reason = 5
)

// Scope is which requests a reason is about.
type Scope uint8

// The scopes.
const (
	ScopeCode Scope = 1 // this code only
	ScopeItem Scope = 2 // every request for the item
	ScopeUser Scope = 3 // every request of the user in this sale
	ScopeSale Scope = 4 // every request of this sale
)

var reasons = [...]struct {
	name  string
	scope Scope
	final bool
}{
	Granted:      {"granted", ScopeCode, true},
	Malformed:    {"malformed", ScopeCode, true},
	CodeExpired:  {"code-expired", ScopeCode, true},
	SoldOut:      {"sold-out", ScopeSale, true},
	LimitReached: {"limit-reached", ScopeUser, true},
	ItemTaken:    {"item-taken", ScopeItem, true},
}

// Valid reports whether this version of the program knows the reason.
func (r Reason) Valid() bool { return int(r) < len(reasons) }

// String returns the reason's stable name.
func (r Reason) String() string {
	if !r.Valid() {
		return "reason-" + strconv.Itoa(int(r))
	}
	return reasons[r].name
}

// Scope returns which requests the reason is about. One that this version does not
// know is about its code only.
func (r Reason) Scope() Scope {
	if !r.Valid() {
		return ScopeCode
	}
	return reasons[r].scope
}

// OfOthers lists the reasons that follow from grants to other codes, in the order in
// which the rules check them.
func OfOthers() (list []Reason) {
	for r := Granted; r.Valid(); r++ {
		if r.Scope() != ScopeCode {
			list = append(list, r)
		}
	}
	return list
}

// Final reports whether the reason holds for all later requests of its scope, except
// those whose code was decided before.
func (r Reason) Final() bool { return r.Valid() && reasons[r].final }

// ParseReason reads what String writes.
func ParseReason(s string) (Reason, error) {
	for r := range reasons {
		if reasons[r].name == s {
			return Reason(r), nil
		}
	}
	return 0, errors.New("allocation: unknown reason")
}
