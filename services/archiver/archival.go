package archiver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"time"

	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
	"notsale/services/auditor"
	"notsale/services/auditor/archive"
)

// settleTime bounds waiting until what is in the closed streams is decided and
// recorded.
const settleTime = time.Minute

// ErrFindings says that a sale is not archived because ledger and stream do not
// agree; nothing was removed.
var ErrFindings = errors.New("ledger and stream do not agree")

// ErrFile says that a sale is not archived because the file of its archive is
// missing, or another's, or damaged; nothing was removed.
var ErrFile = errors.New("the archive is not as it must be")

// Task is one sale to be archived.
type Task struct {
	Stores // with an identity that may remove streams

	Sale sale.ID
	Path string // of the archive

	Share    float64               // of the time in which audits work; 0: all
	Progress auditor.Progress      // may be nil
	Findings func(*auditor.Report) // called before ErrFindings is returned; may be nil
	// Wait is called before each step that works hard, and may wait; nil: nobody
	// needs the machine.
	Wait func(context.Context) error
}

// Archival is a task under way. Its steps may each be repeated; Archive takes them
// in order.
type Archival struct {
	Task

	Ends ledger.Archive // what the archive must be, or is

	row    ledger.SaleRow // as it was at the beginning
	closed bool           // the sale's row says already that the archive is all there is
	gone   bool           // there is no stream
}

// Archive moves the streams of a sold-out sale into an archive, and returns what
// is in it. Every step can be repeated: after a failure do it again.
// ErrFindings: the audit has findings, and the streams are kept.
func Archive(ctx context.Context, t Task) (ledger.Archive, error) {
	a := &Archival{Task: t}
	if a.Wait == nil {
		a.Wait = func(context.Context) error { return nil }
	}
	row, err := a.Ledger.Sale(ctx, a.Sale)
	if errors.Is(err, ledger.ErrNotFound) {
		return a.Ends, fmt.Errorf("there is no sale %d", a.Sale)
	}
	if err == nil {
		a.row = row
		err = a.run(ctx)
	}
	if err != nil {
		err = fmt.Errorf("sale %d: %w", a.Sale, err)
	}
	return a.Ends, err
}

