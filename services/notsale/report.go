package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"notsale/services/auditor"
	"notsale/services/auditor/report"
)

// reporting is what `audit report` was asked.
type reporting struct {
	auditing

	to        string // file; empty: named after the sale
	force     bool   // replace what stands there
	withUsers bool   // name users
}

func newReport() *cobra.Command {
	r := reporting{auditing: auditing{settings: newSettings()}}
	cmd := &cobra.Command{
		Use:   "report",
		Short: "Audit a sale and write one self-contained HTML page about it; status as audit's",
		Long: "Audit a sale and write one self-contained HTML page about it: the verdict, how it sold, who was refused why,\n" +
			"how long decisions took, what failed. The page names no user, unless --with-users is given; only its owner\n" +
			"can read the file.\n" +
			"Exit status: 0 ledger and stream agree, 1 they do not and the page says where, or the archive is damaged and\n" +
			"there is no page, 2 the audit could not be carried out or the page not be written.",
		Args: auditArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			r.out = cmd.OutOrStdout()
			return asAudit(r.run(cmd.Context()))
		},
	}
	f := cmd.Flags()
	r.evidenceFlags(f)
	f.Int64Var((*int64)(&r.of.sale), "sale", 0, "number of the sale")
	f.StringVar(&r.of.archive, "archive", "", "archive of a sale, as 'audit export' makes it; audited offline")
	f.StringVar(&r.to, "out", "", "file to write (default sale-N.html)")
	f.BoolVar(&r.force, "force", false, "replace the file if it exists")
	f.BoolVar(&r.withUsers, "with-users", false, "let the page name users")
	return cmd
}

func (r *reporting) run(ctx context.Context) error {
	if err := r.of.undamaged(ctx, r.out, r.asJSON); err != nil {
		return err
	}
	e, err := r.of.open(ctx, r.settings)
	if err != nil {
		return err
	}
	defer e.close()
	if r.to == "" {
		r.to = fmt.Sprintf("sale-%d.html", e.sale)
	}
	if err := r.vacant(); err != nil { // before the work
		return err
	}
	c := &report.Collector{WithUsers: r.withUsers}
	found, err := e.audit(ctx, auditor.Options{Watcher: c, Share: r.share})
	if err != nil {
		return err
	}
	if err := r.write(c, found); err != nil {
		return err
	}
	err = r.print(found)
	fmt.Fprintf(r.out, "  page %s\n", r.to)
	return err
}

// vacant reports whether the page may be written.
func (r *reporting) vacant() error {
	info, err := os.Lstat(r.to)
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && r.force && info.Mode().IsRegular():
		return nil
	case err == nil && r.force:
		return fmt.Errorf("%s is not a file: only files are replaced", r.to)
	case err != nil:
		return err
	}
	return fmt.Errorf("%s exists: --force replaces it", r.to)
}

// write writes the page beside its place and moves it there whole.
func (r *reporting) write(c *report.Collector, found *auditor.Report) error {
	f, err := os.CreateTemp(filepath.Dir(r.to), ".notsale-report-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // where all went well it is gone
	err = report.Render(f, c, found)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := r.vacant(); err != nil {
		return err
	}
	return os.Rename(f.Name(), r.to)
}
