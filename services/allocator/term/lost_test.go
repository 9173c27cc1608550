package term_test

import (
	"errors"
	"fmt"
	"testing"

	"notsale/pkg/ledger"
	"notsale/pkg/stream"
	"notsale/services/allocator/term"
)

// missing takes a term to where it has found no stream once, and says how it
// ends when the ledger, read again, has this to say.
func missing(t *testing.T, then ledger.Position) (alarms []string, end term.Stop) {
	t.Helper()
	position := ledger.Position{Epoch: 1, Mine: true}
	one := term.New(ledger.Lease{Sale: 1, Epoch: 1}, 1, nil)
	looks := 0
	for next := term.Effect(term.ReadLedger{}); ; {
		switch e := next.(type) {
		case term.ReadLedger:
			next = one.Step(term.LedgerRead{Pos: position})
		case term.ReadStream:
			if looks++; looks > 2 {
				t.Fatal("it looks on and on")
			}
			position = then
			next = one.Step(term.StreamRead{Err: fmt.Errorf("%w: stream SALE_1 does not exist", stream.ErrLost)})
		case term.Pause:
			next = one.Step(term.Resumed{})
		case term.Alarm:
			alarms = append(alarms, e.Kind)
			next = one.Step(term.Resumed{})
		case term.Stop:
			return alarms, e
		default:
			t.Fatalf("%T", e)
		}
	}
}

// A stream that is not there is lost, unless its sale was archived while the
// term was about to look.
func TestMissingStream(t *testing.T) {
	if alarms, end := missing(t, ledger.Position{Epoch: 1, Mine: true}); len(alarms) != 1 || alarms[0] != "lost-stream" || !errors.Is(end.Why, term.ErrGiveUp) {
		t.Errorf("of a sale that is led: alarms %v, %v", alarms, end.Why)
	}
	if alarms, end := missing(t, ledger.Position{Epoch: 1}); len(alarms) != 0 || !errors.Is(end.Why, ledger.ErrFenced) {
		t.Errorf("of a sale that was archived: alarms %v, %v", alarms, end.Why)
	}
}
