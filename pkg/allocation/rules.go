package allocation

import (
	"errors"
	"fmt"

	"notsale/pkg/sale"
)

// rulebook is one version of the rules: all that may differ between versions.
type rulebook struct {
	// clock returns the engine time at which a pack is decided, from the one
	// before it and the stream's timestamp.
	clock func(before, stamp sale.Instant) sale.Instant
	// judge returns the outcome of a readable request whose code was not
	// decided before. It must keep to the invariants in the package's comment.
	judge func(e *Engine, r *Request) Reason
}

// rulebooks holds every version that a sale was ever opened under. A version is
// added and never edited: doc.go says how.
var rulebooks = map[int]rulebook{
	1: {clock: engineTime, judge: judge1},
	2: {clock: ownTime, judge: judge1},
}

// ErrRules is wrapped by the error of a sale under rules that this program does
// not have: a newer program decides and replays it.
var ErrRules = errors.New("allocation: unknown version of the rules")

// KnownRules reports whether this program can decide and replay a sale under
// this version of the rules.
func KnownRules(version int) bool {
	_, known := rulebooks[version]
	return known
}

// rulesOf returns the rules of a sale, or ErrRules.
func rulesOf(s *sale.Sale) (rulebook, error) {
	rules, known := rulebooks[s.Rules]
	if !known {
		return rulebook{}, fmt.Errorf("%w: sale %d has version %d", ErrRules, s.ID, s.Rules)
	}
	return rules, nil
}

// judge1 is the order of checks of versions 1 and 2.
func judge1(e *Engine, r *Request) Reason {
	switch {
	case !e.sale.Contains(r.Item):
		return Malformed
	case e.cursor.Now > r.Expires:
		return CodeExpired
	case e.soldOut():
		return SoldOut
	case e.atLimit(r.User):
		return LimitReached
	case e.taken(r.Item):
		return ItemTaken
	}
	return Granted
}
