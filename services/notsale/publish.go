package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"notsale/pkg/sale"
	"notsale/services/auditor"
	"notsale/services/auditor/statement"
)

// statementKey is the name of the signing key in the data folder.
const statementKey = "statement.key"

// statementKeyPath returns the flag's file, or the one of the data folder.
func (s *settings) statementKeyPath(flag string) string {
	return cmp.Or(flag, filepath.Join(s.data, statementKey))
}

func newPublish() *cobra.Command {
	s := newSettings()
	var number int64
	var archived, key string
	var unproved bool
	cmd := &cobra.Command{
		Use:   "publish",
		Short: "Audit a sale and print a short signed statement about its chain",
		Long: "Audit a sale and print a short signed statement about its chain, to be published where it cannot be taken back.\n" +
			"Who rewrites stream and ledger together leaves nothing that an audit alone could find: that can only be\n" +
			"detected against a statement published before, with `notsale audit --sale N --against FILE`.\n" +
			"Exit status: 0 printed, 1 the audit has findings and nothing is printed, 2 it could not be carried out.",
		Args: auditArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return asAudit(publish(cmd.Context(), s, evidenceOf{sale: sale.ID(number), archive: archived}, key, unproved, cmd.OutOrStdout()))
		},
	}
	f := cmd.Flags()
	s.evidenceFlags(f)
	f.Int64Var(&number, "sale", 0, "number of the sale")
	f.StringVar(&archived, "archive", "", "archive of the sale, instead of --sale")
	f.BoolVar(&unproved, "with-unproved", false, "publish a sale with decisions in holes, too")
	f.StringVar(&key, "statement-key", "", "file of the key that signs, made if it is missing (default statement.key in the data folder)")
	return cmd
}

func publish(ctx context.Context, s *settings, of evidenceOf, key string, unproved bool, out io.Writer) error {
	if of.archive != "" {
		if key == "" {
			return errors.New("give --statement-key too: an archive may be another installation's, whose key is not made here")
		}
		if err := of.undamaged(ctx, out, false); err != nil {
			return err
		}
	}
	e, err := of.open(ctx, s)
	if err != nil {
		return err
	}
	defer e.close()
	report, err := e.audit(ctx, auditor.Options{Share: s.share})
	if err != nil {
		return err
	}
	if !report.Clean() {
		return printed(out, report, false)
	}
	if report.Unproved > 0 && !unproved {
		return fmt.Errorf("%d decisions, %d of them sold, lie in holes, for which the ledger alone speaks: look into the holes, then give --with-unproved", report.Unproved, report.UnprovedSold)
	}
	text, err := report.Statement()
	if err != nil {
		return err
	}
	path := s.statementKeyPath(key)
	signer, verifier, created, err := statement.LoadOrCreateKey(path, statement.KeyName(text.Installation))
	if err != nil {
		return fmt.Errorf("--statement-key: %w", err)
	}
	if created {
		fmt.Fprintf(os.Stderr, "made a signing key, %s: keep it, and publish its public half (%s.pub): %s\n", path, path, verifier)
	}
	if _, err := os.Stat(path + ".pub"); err != nil {
		fmt.Fprintf(os.Stderr, "the public half of the signing key could not be written beside it, publish it all the same: %s\n", verifier)
	}
	signed, err := statement.Sign(text, signer)
	if err == nil {
		_, err = out.Write(signed)
	}
	return err
}

// readStatement reads and verifies a published statement. verifier is a key, or
// a file that holds one.
func (s *settings) readStatement(path, verifier string) (*statement.Statement, error) {
	signed, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("--against: %w", err)
	}
	if verifier == "" {
		verifier = s.statementKeyPath("") + ".pub"
	}
	key := verifier
	if text, err := os.ReadFile(verifier); err == nil {
		key = strings.TrimSpace(string(text))
	} else if errors.Is(err, fs.ErrNotExist) && !strings.Contains(verifier, "+") { // every key has a +
		return nil, fmt.Errorf("--verifier: there is no file %s: give the public key of who published the statement, or its file", verifier)
	}
	published, err := statement.Verify(signed, key)
	if err != nil {
		return nil, fmt.Errorf("--against %s: %w", path, err)
	}
	return &published, nil
}
