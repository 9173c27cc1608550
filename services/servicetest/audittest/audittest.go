// Package audittest ends tests of the services with an audit: whatever a test
// did, every stream and the ledger must agree in the end.
//
// It is a package of its own, because servicetest imports no service.
package audittest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
	"notsale/services/auditor"
)

const (
	settleTime = 60 * time.Second // until all is decided and recorded, on a busy machine
	auditTime  = 3 * time.Minute
	pollPause  = 10 * time.Millisecond
	maxSales   = 1000 // that are audited; tests have a few
	maxShown   = 5    // findings of one sale
)

// Stores are where ledger and streams are.
type Stores struct {
	DatabaseURL, NATSURL string
}

// Clean fails the test for everything that an audit of each sale, and of what
// belongs to none, finds. Nothing may be deciding or recording any more, or it
// may: what waits in the streams is no finding. Archived sales are passed over.
func Clean(t testing.TB, s Stores) {
	t.Helper()
	check(t, s, false)
}

// Settled is Clean once all that the streams have is decided and recorded,
// which it waits for.
func Settled(t testing.TB, s Stores) {
	t.Helper()
	check(t, s, true)
}

func check(t testing.TB, s Stores, settle bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), auditTime)
	defer cancel()
	e, err := open(ctx, s)
	if err != nil {
		t.Errorf("audit at the end: %v", err)
		return
	}
	defer e.close()
	if settle {
		err = e.await(ctx)
	}
	var findings []string
	if err == nil {
		findings, err = e.audit(ctx)
	}
	if err != nil {
		t.Errorf("audit at the end: %v", err)
	}
	for _, f := range findings {
		t.Errorf("audit at the end: %s", f)
	}
}

// Findings audits one sale, and what belongs to none, and returns what is found
// as text.
func Findings(ctx context.Context, s Stores, id sale.ID) (findings []string, err error) {
	e, err := open(ctx, s)
	if err != nil {
		return nil, err
	}
	defer e.close()
	e.only = id
	return e.audit(ctx)
}

// evidence is the open connections.
type evidence struct {
	ledger  *ledger.Ledger
	streams *stream.Client
	only    sale.ID // 0: all sales
}

func open(ctx context.Context, s Stores) (*evidence, error) {
	l, err := ledger.Open(ctx, ledger.Config{URL: s.DatabaseURL, Name: "audit-at-end", Conns: 2, Patience: auditTime})
	if err != nil {
		return nil, err
	}
	cfg := stream.DefaultConfig()
	cfg.URL, cfg.Name = s.NATSURL, "audit-at-end"
	streams, err := stream.Connect(ctx, cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		l.Close()
		return nil, err
	}
	return &evidence{ledger: l, streams: streams}, nil
}

func (e *evidence) close() {
	e.streams.Close()
	e.ledger.Close()
}

// sales are those that have streams.
func (e *evidence) sales(ctx context.Context) (ids []sale.ID, err error) {
	if e.only != 0 {
		return []sale.ID{e.only}, nil
	}
	rows, err := e.ledger.Sales(ctx, 0, maxSales)
	for i := range rows {
		if s := rows[i].State; s == sale.Open || s == sale.SoldOut {
			ids = append(ids, rows[i].Sale.ID)
		}
	}
	return ids, err
}

// await returns when everything is decided and recorded.
func (e *evidence) await(ctx context.Context) error {
	for deadline := time.Now().Add(settleTime); ; time.Sleep(pollPause) {
		waits, err := e.waits(ctx)
		if err == nil && waits == "" {
			return nil
		}
		if time.Now().After(deadline) {
			return errors.Join(fmt.Errorf("after %v: %s", settleTime, waits), err)
		}
	}
}

// waits says what waits in the streams; empty: nothing.
func (e *evidence) waits(ctx context.Context) (string, error) {
	ids, err := e.sales(ctx)
	if err != nil {
		return "", err
	}
	for _, id := range ids {
		if waits, err := e.unrecorded(ctx, wire.AttemptStream{Sale: id}); err != nil || waits != "" {
			return waits, err
		}
		info, err := e.streams.Info(ctx, id)
		if err != nil {
			return "", err
		}
		at, err := e.ledger.Cursor(ctx, id)
		if err != nil || at.Cursor.Sequence < info.Last {
			return fmt.Sprintf("sale %d is decided to %d of %d", id, at.Cursor.Sequence, info.Last), err
		}
	}
	parts, err := e.streams.UnsoldParts(ctx)
	for _, part := range parts {
		if waits, err := e.unrecorded(ctx, wire.AttemptStream{Part: part}); err != nil || waits != "" {
			return waits, err
		}
	}
	return "", err
}

// unrecorded says what of a stream of attempts is not recorded; empty: nothing.
func (e *evidence) unrecorded(ctx context.Context, of wire.AttemptStream) (string, error) {
	info, err := e.streams.AttemptInfo(ctx, of)
	if err != nil {
		return "", err
	}
	at, err := e.ledger.AttemptCursor(ctx, of)
	if errors.Is(err, ledger.ErrNotFound) {
		err = nil
	}
	if err != nil || at.Sequence == info.Last {
		return "", err
	}
	return fmt.Sprintf("%s is recorded to %d of %d", of, at.Sequence, info.Last), nil
}

func (e *evidence) audit(ctx context.Context) (findings []string, err error) {
	ids, err := e.sales(ctx)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		r, err := auditor.Audit(ctx, e.ledger, e.streams, id, auditor.Options{Share: 1})
		if err != nil {
			return findings, fmt.Errorf("sale %d: %w", id, err)
		}
		findings = append(findings, show(r)...)
	}
	r, err := auditor.AuditRest(ctx, e.ledger, e.streams)
	if errors.Is(err, stream.ErrLost) {
		return findings, nil // no scheduler has ever run
	}
	if err != nil {
		return findings, err
	}
	return append(findings, show(r)...), nil
}

func show(r *auditor.Report) (findings []string) {
	for i := range r.Findings {
		if i == maxShown {
			return append(findings, fmt.Sprintf("sale %d: %d findings in all", r.Sale, r.Total))
		}
		findings = append(findings, r.Findings[i].String())
	}
	return findings
}
