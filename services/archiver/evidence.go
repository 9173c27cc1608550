package archiver

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"

	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
	"notsale/services/auditor"
	"notsale/services/auditor/archive"
)

// Stores are connections to the ledger and the streams of an installation.
type Stores struct {
	Ledger  *ledger.Ledger
	Streams *stream.Client
}

// ErrArchived says that a sale's streams are in its archive only.
var ErrArchived = errors.New("the streams were archived")

// Evidence is what an audit of a sale compares: its rows and its messages, in the
// stores or in an archive.
type Evidence struct {
	Sale sale.ID

	rows     auditor.Ledger
	lookup   auditor.Lookup
	messages auditor.Streams
	file     *archive.Archive // nil: all is in the stores
	closed   bool             // the sale's streams are closed
}

// Evidence is that of a sale in the stores. ErrArchived: its streams are removed.
func (s Stores) Evidence(ctx context.Context, id sale.ID) (*Evidence, error) {
	row, err := s.Ledger.Sale(ctx, id)
	if errors.Is(err, ledger.ErrNotFound) {
		return nil, fmt.Errorf("there is no sale %d", id)
	}
	if err == nil && row.State == sale.Archived {
		err = s.unremoved(ctx, id)
	}
	if err != nil {
		return nil, err
	}
	return s.evidence(&row), nil
}

func (s Stores) evidence(row *ledger.SaleRow) *Evidence {
	return &Evidence{Sale: row.Sale.ID, rows: s.Ledger, lookup: s.Ledger, messages: s.Streams, closed: row.State.Closed()}
}

// unremoved fails with ErrArchived once the streams of an archived sale are
// removed.
func (s Stores) unremoved(ctx context.Context, id sale.ID) error {
	if _, err := s.Streams.Info(ctx, id); !errors.Is(err, stream.ErrLost) {
		return err
	}
	kept, err := s.Ledger.ArchiveOf(ctx, id)
	if err != nil {
		return err
	}
	return fmt.Errorf("%w: sale %d, at %s; audit its archive, whose manifest has SHA-256 %x, with --archive FILE --ledger", ErrArchived, id, sale.InstantOf(kept.At), kept.Manifest)
}

// Open opens an archive as evidence of its sale; id is that sale's, or 0.
func Open(path string, id sale.ID) (*Evidence, error) {
	file, err := archive.Open(path)
	if err != nil {
		return nil, err
	}
	m, err := file.Manifest()
	if err == nil && id != 0 && id != m.Number {
		err = fmt.Errorf("%s is the archive of sale %d, not of sale %d", path, m.Number, id)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &Evidence{Sale: m.Number, rows: file, lookup: auditor.NewLookup(file, m.Number), messages: file, file: file}, nil
}

// Close closes the archive, if there is one.
func (e *Evidence) Close() {
	if e.file != nil {
		_ = e.file.Close() // read only
	}
}

// UseLedger replaces the rows in an archive by those of the ledger. ErrFindings:
// the ledger names another archive of this sale.
func (e *Evidence) UseLedger(ctx context.Context, s Stores) error {
	m, err := e.file.Manifest()
	if err != nil {
		return err
	}
	kept, err := s.Ledger.ArchiveOf(ctx, e.Sale)
	if err != nil && !errors.Is(err, ledger.ErrNotFound) { // a sale that has its streams still
		return err
	}
	if sum := m.Sum(); err == nil && kept.Manifest != sum {
		return fmt.Errorf("%w: the ledger's archive of sale %d has a manifest with SHA-256 %x, this one %v", ErrFindings, e.Sale, kept.Manifest, sum)
	}
	e.rows, e.lookup = s.Ledger, s.Ledger
	return nil
}

// Damage reads every byte of an archive and reports the first that is not as it was
// written; nil: there is none.
func Damage(ctx context.Context, path string) (*auditor.Report, error) {
	file, err := archive.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // read only
	err = file.Verify(ctx, nil)
	damage, ok := errors.AsType[*archive.DamageError](err)
	if !ok {
		return nil, err
	}
	report := &auditor.Report{Total: 1}
	if m, err := file.Manifest(); err == nil {
		report.Sale, report.UUID = m.Number, m.Opening.UUID
	}
	report.Findings = []auditor.Finding{{
		Kind: auditor.Damaged, Sale: report.Sale, Table: "archive", Row: damage.Member, Offset: damage.Offset, Ledger: damage.Got, Stream: damage.Want,
	}}
	return report, nil
}

// Export writes an archive of the sale's own streams, and of the rows that were
// made of them, as archive.Create does.
func (e *Evidence) Export(ctx context.Context, path string, progress auditor.Progress) (archive.Manifest, error) {
	rows := e.rows
	if e.closed {
		own, err := ownRows(ctx, rows, e.messages, e.Sale)
		if err != nil {
			return archive.Manifest{}, err
		}
		rows = own
	}
	return archive.Create(ctx, path, rows, e.messages, e.Sale, progress)
}

// closedRows are the rows of a closed sale, without attempts whose messages its
// stream has lost.
type closedRows struct {
	auditor.Ledger

	own map[sale.UUID]bool // the attempts in the sale's own stream
}

func ownRows(ctx context.Context, rows auditor.Ledger, messages auditor.Streams, id sale.ID) (auditor.Ledger, error) {
	own := map[sale.UUID]bool{}
	for m, err := range messages.AttemptMessages(ctx, id, 1, math.MaxUint64) {
		if err != nil {
			return nil, err
		}
		_, list, _ := wire.DecodeAttempts(m.Data) // what cannot be read was not recorded
		for i := range list {
			own[list[i].ID] = true
		}
	}
	return closedRows{rows, own}, nil
}

// Snapshot is the same whether the sale is being archived, or will be, or was:
// so is its archive.
func (w closedRows) Snapshot(ctx context.Context, id sale.ID) (ledger.Snapshot, error) {
	s, err := w.Ledger.Snapshot(ctx, id)
	if s.Sale.State.Closed() {
		s.Sale.State = sale.SoldOut
	}
	return s, err
}

// Attempts yields the rows whose attempts are in the sale's own stream.
func (w closedRows) Attempts(ctx context.Context, id sale.ID) iter.Seq2[ledger.RecordedAttempt, error] {
	return func(yield func(ledger.RecordedAttempt, error) bool) {
		for row, err := range w.Ledger.Attempts(ctx, id) {
			if (err != nil || w.own[row.ID]) && !yield(row, err) {
				return
			}
		}
	}
}
