package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"notsale/pkg/sale"
	"notsale/services/archiver"
	"notsale/services/auditor"
)

// errFindings ends the program with status 1: the audit was carried out, and
// ledger and stream do not agree.
var errFindings = archiver.ErrFindings

// errAudit ends it with status 2: the audit could not be carried out.
var errAudit = errors.New("the audit could not be carried out")

// asAudit gives an error the meaning that the exit status of an audit has.
func asAudit(err error) error {
	if err == nil || errors.Is(err, errFindings) {
		return err
	}
	return fmt.Errorf("%w: %w", errAudit, err)
}

// auditing is what `audit` was asked.
type auditing struct {
	inspection

	all      bool
	against  string // file of a statement
	verifier string // its public key, or the key's file
}

func newAudit() *cobra.Command {
	a := auditing{inspection: newInspection()}
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Replay a sale's stream against the ledger; status 0 clean, 1 findings, 2 could not run",
		Long: "Replay a sale's stream against the ledger. Read access to DATABASE_URL and NATS_URL is enough; an archive\n" +
			"needs neither. Who rewrites stream and ledger together can only be found out with --against, by a statement\n" +
			"that was published before.\n" +
			"Exit status: 0 ledger and stream agree, 1 they do not, 2 the audit could not be carried out.",
	}
	auditCommand(cmd, &a.inspection, a.run)
	a.flags(cmd.Flags(), "archive of a sale, as 'audit export' makes it; audited offline")
	f := cmd.Flags()
	f.BoolVar(&a.all, "all", false, "audit every sale, and what belongs to none")
	f.BoolVar(&a.withLedger, "ledger", false, "with --archive: audit the archived streams against the ledger, not against the rows in the archive")
	f.StringVar(&a.against, "against", "", "file of a statement that was published about the sale, which the replay must confirm")
	f.StringVar(&a.verifier, "verifier", "", "public key of who published it, or its file (default statement.key.pub in the data folder)")
	f.BoolVar(&a.asJSON, "json", false, "print one JSON report per line")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return asAudit(err) })
	cmd.AddCommand(newExplain(), newReport(), newPublish(), newExport())
	return cmd
}

// auditCommand makes a command run an inspection, with the exit status of an audit.
func auditCommand(cmd *cobra.Command, i *inspection, run func(context.Context) error) {
	cmd.Args = func(cmd *cobra.Command, args []string) error { return asAudit(cobra.NoArgs(cmd, args)) }
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		i.out = cmd.OutOrStdout()
		return asAudit(run(cmd.Context()))
	}
}

// validate reports flags that do not go together.
func (a *auditing) validate() error {
	switch {
	case a.all && (a.sale != 0 || a.archive != "" || a.against != ""):
		return errors.New("--all goes with neither --sale nor --archive nor --against")
	case a.share < 0 || a.share > 1:
		return errors.New("--share is a part of the time, 0 to 1")
	case a.verifier != "" && a.against == "":
		return errors.New("--verifier goes with --against")
	case a.withLedger && a.archive == "":
		return errors.New("--ledger goes with --archive")
	}
	return nil
}

func (a *auditing) run(ctx context.Context) (err error) {
	if err := a.validate(); err != nil {
		return err
	}
	if a.all {
		return a.connected(ctx, func(stores archiver.Stores) error { return a.everySale(ctx, stores) })
	}
	o := auditor.Options{Share: a.share}
	if a.against != "" {
		if o.Against, err = archiver.ReadStatement(a.against, cmp.Or(a.verifier, a.statementKeyPath("")+".pub")); err != nil {
			return err
		}
	}
	if err := a.undamaged(ctx); err != nil {
		return err
	}
	return a.on(ctx, func(e *archiver.Evidence) error {
		o.Progress = progressBar(e.Sale)
		report, err := e.Audit(ctx, o)
		if err != nil {
			return err
		}
		return a.print(report)
	})
}

// everySale prints the reports of all sales, and of what belongs to none.
func (a *auditing) everySale(ctx context.Context, stores archiver.Stores) error {
	options := func(id sale.ID) auditor.Options {
		return auditor.Options{Share: a.share, Progress: progressBar(id)}
	}
	var findings, failed error
	err := stores.AuditAll(ctx, options, func(r *auditor.Report, err error) error {
		switch {
		case errors.Is(err, archiver.ErrArchived):
			fmt.Fprintln(os.Stderr, err)
			return nil
		case err != nil:
			fmt.Fprintf(os.Stderr, "could not be audited: %v\n", err)
			failed = errors.Join(failed, err)
			return nil
		}
		err = a.print(r)
		if errors.Is(err, errFindings) {
			findings = err
			return nil
		}
		return err
	})
	return cmp.Or(err, findings, failed)
}

// printedFindings is how many findings people are shown.
const printedFindings = 20

// progressBar draws on standard error while it is a terminal.
func progressBar(id sale.ID) auditor.Progress {
	if !isatty.IsTerminal(os.Stderr.Fd()) {
		return nil
	}
	const width, every = 40, 100 * time.Millisecond
	drawn := time.Now()
	return func(done, total uint64) {
		if done < total && time.Since(drawn) < every {
			return
		}
		drawn = time.Now()
		full := int(width * done / max(total, 1))
		fmt.Fprintf(os.Stderr, "\rsale %d [%-*s] %3d%%", id, width, strings.Repeat("=", full), 100*done/max(total, 1))
		if done == total {
			fmt.Fprintln(os.Stderr)
		}
	}
}

func printReport(out io.Writer, r *auditor.Report, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(r)
	}
	var b strings.Builder
	if r.Sale == 0 && r.UUID.IsZero() {
		fmt.Fprintf(&b, "no sale: %s\n  %d attempts\n", verdict(r), r.Attempts)
	} else {
		fmt.Fprintf(&b, "sale %d: %s\n  %d packs, %d requests, %d decisions, %d sold, %d commits, %d holes, %d attempts\n  chain %s at sequence %d\n",
			r.Sale, verdict(r), r.Packs, r.Requests, r.Decisions, r.Sold, r.Commits, r.Holes, r.Attempts, cmp.Or(r.Chain, "not known: the replay broke off"), r.Sequence)
	}
	if r.Waiting > 0 {
		fmt.Fprintf(&b, "  %d messages after that are not decided\n", r.Waiting)
	}
	if r.Unrecorded > 0 {
		fmt.Fprintf(&b, "  %d attempts wait in the stream for a recorder\n", r.Unrecorded)
	}
	if r.UnprovedAttempts > 0 {
		fmt.Fprintf(&b, "  %d attempts have no message any more: their stream is removed, or has lost its tail\n", r.UnprovedAttempts)
	}
	for _, f := range r.Findings[:min(len(r.Findings), printedFindings)] {
		fmt.Fprintf(&b, "  FINDING %s\n", f)
	}
	if more := r.Total - printedFindings; more > 0 {
		fmt.Fprintf(&b, "  and %d more, in the order of the stream; later ones often follow from the first (--json lists %d)\n", more, auditor.MaxFindings)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func verdict(r *auditor.Report) string {
	switch {
	case !r.Clean():
		return fmt.Sprintf("%d findings", r.Total)
	case r.Unproved > 0:
		return fmt.Sprintf("clean, but for %d decisions in holes, %d of them sold: their messages are lost, and the ledger alone speaks for them", r.Unproved, r.UnprovedSold)
	}
	return "clean"
}
