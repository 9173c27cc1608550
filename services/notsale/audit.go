package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
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

// auditArgs gives an error about arguments the meaning of asAudit.
func auditArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error { return asAudit(check(cmd, args)) }
}

// auditing is what `audit` was asked.
type auditing struct {
	*settings

	of       evidenceOf
	all      bool
	asJSON   bool
	against  string // file of a statement
	verifier string // its public key, or the key's file
	out      io.Writer
}

func newAudit() *cobra.Command {
	a := auditing{settings: newSettings()}
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Replay a sale's stream against the ledger; status 0 clean, 1 findings, 2 could not run",
		Long: "Replay a sale's stream against the ledger. Read access to DATABASE_URL and NATS_URL is enough; an archive\n" +
			"needs neither. Who rewrites stream and ledger together can only be found out with --against, by a statement\n" +
			"that was published before.\n" +
			"Exit status: 0 ledger and stream agree, 1 they do not, 2 the audit could not be carried out.",
		Args: auditArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			a.out = cmd.OutOrStdout()
			return asAudit(a.run(cmd.Context()))
		},
	}
	f := cmd.Flags()
	a.evidenceFlags(f)
	f.Int64Var((*int64)(&a.of.sale), "sale", 0, "number of the sale")
	f.BoolVar(&a.all, "all", false, "audit every sale, and what belongs to none")
	f.StringVar(&a.of.archive, "archive", "", "archive of a sale, as 'audit export' makes it; audited offline")
	f.BoolVar(&a.of.ledger, "ledger", false, "with --archive: audit the archived streams against the ledger, not against the rows in the archive")
	f.StringVar(&a.against, "against", "", "file of a statement that was published about the sale: the replay must confirm it")
	f.StringVar(&a.verifier, "verifier", "", "public key of who published it, or its file (default statement.key.pub in the data folder)")
	f.BoolVar(&a.asJSON, "json", false, "print one JSON report per line")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return asAudit(err) })
	cmd.AddCommand(newExplain(), newReport(), newPublish(), newExport())
	return cmd
}

// validate reports flags that do not go together.
func (a *auditing) validate() error {
	switch {
	case a.all && (a.of.sale != 0 || a.of.archive != "" || a.against != ""):
		return errors.New("--all goes with neither --sale nor --archive nor --against")
	case a.share < 0 || a.share > 1:
		return errors.New("--share is a part of the time, 0 to 1")
	case a.verifier != "" && a.against == "":
		return errors.New("--verifier goes with --against")
	case a.of.ledger && a.of.archive == "":
		return errors.New("--ledger goes with --archive")
	}
	return nil
}

func (a *auditing) run(ctx context.Context) error {
	if err := a.validate(); err != nil {
		return err
	}
	if a.all {
		return a.everySale(ctx)
	}
	o := auditor.Options{Share: a.share}
	if a.against != "" {
		var err error
		if o.Against, err = a.readStatement(a.against, a.verifier); err != nil {
			return err
		}
	}
	if err := a.of.undamaged(ctx, a.out, a.asJSON); err != nil {
		return err
	}
	e, err := a.of.open(ctx, a.settings)
	if err != nil {
		return err
	}
	defer e.close()
	return a.one(ctx, e, o)
}

// one audits one sale and prints the report.
func (a *auditing) one(ctx context.Context, e *evidence, o auditor.Options) error {
	report, err := e.audit(ctx, o)
	if err != nil {
		return err
	}
	return a.print(report)
}

func (a *auditing) print(report *auditor.Report) error { return printed(a.out, report, a.asJSON) }

// printed prints a report. errFindings: it is not clean.
func printed(out io.Writer, report *auditor.Report, asJSON bool) error {
	if err := printReport(out, report, asJSON); err != nil {
		return err
	}
	if !report.Clean() {
		return errFindings
	}
	return nil
}

