package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"notsale/services/archiver"
	"notsale/services/auditor/archive"
)

// exporting is what `audit export` was asked.
type exporting struct {
	*settings

	of  evidenceOf
	to  string // file; empty: named after the sale
	out io.Writer
}

func newExport() *cobra.Command {
	e := exporting{settings: newSettings()}
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write all evidence of a sale into one archive that can be audited offline",
		Long: "Write a sale's streams and its rows in the ledger into one compressed archive, which `notsale audit --archive`\n" +
			"audits without any server. The same content always gives the same bytes. An existing file is never overwritten.\n" +
			"The archive is not audited here. It holds the user ids; only its owner can read the file.\n" +
			"Exit status: 0 the archive is written, 2 it is not.",
		Args: auditArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			e.out = cmd.OutOrStdout()
			return asAudit(e.run(cmd.Context()))
		},
	}
	f := cmd.Flags()
	e.evidenceFlags(f)
	f.Int64Var((*int64)(&e.of.sale), "sale", 0, "number of the sale")
	f.StringVar(&e.of.archive, "archive", "", "write the archive anew from this one, not from ledger and streams")
	f.StringVar(&e.to, "out", "", "file to write (default sale-N.notsale.tar)")
	return cmd
}

func (e *exporting) run(ctx context.Context) error {
	if e.of.archive != "" && e.of.sale != 0 {
		return errors.New("give --sale or --archive, not both")
	}
	err := e.of.undamaged(ctx, e.out, false)
	if errors.Is(err, errFindings) {
		return fmt.Errorf("%s: %w", e.of.archive, archive.ErrDamaged)
	}
	if err != nil {
		return err
	}
	from, err := e.of.open(ctx, e.settings)
	if err != nil {
		return err
	}
	defer from.close()
	if e.to == "" {
		e.to = archiver.FileName(from.sale)
	}
	books, tape, err := from.own(ctx)
	if err != nil {
		return err
	}
	m, err := archive.Create(ctx, e.to, books, tape, from.sale, progressBar(from.sale))
	if err != nil {
		return err
	}
	return e.print(&m)
}

func (e *exporting) print(m *archive.Manifest) error {
	info, err := os.Stat(e.to)
	if err != nil {
		return err
	}
	n := &m.Counts
	fmt.Fprintf(e.out, "sale %d: %s, %d bytes\n", m.Number, e.to, info.Size())
	fmt.Fprintf(e.out, "  %d messages, %d decisions, %d of %d sold, %d commits, %d holes, %d attempts in %d messages\n",
		n.Messages, n.Decisions, m.Cursor.Sold, m.Opening.Stock, n.Commits, n.Holes, n.Attempts, n.AttemptMessages)
	fmt.Fprintf(e.out, "  chain %v at sequence %d\n  manifest SHA-256 %v\n", m.Cursor.Chain, m.Cursor.Sequence, m.Sum())
	if !m.SoldOut() {
		fmt.Fprintf(e.out, "  WARNING the sale is not sold out: this is the sale so far\n")
	}
	return nil
}
