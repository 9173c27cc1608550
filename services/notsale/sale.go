package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
	"notsale/services/auditor"
	"notsale/services/auditor/archive"
)

func newSale() *cobra.Command {
	cmd := &cobra.Command{Use: "sale", Short: "What is done to one sale", Args: cobra.NoArgs}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return asAudit(err) })
	cmd.AddCommand(newArchive())
	return cmd
}

func newArchive() *cobra.Command {
	s := newSettings()
	var path string
	cmd := &cobra.Command{
		Use:   "archive N",
		Short: "Move the streams of a sold-out sale into an archive",
		Long: "Move the streams of sold-out sale N into an archive: audit the sale, close its streams, export and verify the\n" +
			"archive, remove the streams. The sale's codes are answered from the ledger from then on. Every step can be\n" +
			"repeated: after a failure run it again. Needs write access to DATABASE_URL and, as operator, to NATS_URL.\n" +
			"Exit status: 0 archived, 1 the audit has findings and the streams are kept, 2 it could not be carried out.",
		Args: auditArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			number, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil || number < 1 {
				return fmt.Errorf("%w: %q is no number of a sale", errAudit, args[0])
			}
			if path == "" {
				path = archiveName(sale.ID(number))
			}
			return asAudit(archiveSale(cmd.Context(), s, sale.ID(number), path, cmd.OutOrStdout()))
		},
	}
	s.evidenceFlags(cmd.Flags())
	cmd.Flags().StringVar(&path, "out", "", "the archive (default sale-N.notsale.tar)")
	return cmd
}

// settleTime bounds waiting until what is in the closed streams is decided and
// recorded.
const settleTime = time.Minute

// archival is one sale on its way into an archive.
type archival struct {
	id     sale.ID
	row    ledger.SaleRow // as it was at the beginning
	path   string
	books  *ledger.Ledger
	tape   *stream.Client
	out    io.Writer
	ends   ledger.Archive
	closed bool // the sale's row says already that the archive is all there is
	gone   bool // there is no stream
}

func archiveSale(ctx context.Context, s *settings, id sale.ID, path string, out io.Writer) error {
	books, tape, closeBoth, err := openEvidence(ctx, s)
	if err != nil {
		return err
	}
	defer closeBoth()
	a := &archival{id: id, path: path, books: books, tape: tape, out: out}
	a.row, err = books.Sale(ctx, id)
	if errors.Is(err, ledger.ErrNotFound) {
		return fmt.Errorf("there is no sale %d", id)
	}
	if err != nil {
		return err
	}
	if err := a.ours(ctx); err != nil {
		return fmt.Errorf("sale %d: %w", id, err)
	}
	switch a.closed = a.row.State == sale.Archived; {
	case a.closed:
		return a.steps(ctx, a.recall, a.export, a.verify, a.list, a.remove)
	case a.row.State == sale.Archiving && a.gone: // a ledger that was restored to before it was finished
		return a.steps(ctx, a.infer, a.verify, a.finish, a.list, a.remove)
	}
	return a.steps(ctx, a.audit, a.writable, a.start, a.list, a.seal, a.settle, a.export, a.verify, a.finish, a.list, a.remove)
}

// ours refuses to touch the streams of another installation, and sees whether
// the sale has its own.
func (a *archival) ours(ctx context.Context) error {
	if err := sameInstallation(a.books, a.tape)(ctx); err != nil {
		return err
	}
	o, err := a.tape.Opening(ctx, a.id)
	if a.gone = errors.Is(err, stream.ErrLost); err != nil && !a.gone {
		return err
	}
	if !a.gone && o.Sale.UUID != a.row.Sale.UUID {
		return fmt.Errorf("%w: the stream is that of sale %v, the ledger's sale is %v", stream.ErrForeign, o.Sale.UUID, a.row.Sale.UUID)
	}
	return nil
}

// writable sees whether the archive can be written, before anything is closed.
func (a *archival) writable(context.Context) error {
	f, err := os.CreateTemp(filepath.Dir(a.path), ".notsale-archive-*")
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

func (a *archival) steps(ctx context.Context, steps ...func(context.Context) error) error {
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return fmt.Errorf("sale %d: %w", a.id, err)
		}
	}
	return nil
}

// audit keeps a sale with findings from being archived.
func (a *archival) audit(ctx context.Context) error {
	err := a.audited(ctx, a.books, tapeOf(&a.row, a.tape, a.tape))
	if errors.Is(err, errFindings) {
		return fmt.Errorf("the streams are kept: %w", err)
	}
	return err
}

func (a *archival) audited(ctx context.Context, books auditor.Books, tape auditor.Tape) error {
	report, err := auditor.Audit(ctx, books, tape, a.id, auditor.Options{Progress: progressBar(a.id)})
	if err != nil {
		return err
	}
	if !report.Clean() {
		return printed(a.out, report, false)
	}
	return nil
}

func (a *archival) start(ctx context.Context) error { return a.books.StartArchiving(ctx, a.id) }

