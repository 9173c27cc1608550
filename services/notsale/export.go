package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"notsale/services/archiver"
	"notsale/services/auditor/archive"
)

// exporting is what `audit export` was asked.
type exporting struct {
	inspection

	to string // file; empty: named after the sale
}

func newExport() *cobra.Command {
	e := exporting{inspection: newInspection()}
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write all evidence of a sale into one archive that can be audited offline",
		Long: "Write a sale's streams and its rows in the ledger into one compressed archive, which `notsale audit --archive`\n" +
			"audits without any server. The same content always gives the same bytes. An existing file is never overwritten.\n" +
			"The archive is not audited here. It holds the user ids; only its owner can read the file.\n" +
			"Exit status: 0 the archive is written, 2 it is not.",
	}
	auditCommand(cmd, &e.inspection, e.run)
	e.flags(cmd.Flags(), "write the archive anew from this one, not from ledger and streams")
	cmd.Flags().StringVar(&e.to, "out", "", "file to write (default sale-N.notsale.tar)")
	return cmd
}

func (e *exporting) run(ctx context.Context) error {
	if e.archive != "" && e.sale != 0 {
		return errors.New("give --sale or --archive, not both")
	}
	err := e.undamaged(ctx)
	if errors.Is(err, errFindings) {
		return fmt.Errorf("%s: %w", e.archive, archive.ErrDamaged)
	}
	if err != nil {
		return err
	}
	return e.on(ctx, func(from *archiver.Evidence) error {
		to := cmp.Or(e.to, archiver.FileName(from.Sale))
		m, err := from.Export(ctx, to, progressBar(from.Sale))
		if err != nil {
			return err
		}
		return e.print(to, &m)
	})
}

func (e *exporting) print(to string, m *archive.Manifest) error {
	info, err := os.Stat(to)
	if err != nil {
		return err
	}
	n := &m.Counts
	fmt.Fprintf(e.out, "sale %d: %s, %d bytes\n", m.Number, to, info.Size())
	fmt.Fprintf(e.out, "  %d messages, %d decisions, %d of %d sold, %d commits, %d holes, %d attempts in %d messages\n",
		n.Messages, n.Decisions, m.Cursor.Sold, m.Opening.Stock, n.Commits, n.Holes, n.Attempts, n.AttemptMessages)
	fmt.Fprintf(e.out, "  chain %v at sequence %d\n  manifest SHA-256 %v\n", m.Cursor.Chain, m.Cursor.Sequence, m.Sum())
	if !m.SoldOut() {
		fmt.Fprintf(e.out, "  WARNING the sale is not sold out: this is the sale so far\n")
	}
	return nil
}
