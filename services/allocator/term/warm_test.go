package term_test

import (
	"testing"
	"time"

	"notsale/pkg/allocation"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/services/allocator/term"
)

// restored takes a term with a warm engine of this sale to where it restores
// another of that number, and returns from which engine.
func restored(t *testing.T, warm *allocation.Engine, row sale.Sale) *allocation.Engine {
	t.Helper()
	opened := stream.Message{Sequence: 1, Time: 1_800_000_000_000_000, Data: []byte("opened")}
	position := ledger.Position{
		Cursor: allocation.Genesis(opened.Hash(), opened.Time), Epoch: 1, Mine: true, StreamCreated: time.Unix(1_800_000_000, 0),
	}
	one := term.New(ledger.Lease{Sale: 1, Epoch: 1}, 1, warm)
	for next := term.Effect(term.ReadLedger{}); ; {
		switch e := next.(type) {
		case term.ReadLedger:
			next = one.Step(term.LedgerRead{Row: row, Pos: position})
		case term.ReadStream:
			next = one.Step(term.StreamRead{
				Opening: stream.Opening{Sale: row}, Info: stream.Info{Created: position.StreamCreated, Last: 2}, Message: opened,
			})
		case term.OpenReader:
			next = one.Step(term.ReaderOpened{})
		case term.Await:
			next = one.Step(term.Arrived{Messages: []stream.Message{opened, {Sequence: 2}}})
		case term.Restore:
			return e.Engine
		default:
			t.Fatalf("%T", e)
		}
	}
}

// A ledger that was restored to before a sale opened may have another of its
// number: an engine of the one that was is not used for it.
func TestAnEngineOfAnotherSaleIsLetGo(t *testing.T) {
	row := sale.Sale{ID: 1, UUID: sale.UUID{1}, Installation: sale.UUID{9}, OpensAt: time.Unix(1_800_000_000, 0), Stock: 1, UserLimit: 1, FirstItem: 1, Rules: sale.RulesVersion}
	warm, err := term.Blank(row, allocation.Cursor{})
	if err != nil {
		t.Fatal(err)
	}
	if restored(t, warm, row) != warm {
		t.Error("the sale's own engine is let go")
	}
	row.UUID[0]++
	if restored(t, warm, row) != nil {
		t.Error("an engine of another sale is used")
	}
}
