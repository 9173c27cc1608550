package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/services/auditor"
)

// errFindings ends the program with status 1: the audit was carried out, and
// ledger and stream do not agree.
var errFindings = errors.New("ledger and stream do not agree")

// errAudit ends it with status 2: the audit could not be carried out.
var errAudit = errors.New("the audit could not be carried out")

func newAudit() *cobra.Command {
	s := newSettings()
	var number int64
	var all, asJSON bool
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Replay a sale's stream against the ledger; status 0 clean, 1 findings, 2 could not run",
		Long: "Replay a sale's stream against the ledger. Read access to DATABASE_URL and NATS_URL is enough.\n" +
			"Exit status: 0 ledger and stream agree, 1 they do not, 2 the audit could not be carried out.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if all == (number > 0) {
				return fmt.Errorf("%w: give --sale N or --all", errAudit)
			}
			err := runAudit(cmd.Context(), s, sale.ID(number), asJSON, cmd.OutOrStdout())
			if err != nil && !errors.Is(err, errFindings) {
				return fmt.Errorf("%w: %w", errAudit, err)
			}
			return err
		},
	}
	s.commonFlags(cmd.Flags())
	cmd.Flags().Int64Var(&number, "sale", 0, "number of the sale")
	cmd.Flags().BoolVar(&all, "all", false, "audit every sale")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON report per line")
	return cmd
}

func runAudit(ctx context.Context, s *settings, only sale.ID, asJSON bool, out io.Writer) error {
	log, err := s.logger()
	if err != nil {
		return err
	}
	if err := s.readURLs(); err != nil {
		return err
	}
	if s.databaseURL == "" || s.natsURL == "" {
		return errors.New("DATABASE_URL and NATS_URL must be set (or each with _FILE)")
	}
	name := instanceName("audit")
	books, err := ledger.Open(ctx, ledger.Config{URL: s.databaseURL, Name: name, Conns: ledger.DefaultConns})
	if err != nil {
		return err
	}
	defer books.Close()
	connect, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	cfg := s.stream
	cfg.URL, cfg.Name = s.natsURL, name
	tape, err := stream.Connect(connect, cfg, log)
	if err != nil {
		return err
	}
	defer tape.Close()
	ids := []sale.ID{only}
	if only == 0 {
		if ids, err = everySale(ctx, books); err != nil {
			return err
		}
	}
	clean := true
	for _, id := range ids {
		report, err := auditor.Audit(ctx, books, tape, id, progressBar(id))
		if err != nil {
			return fmt.Errorf("sale %d: %w", id, err)
		}
		clean = clean && report.Clean()
		if err := printReport(out, report, asJSON); err != nil {
			return err
		}
	}
	if !clean {
		return errFindings
	}
	return nil
}

const auditPage = 1000

func everySale(ctx context.Context, books *ledger.Ledger) ([]sale.ID, error) {
	var ids []sale.ID
	for before := sale.ID(0); ; {
		rows, err := books.Sales(ctx, before, auditPage)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			before = row.Sale.ID
			if row.State != sale.Preparing {
				ids = append(ids, row.Sale.ID)
			}
		}
		if len(rows) < auditPage {
			return ids, nil
		}
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
		fmt.Fprintf(os.Stderr, "\rsale %d [%-*s] %d of %d messages", id, width, "========================================"[:full], done, total)
		if done == total {
			fmt.Fprintln(os.Stderr)
		}
	}
}

func printReport(out io.Writer, r *auditor.Report, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(r)
	}
	verdict := "clean"
	if !r.Clean() {
		verdict = fmt.Sprintf("%d findings", r.Total)
	}
	fmt.Fprintf(out, "sale %d: %s\n  %d packs, %d requests, %d decisions, %d sold, %d commits, %d holes, %d attempts\n  chain %s at sequence %d\n",
		r.Sale, verdict, r.Packs, r.Requests, r.Decisions, r.Sold, r.Commits, r.Holes, r.Attempts, r.Chain, r.Sequence)
	if r.Unproved > 0 {
		fmt.Fprintf(out, "  %d decisions lie in holes: their messages are lost, the ledger alone speaks for them\n", r.Unproved)
	}
	for _, f := range r.Findings {
		fmt.Fprintf(out, "  FINDING %s\n", f)
	}
	return nil
}
