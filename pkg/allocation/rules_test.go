package allocation_test

import (
	"errors"
	"path/filepath"
	"testing"

	"notsale/pkg/allocation"
	"notsale/pkg/sale"
)

// unknownRules is a version that no program will ever have.
const unknownRules = 1 << 30

func TestUnknownRulesAreRefused(t *testing.T) {
	if allocation.KnownRules(0) || allocation.KnownRules(unknownRules) || !allocation.KnownRules(sale.RulesVersion) {
		t.Errorf("known: 0 %t, %d %t, that of new sales %t", allocation.KnownRules(0), unknownRules, allocation.KnownRules(unknownRules), allocation.KnownRules(sale.RulesVersion))
	}
	of := testSale(2, 1)
	of.Rules = unknownRules
	read := false
	_, err := allocation.Restore(of, allocation.Cursor{Generation: 1}, func(func(allocation.Decision, error) bool) { read = true }, 0)
	if !errors.Is(err, allocation.ErrRules) || read {
		t.Errorf("Restore: %v, decisions read: %t", err, read)
	}
	defer func() {
		if err, ok := recover().(error); !ok || !errors.Is(err, allocation.ErrRules) {
			t.Errorf("New gives %v, want a panic with ErrRules", err)
		}
	}()
	allocation.New(of, allocation.Hash{}, 0)
}

// A second version of the rules decides the same streams otherwise, and changes
// nothing about the first.
func TestRulesAreThoseOfTheSale(t *testing.T) {
	for script, differs := range map[string]func(first, second allocation.Decision) bool{
		"sell-out": func(first, second allocation.Decision) bool {
			return first.Reason == allocation.SoldOut && second.Reason == allocation.LimitReached
		},
		"time": func(first, second allocation.Decision) bool {
			return first.Reason == allocation.CodeExpired && second.Reason == allocation.Granted && second.At < first.At
		},
	} {
		r, text := readRecording(t, filepath.Join(recorded, recordingName(1, script)))
		second := r.replay(t, allocation.SecondRules)
		first := r.replay(t, 1)
		if first.text != text {
			t.Errorf("%s: beside a second version the first comes to something else, from line %s", script, firstDifference(first.text, text))
		}
		seen := false
		for i := range first.decisions {
			seen = seen || first.decisions[i].Code == second.decisions[i].Code && differs(first.decisions[i], second.decisions[i])
		}
		if !seen || first.cursor.Chain == second.cursor.Chain {
			t.Errorf("%s: the second version decides\n%+v, the first\n%+v", script, second.decisions, first.decisions)
		}
	}
}