func (a *Archival) run(ctx context.Context) error {
	if err := a.ours(ctx); err != nil {
		return err
	}
	var steps []func(context.Context) error
	switch a.closed = a.row.State == sale.Archived; {
	case a.closed:
		steps = append(steps, a.recall, a.Wait, a.export, a.Wait, a.verify)
	case a.gone && (a.row.State == sale.Archiving || a.row.State == sale.SoldOut): // a ledger that was restored to before it was finished
		steps = append(steps, a.infer, a.Wait, a.verify, a.Start, a.record, a.Finish)
	default:
		steps = append(steps, a.writable)
		if a.row.State != sale.Archiving { // else an earlier try came at least so far
			steps = append(steps, a.Wait, a.audit, a.Start)
		}
		steps = append(steps, a.List, a.Seal, a.Settle, a.Wait, a.export, a.Wait, a.verify, a.Finish)
	}
	for _, step := range append(steps, a.List, a.Remove) {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// ours refuses to touch the streams of another installation, and sees whether
// the sale has its own.
func (a *Archival) ours(ctx context.Context) error {
	id, err := a.Ledger.Installation(ctx)
	if err != nil {
		return err
	}
	directory, err := a.Streams.Directory(ctx)
	if err != nil {
		return err
	}
	if err := directory.Check(ctx, id); err != nil {
		return err
	}
	o, err := a.Streams.Opening(ctx, a.Sale)
	if a.gone = errors.Is(err, stream.ErrLost); err != nil && !a.gone {
		return err
	}
	if !a.gone && o.Sale.UUID != a.row.Sale.UUID {
		return fmt.Errorf("%w: the stream is that of sale %v, the ledger's sale is %v", stream.ErrForeign, o.Sale.UUID, a.row.Sale.UUID)
	}
	return nil
}

// writable sees whether the archive can be written, before anything is closed.
func (a *Archival) writable(context.Context) error {
	f, err := archive.Temporary(a.Path)
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// audit keeps a sale with findings from being archived.
func (a *Archival) audit(ctx context.Context) error {
	err := a.audited(ctx, a.evidence(&a.row))
	if errors.Is(err, ErrFindings) {
		return fmt.Errorf("the streams are kept: %w", err)
	}
	return err
}

func (a *Archival) audited(ctx context.Context, e *Evidence) error {
	report, err := auditor.Audit(ctx, e.rows, e.messages, a.Sale, auditor.Options{Progress: a.Progress, Share: a.Share})
	if err != nil {
		return err
	}
	if report.Clean() {
		return nil
	}
	if a.Findings != nil {
		a.Findings(report)
	}
	return ErrFindings
}

// Start says that the streams take nothing more.
func (a *Archival) Start(ctx context.Context) error { return a.Ledger.StartArchiving(ctx, a.Sale) }

// List tells the directory what the sale's row says.
func (a *Archival) List(ctx context.Context) error {
	row, err := a.Ledger.Sale(ctx, a.Sale)
	if err != nil {
		return err
	}
	directory, err := a.Streams.Directory(ctx)
	if err != nil {
		return err
	}
	return directory.Put(ctx, wire.Entry{Sale: row.Sale, State: row.State})
}

// Seal closes the streams.
func (a *Archival) Seal(ctx context.Context) error { return a.Streams.Seal(ctx, a.Sale) }

// Settle waits until all that is in the closed streams is in the ledger, and
// says what the archive must be.
func (a *Archival) Settle(ctx context.Context) error {
	const pause = 20 * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	for {
		info, errInfo := a.Streams.Info(ctx, a.Sale)
		pos, errPos := a.Ledger.Cursor(ctx, a.Sale)
		recorded, errRecorded := a.Ledger.Recorded(ctx, a.Sale)
		last, errLast := a.Streams.LastAttempt(ctx, a.Sale)
		if err := errors.Join(errInfo, errPos, errRecorded, errLast); err != nil {
			return err
		}
		if pos.Cursor.Sequence == info.Last && recorded.Own == last {
			a.Ends = ledger.Archive{Sequence: info.Last, Attempts: last, Chain: pos.Cursor.Chain}
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("after %v message %d of %d is decided and %d of %d attempts' messages are recorded: do an allocator and a recorder run? Then run this again: %w",
				settleTime, pos.Cursor.Sequence, info.Last, recorded.Own, last, ctx.Err())
		case <-time.After(pause):
		}
	}
}

// export makes the archive, unless an earlier try did.
func (a *Archival) export(ctx context.Context) error {
	if _, err := os.Stat(a.Path); !errors.Is(err, fs.ErrNotExist) {
		return err // what is there is verified as if it had just been made
	}
	if a.gone {
		return fmt.Errorf("%w: its streams are removed and there is no file %s: give the archive whose manifest has SHA-256 %x by --out", ErrFile, a.Path, a.Ends.Manifest)
	}
	e := a.evidence(&a.row)
	e.closed = true // by Seal, whatever the row said at the beginning
	_, err := e.Export(ctx, a.Path, a.Progress)
	return err
}

// recall reads what the archive must be.
func (a *Archival) recall(ctx context.Context) (err error) {
	a.Ends, err = a.Ledger.ArchiveOf(ctx, a.Sale)
	return err
}

// infer reads what the archive must be where only the file and the ledger's
// cursor are left.
func (a *Archival) infer(ctx context.Context) error {
	file, err := archive.Open(a.Path)
	if err != nil {
		return fmt.Errorf("its streams are gone: give its archive by --out: %w", err)
	}
	defer func() { _ = file.Close() }() // read only
	pos, err := a.Ledger.Cursor(ctx, a.Sale)
	if err != nil {
		return err
	}
	attempts, err := file.LastAttempt(ctx, a.Sale)
	a.Ends = ledger.Archive{Sequence: pos.Cursor.Sequence, Attempts: attempts, Chain: pos.Cursor.Chain}
	return err
}

// verify reads the archive as it is on the disk: every byte, that it ends where
// the streams ended, and its streams against the ledger.
func (a *Archival) verify(ctx context.Context) error {
	e, err := Open(a.Path, 0)
	if err == nil {
		defer e.Close()
		err = e.file.Verify(ctx, nil)
	}
	if errors.Is(err, archive.ErrDamaged) {
		return fmt.Errorf("%w: %s is damaged, move it away and run this again: %w", ErrFile, a.Path, err)
	}
	if err != nil {
		return err
	}
	m, errManifest := e.file.Manifest()
	recorded, errRecorded := e.file.Recorded(ctx, a.Sale)
	attempts, errLast := e.file.LastAttempt(ctx, a.Sale)
	if err := errors.Join(errManifest, errRecorded, errLast); err != nil {
		return fmt.Errorf("%s: %w", a.Path, err)
	}
	if recorded.Own != attempts {
		return fmt.Errorf("%w: %s was exported when %d of %d messages of attempts were recorded: move it away and run this again", ErrFile, a.Path, recorded.Own, attempts)
	}
	here := ledger.Archive{Manifest: m.Sum(), Sequence: m.Cursor.Sequence, Attempts: attempts, Chain: [32]byte(m.Cursor.Chain), At: a.Ends.At}
	if !a.closed {
		a.Ends.Manifest = here.Manifest
	}
	if here != a.Ends {
		return fmt.Errorf("%w: %s is not that of this sale as it is now (it has messages up to %d and attempts up to %d, the sale %d and %d): move it away and run this again",
			ErrFile, a.Path, here.Sequence, here.Attempts, a.Ends.Sequence, a.Ends.Attempts)
	}
	if err := syncFile(a.Path); err != nil {
		return err
	}
	if a.closed {
		return nil
	}
	if err := a.audited(ctx, e); err != nil {
		return fmt.Errorf("%s: %w", a.Path, err)
	}
	if err := e.UseLedger(ctx, a.Stores); err != nil {
		return err
	}
	return a.audited(ctx, e)
}

// recordedAtOnce is how many checkouts are stored in one statement, as by a
// recorder.
const recordedAtOnce = 1000

// record stores the checkouts that the ledger has forgotten: their stream is in
// the archive alone, where no recorder reads it.
func (a *Archival) record(ctx context.Context) error {
	file, err := archive.Open(a.Path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // read only
	of := wire.AttemptStream{Sale: a.Sale}
	at, err := a.Ledger.AttemptCursor(ctx, of)
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return err
	}
	to, waiting := at, []ledger.RecordedAttempt(nil)
	store := func() error {
		_, err := a.Ledger.RecordAttempts(ctx, of, at, to, waiting)
		at, waiting = to, waiting[:0]
		return err
	}
	for m, err := range file.AttemptMessages(ctx, a.Sale, at.Sequence+1, math.MaxUint64) {
		if err != nil {
			return err
		}
		edge, list, _ := wire.DecodeAttempts(m.Data) // what cannot be read is passed over, as by a recorder
		for i := range list {
			waiting = append(waiting, ledger.RecordedAttempt{Attempt: list[i], Edge: edge})
		}
		to = ledger.AttemptCursor{Sequence: m.Sequence, Time: m.Time, Hash: m.Hash(), Created: at.Created}
		if len(waiting) >= recordedAtOnce {
			if err := store(); err != nil {
				return err
			}
		}
	}
	if to == at {
		return nil
	}
	return store()
}

// syncFile makes sure that a file outlives a power cut, whoever wrote it.
func syncFile(path string) error {
	for _, name := range []string{path, filepath.Dir(path)} {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// Finish says that the archive is all there is.
func (a *Archival) Finish(ctx context.Context) error {
	return a.Ledger.FinishArchiving(ctx, a.Sale, a.Ends)
}

// Remove removes the streams.
func (a *Archival) Remove(ctx context.Context) error { return a.Streams.Remove(ctx, a.Sale) }
