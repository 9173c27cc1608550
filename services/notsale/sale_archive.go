package main

import (
	"cmp"
	"context"
	"fmt"
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
	i := newInspection()
	var path string
	cmd := &cobra.Command{
		Use:   "archive N",
		Short: "Move the streams of a sold-out sale into an archive",
		Long: "Move the streams of sold-out sale N into an archive: audit the sale, close its streams, export and verify the\n" +
			"archive, remove the streams. The sale's codes are answered from the ledger from then on. Every step can be\n" +
			"repeated: after a failure run it again. Needs write access to DATABASE_URL and, as operator, to NATS_URL.\n" +
			"Exit status: 0 archived, 1 the audit has findings and the streams are kept, 2 it could not be carried out.",
		Args: func(cmd *cobra.Command, args []string) error { return asAudit(cobra.ExactArgs(1)(cmd, args)) },
		RunE: func(cmd *cobra.Command, args []string) error {
			number, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil || number < 1 {
				return fmt.Errorf("%w: %q is no number of a sale", errAudit, args[0])
			}
			i.sale, i.out = sale.ID(number), cmd.OutOrStdout()
			return asAudit(i.moveToArchive(cmd.Context(), cmp.Or(path, archiver.FileName(i.sale))))
		},
	}
	i.evidenceFlags(cmd.Flags())
	cmd.Flags().StringVar(&path, "out", "", "the archive (default sale-N.notsale.tar)")
	return cmd
}

func (i *inspection) moveToArchive(ctx context.Context, path string) error {
	return i.connected(ctx, func(stores archiver.Stores) error {
		ends, err := archiver.Archive(ctx, archiver.Task{
			Stores: stores, Sale: i.sale, Path: path, Share: i.share, Progress: progressBar(i.sale),
			Findings: func(r *auditor.Report) { _ = i.print(r) }, // that it is not clean is told below
		})
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(i.out, "sale %d is in %s, and nowhere else: keep it\n  %d messages, %d of attempts, chain %x\n  manifest %x\n",
			i.sale, path, ends.Sequence, ends.Attempts, ends.Chain, ends.Manifest)
		return err
	})
}
