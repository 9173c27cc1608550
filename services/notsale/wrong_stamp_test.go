//go:build unix

package main

import (
	"context"
	"fmt"
	"iter"
	"testing"
	"time"

	"notsale/pkg/allocation"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
	"notsale/services/auditor"
	"notsale/services/servicetest"
)

// stamped is the streams as they are, but that NATS's clock was a year ahead when
// it stamped one message.
type stamped struct {
	*stream.Client

	ahead uint64
}

const year = 365 * 24 * time.Hour

// Messages implements auditor.Streams.
func (s stamped) Messages(ctx context.Context, id sale.ID, first, last uint64) iter.Seq2[stream.Message, error] {
	return func(yield func(stream.Message, error) bool) {
		for m, err := range s.Client.Messages(ctx, id, first, last) {
			if m.Sequence == s.ahead {
				m.Time += sale.InstantOf(time.Unix(0, 0).Add(year))
			}
			if !yield(m, err) {
				return
			}
		}
	}
}

// A pack that NATS stamps a year ahead expires its own code. Under version 1 of
// the rules it expires all later ones, and a sale of that time stays so; under
// version 2 the next code buys, in ledger, answers and audit.
func TestAPackStampedAYearAheadSpoilsOnlyItself(t *testing.T) {
	t.Parallel()
	for rules, want := range map[int][4]int{1: {200, 410, 410, 410}, 2: {200, 410, 200, 429}} {
		t.Run(fmt.Sprintf("rules %d", rules), func(t *testing.T) {
			t.Parallel()
			f := newFront(t, nil)
			f.Spoilt = true // the streams themselves have the right times
			of := f.OpenUnder(rules, 4, 2)
			targets := make([]string, len(want))
			for i, user := range []string{"ann", "bob", "ann", "ann"} {
				k := f.Sign(of, sale.ItemID(i)+1, user, time.Hour)
				targets[i] = servicetest.PurchasePath(k.Text)
				f.Enqueue(t, of, k)
			}
			tape := stamped{f.Stream("decider"), 3}
			f.decide(t, of, tape)
			var times []time.Time
			for i, target := range targets {
				a := f.Get(t, target)
				var body struct {
					Time   time.Time
					Detail string
				}
				a.Decode(t, &body)
				if a.Status != want[i] {
					t.Errorf("code %d: %d %s, want %d", i+1, a.Status, a.Body, want[i])
				}
				times = append(times, body.Time)
			}
			if back := times[2].Before(times[1]); back != (rules == 2) {
				t.Errorf("rules %d: decided at %v", rules, times)
			}
			books := f.Ledger("auditor")
			report, err := auditor.Audit(t.Context(), books, tape, of.ID, auditor.Options{Share: 1})
			if err != nil || !report.Clean() {
				t.Errorf("audit: %+v, %v", report, err)
			}
			if report, err := auditor.Audit(t.Context(), books, tape.Client, of.ID, auditor.Options{Share: 1}); err != nil || report.Clean() {
				t.Errorf("an audit with other times finds nothing: %v", err)
			}
		})
	}
}

// decide decides what waits in a sale's stream as an allocator does, a pack a
// commit.
func (f *front) decide(t *testing.T, of sale.Sale, tape auditor.Streams) {
	t.Helper()
	opening, err := tape.Opening(t.Context(), of.ID)
	if err == nil {
		_, err = f.DB.Exec(t.Context(), `UPDATE cursors SET epoch = 1, holder = 'decider'`)
	}
	if err != nil {
		t.Fatal(err)
	}
	books, engine := f.Ledger("decider"), allocation.New(of, opening.Message.Hash(), opening.Message.Time)
	for m, err := range tape.Messages(t.Context(), of.ID, 2, 1<<62) {
		if err != nil {
			t.Fatal(err)
		}
		p, err := wire.ReadPack(m.Sequence, m.Time, m.Data)
		if err != nil {
			t.Fatal(err)
		}
		b := engine.Begin()
		engine.Apply(p, b)
		if err := books.Commit(t.Context(), of.ID, 1, b); err != nil {
			t.Fatal(err)
		}
	}
}
