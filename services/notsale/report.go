package main

import (
	"cmp"
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"notsale/services/archiver"
	"notsale/services/auditor"
	"notsale/services/auditor/report"
)

// reporting is what `audit report` was asked.
type reporting struct {
	inspection

	to        string // file; empty: named after the sale
	force     bool   // replace the file
	withUsers bool   // name users
}

func newReport() *cobra.Command {
	r := reporting{inspection: newInspection()}
	cmd := &cobra.Command{
		Use:   "report",
		Short: "Audit a sale and write one self-contained HTML page about it; status as audit's",
		Long: "Audit a sale and write one self-contained HTML page about it: the verdict, how it sold, who was refused why,\n" +
			"how long decisions took, what failed. The page names no user, unless --with-users is given; only its owner\n" +
			"can read the file.\n" +
			"Exit status: 0 ledger and stream agree, 1 they do not and the page says where, or the archive is damaged and\n" +
			"there is no page, 2 the audit could not be carried out or the page not be written.",
	}
	auditCommand(cmd, &r.inspection, r.run)
	r.flags(cmd.Flags(), "archive of a sale, as 'audit export' makes it; audited offline")
	f := cmd.Flags()
	f.StringVar(&r.to, "out", "", "file to write (default sale-N.html)")
	f.BoolVar(&r.force, "force", false, "replace the file if it exists")
	f.BoolVar(&r.withUsers, "with-users", false, "let the page name users")
	return cmd
}

func (r *reporting) run(ctx context.Context) error {
	if err := r.undamaged(ctx); err != nil {
		return err
	}
	return r.on(ctx, func(e *archiver.Evidence) error {
		to := cmp.Or(r.to, fmt.Sprintf("sale-%d.html", e.Sale))
		if err := archiver.Vacant(to, r.force); err != nil { // before the work
			return err
		}
		c := &report.Collector{WithUsers: r.withUsers}
		found, err := e.Audit(ctx, auditor.Options{Watcher: c, Share: r.share, Progress: progressBar(e.Sale)})
		if err != nil {
			return err
		}
		if err := archiver.WritePage(to, r.force, c, found); err != nil {
			return err
		}
		err = r.print(found)
		fmt.Fprintf(r.out, "  page %s\n", to)
		return err
	})
}
