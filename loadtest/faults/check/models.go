package check

import (
	"math/bits"

	"github.com/anishathalye/porcupine"

	"notsale/pkg/allocation"
)

// verb is what an operation does to, or asks of, an item or a user.
type verb uint8

const (
	grants verb = iota // the code is, or becomes, one of the owners
	full               // there are as many owners as there may be, this code not among them
	has                // the code is one of the owners
	lacks              // the code is not, or not yet, one of the owners
	is                 // the owners are exactly these
)

// act is an operation on an item or a user. Codes are numbered within the
// history; those that are never granted have no number.
type act struct {
	verb verb
	code int    // none: -1
	set  string // of is
}

const none = -1

// owners is the model of an item (room for one code) and of a user (room for
// limit codes): a set of codes that only grows. Its state is a bit set.
func owners(room int) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return "" },
		Step: func(state, input, _ any) (bool, any) {
			set, isSet := state.(string)
			a, isAct := input.(act)
			if !isSet || !isAct {
				return false, state
			}
			return a.step(set, room)
		},
	}
}

func (a act) step(set string, room int) (bool, any) {
	in := contains(set, a.code)
	switch a.verb {
	case grants:
		if in {
			return true, set
		}
		if a.code < 0 || size(set) >= room { // below 0: the records contradict each other about the code
			return false, set
		}
		return true, with(set, a.code)
	case full:
		return size(set) >= room && !in, set
	case has:
		return in, set
	case lacks:
		return !in, set
	case is:
		return set == a.set, set
	}
	return false, set
}

func contains(set string, code int) bool {
	return code >= 0 && code/8 < len(set) && set[code/8]>>(code%8)&1 == 1
}

// with returns the set with one code more, without zero bytes at its end.
func with(set string, code int) string {
	b := make([]byte, max(len(set), code/8+1))
	copy(b, set)
	b[code/8] |= 1 << (code % 8)
	return string(b)
}

func size(set string) int {
	n := 0
	for i := range len(set) {
		n += bits.OnesCount8(set[i])
	}
	return n
}

// fate is the state of a code.
type fate struct {
	decided  bool
	barred   bool // the cache refused it: it is never granted
	reason   allocation.Reason
	position int64  // of a refusal
	body     string // of a grant; empty: nobody has seen it yet
}

// event is an operation on a code.
type event struct {
	tells tells
	reads bool // a lookup decides nothing
	fate  fate // that it tells: of granted and refused
	any   bool // the ledger knows the reason, nobody saw the answer
}

// fates is the model of a code.
func fates() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return fate{} },
		Step: func(state, input, _ any) (bool, any) {
			f, isFate := state.(fate)
			e, isEvent := input.(event)
			if !isFate || !isEvent {
				return false, state
			}
			return e.step(f)
		},
	}
}

func (e event) step(f fate) (bool, any) {
	switch e.tells {
	case granted, refused:
		return e.decide(f)
	case rejected:
		ok := !f.decided || f.reason != allocation.Granted
		f.barred = true
		return ok, f
	case undecided:
		return !f.decided, f
	case nothing, pending, invalid:
	}
	return false, f
}

// decide: the first decision is final, and everybody sees the same.
func (e event) decide(f fate) (bool, any) {
	if !f.decided {
		next := e.fate
		next.decided, next.barred = true, f.barred
		return !e.reads && (!f.barred || next.reason != allocation.Granted), next
	}
	switch {
	case f.reason != e.fate.reason:
		return false, f
	case e.any:
		return true, f
	case f.body == "" && f.position == 0: // decided, but not seen
		next := e.fate
		next.decided, next.barred = true, f.barred
		return true, next
	}
	return f.body == e.fate.body && f.position == e.fate.position, f
}
