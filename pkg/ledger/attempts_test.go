package ledger_test

import (
	"testing"

	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/wire"
)

func attempt(n byte, outcome wire.Outcome) ledger.RecordedAttempt {
	a := ledger.RecordedAttempt{Edge: "edge-1", Attempt: wire.Attempt{
		ID: sale.UUID{n}, At: genesisAt, Sale: 1, User: "ann", Item: "1000", Outcome: outcome,
	}}
	if outcome == wire.Issued {
		a.Code, a.Expires = codeOf(1, int(n)), genesisAt+1
	}
	return a
}

func TestAttemptsAreStoredOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l, _ := w.open(t, "recorder")
	changed := attempt(1, wire.Issued)
	changed.User = "eve"
	for _, c := range []struct {
		name     string
		attempts []ledger.RecordedAttempt
		stored   int64
	}{
		{"none", nil, 0},
		{"two", []ledger.RecordedAttempt{attempt(1, wire.Issued), attempt(2, wire.SoldOut)}, 2},
		{"the same two", []ledger.RecordedAttempt{attempt(1, wire.Issued), attempt(2, wire.SoldOut)}, 0},
		{"an old one and a new one", []ledger.RecordedAttempt{attempt(2, wire.SoldOut), attempt(3, wire.UnknownItem)}, 1},
		{"a new one three times", []ledger.RecordedAttempt{attempt(4, wire.Issued), attempt(4, wire.Issued), attempt(4, wire.Issued)}, 1},
		{"an old one with other content", []ledger.RecordedAttempt{changed}, 0},
	} {
		if stored, err := l.InsertAttempts(t.Context(), c.attempts); err != nil || stored != c.stored {
			t.Errorf("%s: %d stored, %v, want %d", c.name, stored, err, c.stored)
		}
	}
	for query, want := range map[string]string{
		`SELECT string_agg(outcome, ' ' ORDER BY attempt_id) FROM checkout_attempts`:                          "issued sold-out unknown-item issued",
		`SELECT string_agg(DISTINCT user_param || item_param || edge || sale_id, ' ') FROM checkout_attempts`: "ann1000edge-11",
		`SELECT count(*)::text FROM checkout_attempts WHERE (outcome = 'issued') = (code_id IS NULL)`:         "0",
		`SELECT count(*)::text FROM checkout_attempts WHERE (outcome = 'issued') = (expires_at IS NULL)`:      "0",
	} {
		if got := w.one(t, query); got != want {
			t.Errorf("%s\ngives %s, want %s", query, got, want)
		}
	}
}

// Whatever a shopper sends, its printable form can be stored.
func TestHostileParametersAreStored(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l, _ := w.open(t, "recorder")
	hostile := "'; DROP TABLE sales; --\x00\xff\n{\"}"
	a := attempt(1, wire.InvalidParameter)
	a.Sale, a.User, a.Item = 0, wire.Printable(hostile), wire.Printable("")
	if stored, err := l.InsertAttempts(t.Context(), []ledger.RecordedAttempt{a}); err != nil || stored != 1 {
		t.Fatalf("%d stored, %v", stored, err)
	}
	if got := w.one(t, `SELECT user_param FROM checkout_attempts`); got != a.User {
		t.Errorf("stored %q, want %q", got, a.User)
	}
}
