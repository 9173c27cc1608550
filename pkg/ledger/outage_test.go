package ledger_test

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"notsale/pkg/allocation"
	"notsale/pkg/backends/backendstest"
	"notsale/pkg/code"
	"notsale/pkg/effort"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
)

// calls are all that can be asked of a ledger.
func calls(l *ledger.Ledger, b *allocation.Batch) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"Ping":         l.Ping,
		"Installation": func(ctx context.Context) error { _, err := l.Installation(ctx); return err },
		"OpenSlot":     func(ctx context.Context) error { _, err := l.OpenSlot(ctx, template()); return err },
		"NextSlot":     func(ctx context.Context) error { _, err := l.NextSlot(ctx, time.Hour); return err },
		"MarkOpen": func(ctx context.Context) error {
			return l.MarkOpen(ctx, 1, allocation.Genesis(allocation.Hash{}, genesisAt), genesisAt.Time())
		},
		"Sales":         func(ctx context.Context) error { _, err := l.Sales(ctx, 0, 1); return err },
		"Sale":          func(ctx context.Context) error { _, err := l.Sale(ctx, 1); return err },
		"SoldItems":     func(ctx context.Context) error { _, err := l.SoldItems(ctx, 1, 2); return err },
		"Cursor":        func(ctx context.Context) error { _, err := l.Cursor(ctx, 1); return err },
		"Settled":       func(ctx context.Context) error { _, err := l.Settled(ctx, 1, 1); return err },
		"OpenPositions": func(ctx context.Context) error { _, err := l.OpenPositions(ctx, time.Hour); return err },
		"Applied": func(ctx context.Context) error {
			_, err := l.Applied(ctx, 1, 2, allocation.Mark{})
			return err
		},
		"OpenGeneration": func(ctx context.Context) error {
			return l.OpenGeneration(ctx, 1, 1, &allocation.Hole{Generation: 2, Matching: 1, Lost: b.Before})
		},
		"Commit": func(ctx context.Context) error { return l.Commit(ctx, 1, 1, b) },
		"Decisions": func(ctx context.Context) (err error) {
			for _, err = range l.Decisions(ctx, 1, 0, math.MaxInt64) {
			}
			return err
		},
		"DecisionOf": func(ctx context.Context) error { _, _, err := l.DecisionOf(ctx, codeOf(1, 1)); return err },
		"Verdicts": func(ctx context.Context) error {
			_, err := l.Verdicts(ctx, []ledger.Question{{Item: 1}}, true)
			return err
		},
		"Committed": func(ctx context.Context) error { _, err := l.Committed(ctx, 1, 1, 2, allocation.Hash{}); return err },
		"SalesOf":   func(ctx context.Context) error { _, err := l.SalesOf(ctx, nil, []sale.ItemID{1}); return err },
		"Explain":   func(ctx context.Context) error { _, err := l.Explain(ctx, &sale.Sale{}, &code.Verified{}); return err },
		"AttemptOf": func(ctx context.Context) error { _, err := l.AttemptOf(ctx, 1, codeOf(1, 1)); return err },
		"Outcomes":  func(ctx context.Context) error { _, err := l.Outcomes(ctx, 1, "ann"); return err },
		"RecordAttempts": func(ctx context.Context) error {
			_, err := l.RecordAttempts(ctx, ofOne, ledger.AttemptCursor{}, ledger.AttemptCursor{Sequence: 1}, []ledger.RecordedAttempt{attempt(1, "issued")})
			return err
		},
		"ReopenAttempts": func(ctx context.Context) error {
			return l.ReopenAttempts(ctx, ofOne, ledger.AttemptCursor{}, 1)
		},
		"AttemptCursor": func(ctx context.Context) error { _, err := l.AttemptCursor(ctx, ofOne); return err },
		"Recorded":      func(ctx context.Context) error { _, err := l.Recorded(ctx, 1); return err },
		"UnsoldParts":   func(ctx context.Context) error { _, err := l.UnsoldParts(ctx); return err },
		"RemoveUnsold": func(ctx context.Context) error {
			_, err := l.RemoveUnsold(ctx, 1, 1, time.Time{}, time.Time{}, time.Hour)
			return err
		},
		"ForgetMark": func(ctx context.Context) error { return l.ForgetMark(ctx, 1) },
		"Take":       func(ctx context.Context) error { _, err := l.Take(ctx, long, nil, 1); return err },
		"Renew":      func(ctx context.Context) error { _, err := l.Renew(ctx, time.Second); return err },
		"Release":    func(ctx context.Context) error { return l.Release(ctx, ledger.Lease{Sale: 1, Epoch: 1}) },
		"Retire":     l.Retire,
	}
}

// fail: every call ends with an error that nobody may take for an answer, soon
// after its context at the latest.
func fail(t *testing.T, what string, l *ledger.Ledger, b *allocation.Batch) {
	t.Helper()
	const limit = 100 * time.Millisecond
	slowest := time.Duration(0)
	for name, call := range calls(l, b) {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		started := time.Now()
		err := call(ctx)
		cancel()
		if err == nil || errors.Is(err, ledger.ErrNotFound) || errors.Is(err, ledger.ErrFenced) {
			t.Errorf("%s, %s: %v", what, name, err)
		}
		slowest = max(slowest, time.Since(started))
	}
	effort.Figure(t, what+": the slowest call of the ledger", slowest, 2*limit)
}

func TestOutages(t *testing.T) {
	t.Parallel()
	w := newWorld(t, backendstest.WithOwnPostgres)
	l, _ := w.open(t, "service")
	engine := w.openSale(t, l, 1, 10, 2)
	w.lead(t, l, 1)
	b := packed(engine, ask(engine.Sale(), 1, 0, "ann"))

	if err := w.Postgres.Pause(); err != nil {
		t.Fatal(err)
	}
	fail(t, "paused", l, b)
	if err := w.Postgres.Resume(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "healed after a pause", func() error { return l.Ping(t.Context()) })

	if err := w.Postgres.Kill(); err != nil {
		t.Fatal(err)
	}
	fail(t, "killed", l, b)
	if err := w.Postgres.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "healed after a restart", func() error { return l.Ping(t.Context()) })
	checkOutcome(t, l, b)
}

// checkOutcome: a commit of unknown outcome has happened or can be repeated;
// the cursor tells which.
func checkOutcome(t *testing.T, l *ledger.Ledger, b *allocation.Batch) {
	t.Helper()
	pos, err := l.Cursor(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	switch pos.Cursor {
	case b.After:
	case b.Before:
		if err := l.Commit(t.Context(), 1, pos.Epoch, b); err != nil {
			t.Errorf("repeated: %v", err)
		}
	default:
		t.Errorf("the cursor stands at %+v", pos.Cursor)
	}
	if items, err := l.SoldItems(t.Context(), 1, sale.MaxItemID); err != nil || len(items) != 1 {
		t.Errorf("sold %v, %v, want one item", items, err)
	}
}

// A session of the pool that the server ended is replaced.
func TestEndedSessionsAreReplaced(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l, name := w.open(t, "service")
	if err := l.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := w.one(t, `SELECT count(pg_terminate_backend(pid))::text FROM pg_stat_activity WHERE application_name = $1`, name); n == "0" {
		t.Fatal("the sessions do not carry the service's name")
	}
	eventually(t, "a new session", func() error { return l.Ping(t.Context()) })
}