// list tells the directory what the sale's row says.
func (a *archival) list(ctx context.Context) error {
	row, err := a.books.Sale(ctx, a.id)
	if err != nil {
		return err
	}
	directory, err := a.tape.Directory(ctx)
	if err != nil {
		return err
	}
	return directory.Put(ctx, wire.Entry{Sale: row.Sale, State: row.State})
}

func (a *archival) seal(ctx context.Context) error { return a.tape.Seal(ctx, a.id) }

// settle waits until all that is in the closed streams is in the ledger.
func (a *archival) settle(ctx context.Context) error {
	const pause = 20 * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	for {
		info, errInfo := a.tape.Info(ctx, a.id)
		pos, errPos := a.books.Cursor(ctx, a.id)
		floor, last, errFloor := a.tape.AttemptFloor(ctx, a.id)
		if err := errors.Join(errInfo, errPos, errFloor); err != nil {
			return err
		}
		if pos.Cursor.Sequence == info.Last && floor == last {
			a.ends = ledger.Archive{Sequence: info.Last, Attempts: last, Chain: pos.Cursor.Chain}
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("after %v message %d of %d is decided and %d of %d attempts' messages are recorded: do an allocator and a recorder run? Then run this again: %w",
				settleTime, pos.Cursor.Sequence, info.Last, floor, last, ctx.Err())
		case <-time.After(pause):
		}
	}
}

// export makes the archive, unless an earlier try did.
func (a *archival) export(ctx context.Context) error {
	if _, err := os.Stat(a.path); !errors.Is(err, fs.ErrNotExist) {
		return err // what is there is verified as if it had just been made
	}
	if a.gone {
		return fmt.Errorf("it is archived, its streams are removed and there is no file %s: give its archive, whose manifest has SHA-256 %x, by --out", a.path, a.ends.Manifest)
	}
	own, err := newOwnBooks(ctx, a.books, a.tape, a.id)
	if err != nil {
		return err
	}
	_, err = archive.Create(ctx, a.path, own, a.tape, a.id, progressBar(a.id))
	return err
}

// recall reads what the archive must be.
func (a *archival) recall(ctx context.Context) (err error) {
	a.ends, err = a.books.ArchiveOf(ctx, a.id)
	return err
}

// infer reads what the archive must be where only the file and the ledger's
// cursor are left.
func (a *archival) infer(ctx context.Context) error {
	file, err := archive.Open(a.path)
	if err != nil {
		return fmt.Errorf("its streams are gone: give its archive by --out: %w", err)
	}
	defer func() { _ = file.Close() }() // read only
	pos, err := a.books.Cursor(ctx, a.id)
	if err != nil {
		return err
	}
	_, attempts, err := file.AttemptFloor(ctx, a.id)
	a.ends = ledger.Archive{Sequence: pos.Cursor.Sequence, Attempts: attempts, Chain: pos.Cursor.Chain}
	return err
}

// verify reads the archive as it is on the disk: every byte, that it ends where
// the streams ended, and its streams against the ledger.
func (a *archival) verify(ctx context.Context) error {
	file, err := archive.Open(a.path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // read only
	damages, err := file.Verify(ctx, nil)
	if err != nil {
		return err
	}
	if len(damages) > 0 {
		return fmt.Errorf("%s is damaged, move it away and run this again: %v", a.path, damages[0])
	}
	m, err := file.Manifest()
	if err != nil {
		return err
	}
	floor, attempts, err := file.AttemptFloor(ctx, a.id)
	if err != nil {
		return fmt.Errorf("%s: %w", a.path, err)
	}
	if floor != attempts {
		return fmt.Errorf("%s was exported when %d of %d messages of attempts were recorded: move it away and run this again", a.path, floor, attempts)
	}
	here := ledger.Archive{Manifest: m.Sum(), Sequence: m.Cursor.Sequence, Attempts: attempts, Chain: [32]byte(m.Cursor.Chain), At: a.ends.At}
	if !a.closed {
		a.ends.Manifest = here.Manifest
	}
	if here != a.ends {
		return fmt.Errorf("%s is not the archive of this sale as it is now (it has messages up to %d and attempts up to %d, the sale %d and %d): move it away and run this again",
			a.path, here.Sequence, here.Attempts, a.ends.Sequence, a.ends.Attempts)
	}
	if err := syncFile(a.path); err != nil {
		return err
	}
	if a.closed {
		return nil
	}
	if err := a.audited(ctx, file, file); err != nil {
		return fmt.Errorf("%s: %w", a.path, err)
	}
	return a.audited(ctx, a.books, &laterTape{Tape: file, live: a.tape})
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

func (a *archival) finish(ctx context.Context) error {
	return a.books.FinishArchiving(ctx, a.id, a.ends)
}

func (a *archival) remove(ctx context.Context) error {
	if err := a.tape.Remove(ctx, a.id); err != nil {
		return err
	}
	_, err := fmt.Fprintf(a.out, "sale %d is in %s, and nowhere else: keep it\n  %d messages, %d of attempts, chain %x\n  manifest %x\n",
		a.id, a.path, a.ends.Sequence, a.ends.Attempts, a.ends.Chain, a.ends.Manifest)
	return err
}
