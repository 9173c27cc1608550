package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/services/archiver"
	"notsale/services/auditor"
	"notsale/services/auditor/archive"
)

// evidenceOf says where the evidence about a sale is to be had.
type evidenceOf struct {
	sale    sale.ID // 0: the archive's
	archive string  // file; empty: ledger and streams
	ledger  bool    // with an archive: its streams against the ledger, not against the rows in it
}

// evidence is both sides of an audit.
type evidence struct {
	sale  sale.ID
	books auditor.Ledger
	tape  auditor.Streams
	desk  auditor.Lookup
	close func()

	closed bool // the sale's streams are closed, or will be
}

func (of evidenceOf) open(ctx context.Context, s *settings) (*evidence, error) {
	if of.archive == "" {
		if of.sale < 1 {
			return nil, errors.New("give --sale N, with a number above 0, or --archive FILE")
		}
		books, tape, closeBoth, err := openEvidence(ctx, s)
		if err != nil {
			return nil, err
		}
		e, err := liveEvidence(ctx, of.sale, books, tape, closeBoth)
		if err != nil {
			closeBoth()
		}
		return e, err
	}
	a, err := archive.Open(of.archive)
	if err != nil {
		return nil, err
	}
	m, err := a.Manifest()
	if err != nil {
		return nil, errors.Join(err, a.Close())
	}
	id := m.Number
	if of.sale != 0 && of.sale != id {
		return nil, errors.Join(fmt.Errorf("%s is the archive of sale %d, not of sale %d", of.archive, id, of.sale), a.Close())
	}
	e := &evidence{sale: id, books: a, tape: a, desk: auditor.NewLookup(a, id), close: func() { _ = a.Close() }}
	if !of.ledger {
		return e, nil
	}
	books, _, closeBoth, err := openEvidence(ctx, s)
	if err != nil {
		return nil, errors.Join(err, a.Close())
	}
	if err := theArchive(ctx, books, &m); err != nil {
		closeBoth()
		return nil, errors.Join(err, a.Close())
	}
	e.books, e.tape, e.desk = books, a, books
	e.close = func() { closeBoth(); _ = a.Close() }
	return e, nil
}

// undamaged looks at every byte of the archive, if there is one. errFindings:
// some are not as they were written, and the report of them is printed.
func (of evidenceOf) undamaged(ctx context.Context, out io.Writer, asJSON bool) error {
	if of.archive == "" {
		return nil
	}
	file, err := archive.Open(of.archive)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // read only
	err = file.Verify(ctx, nil)
	damage, ok := errors.AsType[*archive.DamageError](err)
	if !ok {
		return err
	}
	report := &auditor.Report{Total: 1}
	if m, err := file.Manifest(); err == nil {
		report.Sale, report.UUID = m.Number, m.Opening.UUID
	}
	report.Findings = []auditor.Finding{{
		Kind: auditor.Damaged, Sale: report.Sale, Table: "archive", Row: damage.Member, Offset: damage.Offset, Ledger: damage.Got, Stream: damage.Want,
	}}
	return printed(out, report, asJSON)
}

// audit audits the sale of the evidence, with a progress bar.
func (e *evidence) audit(ctx context.Context, o auditor.Options) (*auditor.Report, error) {
	o.Progress = progressBar(e.sale)
	report, err := auditor.Audit(ctx, e.books, e.tape, e.sale, o)
	if err != nil {
		return nil, fmt.Errorf("sale %d: %w", e.sale, err)
	}
	return report, nil
}

// liveEvidence is the ledger and the streams of a sale that has its streams.
func liveEvidence(ctx context.Context, id sale.ID, books *ledger.Ledger, tape *stream.Client, closeBoth func()) (*evidence, error) {
	row, err := stillThere(ctx, books, tape, id)
	if err != nil {
		return nil, err
	}
	return &evidence{sale: id, books: books, tape: tape, desk: books, close: closeBoth, closed: row.State.Closed()}, nil
}

// theArchive reports, for an archived sale, whether the archive is the one that
// the ledger names.
func theArchive(ctx context.Context, books *ledger.Ledger, m *archive.Manifest) error {
	kept, err := books.ArchiveOf(ctx, m.Number)
	if errors.Is(err, ledger.ErrNotFound) {
		return nil // it still has its streams
	}
	if sum := m.Sum(); err == nil && kept.Manifest != sum {
		return fmt.Errorf("%w: the ledger's archive of sale %d has a manifest with SHA-256 %x, this one %v", errFindings, m.Number, kept.Manifest, sum)
	}
	return err
}

// own is the evidence that belongs into the sale's archive.
func (e *evidence) own(ctx context.Context) (auditor.Ledger, auditor.Streams, error) {
	if !e.closed {
		return e.books, e.tape, nil
	}
	books, err := archiver.NewOwnLedger(ctx, e.books, e.tape, e.sale)
	return books, e.tape, err
}

// stillThere returns the sale's row, or says what to do about a sale whose
// streams were archived.
func stillThere(ctx context.Context, books *ledger.Ledger, tape *stream.Client, id sale.ID) (ledger.SaleRow, error) {
	row, err := books.Sale(ctx, id)
	if errors.Is(err, ledger.ErrNotFound) {
		return row, fmt.Errorf("there is no sale %d", id)
	}
	if err != nil || row.State != sale.Archived {
		return row, err
	}
	if _, err := tape.Info(ctx, id); !errors.Is(err, stream.ErrLost) {
		return row, err // not removed yet
	}
	kept, err := books.ArchiveOf(ctx, id)
	if err != nil {
		return row, err
	}
	return row, fmt.Errorf("%w: sale %d, at %s; audit its archive, whose manifest has SHA-256 %x, with --archive FILE --ledger", errArchived, id, sale.InstantOf(kept.At), kept.Manifest)
}

// errArchived says that a sale's streams are in an archive alone.
var errArchived = errors.New("the streams were archived")
