package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"

	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
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
	books auditor.Books
	tape  auditor.Tape
	desk  auditor.Desk
	close func()
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
	e := &evidence{sale: id, books: a, tape: a, desk: auditor.NewDesk(a, id), close: func() { _ = a.Close() }}
	if !of.ledger {
		return e, nil
	}
	books, live, closeBoth, err := openEvidence(ctx, s)
	if err != nil {
		return nil, errors.Join(err, a.Close())
	}
	if err := theArchive(ctx, books, &m); err != nil {
		closeBoth()
		return nil, errors.Join(err, a.Close())
	}
	e.books, e.tape, e.desk = books, &laterTape{Tape: a, live: live}, books
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
	damages, err := file.Verify(ctx, nil)
	if err != nil || len(damages) == 0 {
		return err
	}
	report := &auditor.Report{Findings: []auditor.Finding{}}
	if m, err := file.Manifest(); err == nil {
		report.Sale, report.UUID = m.Number, m.Opening.UUID
	}
	for _, d := range damages {
		report.Findings = append(report.Findings, auditor.Finding{
			Kind: auditor.Damaged, Sale: report.Sale, Table: "archive", Row: d.Member, Field: string(d.Part), Offset: d.Offset, Ledger: d.Got, Stream: d.Want,
		})
	}
	report.Total = len(damages)
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
	return &evidence{sale: id, books: books, tape: tapeOf(&row, tape, tape), desk: books, close: closeBoth}, nil
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

// own is the evidence without what came after the sale's own streams were closed:
// what belongs into its archive.
func (e *evidence) own(ctx context.Context) (auditor.Books, auditor.Tape, error) {
	later, ok := e.tape.(*laterTape)
	if !ok {
		return e.books, e.tape, nil
	}
	books, err := newOwnBooks(ctx, e.books, later.Tape, e.sale)
	return books, later.Tape, err
}

// tapeOf is the streams in which all of a sale's attempts are.
func tapeOf(row *ledger.SaleRow, own auditor.Tape, live *stream.Client) auditor.Tape {
	if row.State.Closed() {
		return &laterTape{Tape: own, live: live}
	}
	return own
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

// laterTape is the streams of a closed sale with what came since: attempts that
// were made after its own stream was closed are in the stream of no sale.
type laterTape struct {
	auditor.Tape // the sale's own streams, in NATS or in an archive

	live *stream.Client
}

// AttemptMessages yields the sale's own messages, then those of the stream of no
// sale, with sequences that go on.
func (t *laterTape) AttemptMessages(ctx context.Context, id sale.ID, first, last uint64) iter.Seq2[stream.Message, error] {
	return func(yield func(stream.Message, error) bool) {
		_, end, err := t.Tape.AttemptFloor(ctx, id)
		if err != nil {
			yield(stream.Message{}, err)
			return
		}
		for m, err := range t.Tape.AttemptMessages(ctx, id, first, min(last, end)) {
			if !yield(m, err) || err != nil {
				return
			}
		}
		if last <= end {
			return
		}
		from, upTo := max(first, end+1)-end, last
		if last != math.MaxUint64 {
			upTo = last - end
		}
		for m, err := range t.live.AttemptMessages(ctx, 0, from, upTo) {
			m.Sequence += end
			if !yield(m, err) || err != nil {
				return
			}
		}
	}
}

// AttemptFloor returns how far both are recorded.
func (t *laterTape) AttemptFloor(ctx context.Context, id sale.ID) (floor, last uint64, err error) {
	own, end, err := t.Tape.AttemptFloor(ctx, id)
	if err != nil {
		return 0, 0, err
	}
	if own < end {
		return own, end, nil
	}
	floor, last, err = t.live.AttemptFloor(ctx, 0)
	return end + floor, end + last, err
}

// ownBooks is the ledger of a closed sale, without the attempts that came since.
type ownBooks struct {
	auditor.Books

	own map[sale.UUID]bool
}

// newOwnBooks reads which attempts the sale's own stream has.
func newOwnBooks(ctx context.Context, books auditor.Books, tape auditor.Tape, id sale.ID) (*ownBooks, error) {
	b := &ownBooks{Books: books, own: map[sale.UUID]bool{}}
	for m, err := range tape.AttemptMessages(ctx, id, 1, math.MaxUint64) {
		if err != nil {
			return nil, err
		}
		_, list, _ := wire.DecodeAttempts(m.Data) // what cannot be read was not recorded
		for i := range list {
			b.own[list[i].ID] = true
		}
	}
	return b, nil
}

// Snapshot is the same whether the sale is being archived, or will be, or was:
// so is its archive.
func (b *ownBooks) Snapshot(ctx context.Context, id sale.ID) (ledger.Snapshot, error) {
	s, err := b.Books.Snapshot(ctx, id)
	if s.Sale.State.Closed() {
		s.Sale.State = sale.SoldOut
	}
	return s, err
}

// Attempts yields the rows whose attempts are in the sale's own stream.
func (b *ownBooks) Attempts(ctx context.Context, id sale.ID) iter.Seq2[ledger.RecordedAttempt, error] {
	return func(yield func(ledger.RecordedAttempt, error) bool) {
		for row, err := range b.Books.Attempts(ctx, id) {
			if (err != nil || b.own[row.ID]) && !yield(row, err) {
				return
			}
		}
	}
}
