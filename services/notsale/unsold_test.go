//go:build unix

package main

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"notsale/pkg/sale"
	"notsale/pkg/wire"
	"notsale/services/auditor"
	"notsale/services/recorder"
	"notsale/services/servicetest"
)

// Rows of bad checkouts whose stream was removed are no findings, and are counted;
// rows that somebody made up since are.
func TestAuditOfRemovedCheckouts(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil)
	tape, books := f.Stream("looker"), f.Ledger("looker")
	r, err := recorder.New(recorder.DefaultConfig(), f.Ledger("recorder"), f.Stream("recorder"), f.Log, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	f.Run(r.Run)
	f.Post(t, servicetest.CheckoutPath("ann", 99)) // no sale has the item
	f.Post(t, servicetest.CheckoutPath("bob", 99))
	rows := func() int64 { return f.Count(`SELECT count(*) FROM checkout_attempts`) }
	servicetest.Eventually(t, "they are recorded", func() bool { return rows() == 2 })
	audit := func() *auditor.Report {
		t.Helper()
		report, err := auditor.AuditRest(t.Context(), books, tape)
		if err != nil {
			t.Fatal(err)
		}
		return report
	}
	if r := audit(); !r.Clean() || r.Attempts != 2 || r.UnprovedAttempts != 0 {
		t.Errorf("%+v", r)
	}

	if err := tape.CreateUnsold(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	if err := tape.CloseUnsold(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	state, err := tape.UnsoldPart(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if may, err := books.RemoveUnsold(t.Context(), 1, state.Last, state.Created, state.Now, 0); err != nil || !may {
		t.Fatal(may, err)
	}
	if err := tape.RemoveUnsold(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	f.Post(t, servicetest.CheckoutPath("cid", 99))
	servicetest.Eventually(t, "it is recorded", func() bool { return rows() == 3 })
	if r := audit(); !r.Clean() || r.Attempts != 1 || r.UnprovedAttempts != 2 {
		t.Errorf("%+v", r)
	}

	const forged = `INSERT INTO checkout_attempts (attempt_id, sale_id, attempted_at, user_param, item_param, outcome, edge)
		VALUES ('00000000-0000-4000-8000-000000000001', 0, clock_timestamp() + interval '1 hour', 'eve', '99', 'unknown-item', 'edge')`
	if _, err := f.DB.Exec(t.Context(), forged); err != nil {
		t.Fatal(err)
	}
	f.Spoilt = true
	if r := audit(); r.Total != 1 || r.Findings[0].Kind != auditor.Unfounded || !strings.HasSuffix(r.Findings[0].Row, "0001") {
		t.Errorf("%+v", r)
	}
	if last := (wire.AttemptStream{Part: 2}); tape.PublishAttempts(t.Context(), 0, []byte("x")) != nil {
		t.Errorf("%s takes no attempts", last)
	}
}

// A stream of attempts that has lost its tail leaves rows without a message: they
// are counted, and are no findings.
func TestAuditOfAttemptsWhoseStreamLostItsTail(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil)
	of := f.OpenSale(2, 1)
	tape, books := f.Stream("looker"), f.Ledger("looker")
	r, err := recorder.New(recorder.DefaultConfig(), f.Ledger("recorder"), f.Stream("recorder"), f.Log, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	stop := f.Run(r.Run)
	directory, err := tape.Directory(t.Context())
	if err == nil {
		err = directory.Put(t.Context(), wire.Entry{Sale: of, State: sale.Open})
	}
	if err != nil {
		t.Fatal(err)
	}
	f.Checkout(t, "ann", int64(of.FirstItem))
	servicetest.Eventually(t, "it is recorded", func() bool { return f.Count(`SELECT count(*) FROM checkout_attempts`) == 1 })
	stop()
	at, err := books.AttemptCursor(t.Context(), wire.AttemptStream{Sale: of.ID})
	if err != nil {
		t.Fatal(err)
	}
	if err := books.ReopenAttempts(t.Context(), wire.AttemptStream{Sale: of.ID}, at, at.Created); err != nil {
		t.Fatal(err)
	}
	const lost = `INSERT INTO checkout_attempts (attempt_id, sale_id, attempted_at, user_param, item_param, outcome, edge)
		SELECT '00000000-0000-4000-8000-000000000001', sale_id, attempted_at, 'bob', item_param, 'item-taken', edge FROM checkout_attempts`
	if _, err := f.DB.Exec(t.Context(), lost); err != nil { // as if its message had been in the tail
		t.Fatal(err)
	}
	report, err := auditor.Audit(t.Context(), books, tape, of.ID, auditor.Options{Share: 1})
	if err != nil || !report.Clean() || report.Attempts != 1 || report.UnprovedAttempts != 1 || report.Unrecorded != 0 {
		t.Errorf("%+v, %v", report, err)
	}
}
