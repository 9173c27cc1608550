package main

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"notsale/pkg/sale"
	"notsale/services/archiver"
	"notsale/services/auditor"
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
				path = archiver.FileName(sale.ID(number))
			}
			return asAudit(archiveSale(cmd.Context(), s, sale.ID(number), path, cmd.OutOrStdout()))
		},
	}
	s.evidenceFlags(cmd.Flags())
	cmd.Flags().StringVar(&path, "out", "", "the archive (default sale-N.notsale.tar)")
	return cmd
}

func archiveSale(ctx context.Context, s *settings, id sale.ID, path string, out io.Writer) error {
	books, tape, closeBoth, err := openEvidence(ctx, s)
	if err != nil {
		return err
	}
	defer closeBoth()
	ends, err := archiver.Archive(ctx, archiver.Task{
		Sale: id, Path: path, Books: books, Tape: tape, Share: s.share, Progress: progressBar(id),
		Findings: func(r *auditor.Report) { _ = printed(out, r, false) }, // that it is not clean is told below
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "sale %d is in %s, and nowhere else: keep it\n  %d messages, %d of attempts, chain %x\n  manifest %x\n",
		id, path, ends.Sequence, ends.Attempts, ends.Chain, ends.Manifest)
	return err
}