// everySale audits all sales whose streams there are, and what belongs to none. A
// sale that cannot be audited keeps nobody from auditing the others.
func (a *auditing) everySale(ctx context.Context) error {
	books, tape, closeBoth, err := openEvidence(ctx, a.settings)
	if err != nil {
		return err
	}
	defer closeBoth()
	rows, err := allSales(ctx, books)
	if err != nil {
		return err
	}
	streams, err := tape.Sales(ctx)
	if err != nil {
		return err
	}
	reports, failed := []error{}, []error{}
	for i := range rows {
		err := a.oneOfAll(ctx, &rows[i], books, tape, streams)
		switch {
		case unauditable(err):
			failed = append(failed, fmt.Errorf("sale %d: %w", rows[i].Sale.ID, err))
			fmt.Fprintf(os.Stderr, "sale %d could not be audited: %v\n", rows[i].Sale.ID, err)
			continue
		case err != nil && !errors.Is(err, errFindings):
			return err
		}
		reports = append(reports, err)
	}
	rest, err := auditor.AuditRest(ctx, books, tape)
	if err != nil {
		return err
	}
	if errors.Join(append(reports, a.print(rest))...) != nil {
		return errFindings
	}
	return errors.Join(failed...)
}

// oneOfAll audits a sale, if it was opened and has its streams.
func (a *auditing) oneOfAll(ctx context.Context, row *ledger.SaleRow, books *ledger.Ledger, tape *stream.Client, streams []sale.ID) error {
	id := row.Sale.ID
	if _, here := slices.BinarySearch(streams, id); !here && row.State == sale.Archived {
		fmt.Fprintf(os.Stderr, "sale %d is archived: audit its archive with --archive FILE --ledger\n", id)
		return nil
	}
	err := a.one(ctx, &evidence{sale: id, books: books, tape: tape}, auditor.Options{Share: a.share})
	if row.State == sale.Preparing && (errors.Is(err, ledger.ErrNotFound) || errors.Is(err, stream.ErrLost)) {
		return nil // it was never opened
	}
	return err
}

// unauditable reports whether an error is about the one sale, and others can be
// audited.
func unauditable(err error) bool {
	return errors.Is(err, ledger.ErrNotFound) || errors.Is(err, stream.ErrLost) || errors.Is(err, wire.ErrMessage) || errors.Is(err, wire.ErrVersion)
}

// openEvidence connects to the ledger and to the streams. The caller calls
// closeBoth when it needs them no more.
func openEvidence(ctx context.Context, s *settings) (books *ledger.Ledger, tape *stream.Client, closeBoth func(), err error) {
	log, err := s.logger()
	if err != nil {
		return nil, nil, nil, err
	}
	if err := s.readURLs(); err != nil {
		return nil, nil, nil, err
	}
	if (s.databaseURL == "") != (s.natsURL == "") {
		return nil, nil, nil, errors.New("set both DATABASE_URL and NATS_URL, or none to find the stores of 'notsale up'")
	}
	if s.databaseURL == "" {
		if err := s.findURLs(); err != nil {
			return nil, nil, nil, err
		}
	}
	name := instanceName("audit")
	books, err = ledger.Open(ctx, ledger.Config{URL: s.databaseURL, Name: name, Conns: ledger.DefaultConns, Patience: auditPatience, ReadOnly: true})
	if err != nil {
		return nil, nil, nil, err
	}
	connect, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	cfg := s.stream
	cfg.URL, cfg.Name, cfg.Role = s.natsURL, name, "auditor"
	tape, err = stream.Connect(connect, cfg, log)
	if err != nil {
		books.Close()
		return nil, nil, nil, err
	}
	return books, tape, func() { tape.Close(); books.Close() }, nil
}

// auditPatience is how long a statement of an audit may take: millions of
// attempts are read in one.
const auditPatience = 10 * time.Minute

const auditPage = 1000

// printedFindings is how many findings people are shown.
const printedFindings = 20

// allSales returns all sales, newest first.
func allSales(ctx context.Context, books *ledger.Ledger) (all []ledger.SaleRow, err error) {
	for before := sale.ID(0); ; {
		rows, err := books.Sales(ctx, before, auditPage)
		if err != nil {
			return nil, err
		}
		all = append(all, rows...)
		if len(rows) < auditPage {
			return all, nil
		}
		before = rows[len(rows)-1].Sale.ID
	}
}

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
		fmt.Fprintf(&b, "  %d messages stand in the stream beyond that: nothing of them is decided\n", r.Waiting)
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
		fmt.Fprintf(&b, "  and %d more; they stand in the order of the stream, so the first ones tell (--json lists %d)\n", more, auditor.MaxFindings)
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
