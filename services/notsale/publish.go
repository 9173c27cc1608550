package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"notsale/services/archiver"
	"notsale/services/auditor"
)

// publishing is what `audit publish` was asked.
type publishing struct {
	inspection

	unproved bool
	key      string // file
}

// statementKeyPath returns the flag's file, or the one of the data folder.
func (s *settings) statementKeyPath(flag string) string {
	return cmp.Or(flag, filepath.Join(s.data, "statement.key"))
}

func newPublish() *cobra.Command {
	p := publishing{inspection: newInspection()}
	cmd := &cobra.Command{
		Use:   "publish",
		Short: "Audit a sale and print a short signed statement about its chain",
		Long: "Audit a sale and print a short signed statement about its chain, to be published where it cannot be taken back.\n" +
			"Who rewrites stream and ledger together leaves nothing that an audit alone could find: that can only be\n" +
			"detected against a statement published before, with `notsale audit --sale N --against FILE`.\n" +
			"Exit status: 0 printed, 1 the audit has findings and nothing is printed, 2 it could not be carried out.",
	}
	auditCommand(cmd, &p.inspection, p.run)
	p.flags(cmd.Flags(), "archive of the sale, instead of --sale")
	cmd.Flags().BoolVar(&p.unproved, "with-unproved", false, "publish a sale with decisions in holes, too")
	cmd.Flags().StringVar(&p.key, "statement-key", "", "file of the key that signs, made if it is missing (default statement.key in the data folder)")
	return cmd
}

func (p *publishing) run(ctx context.Context) error {
	if p.archive != "" && p.key == "" {
		return errors.New("give --statement-key too: an archive may be another installation's, whose key is not made here")
	}
	if err := p.undamaged(ctx); err != nil {
		return err
	}
	return p.on(ctx, func(e *archiver.Evidence) error {
		report, err := e.Audit(ctx, auditor.Options{Share: p.share, Progress: progressBar(e.Sale)})
		if err != nil {
			return err
		}
		if !report.Clean() {
			return p.print(report)
		}
		path := p.statementKeyPath(p.key)
		published, err := archiver.Publish(report, p.unproved, path)
		if err != nil {
			return err
		}
		if published.NewKey {
			fmt.Fprintf(os.Stderr, "made a signing key, %s: keep it, and publish its public half (%s.pub): %s\n", path, path, published.Verifier)
		}
		if _, err := os.Stat(path + ".pub"); err != nil {
			fmt.Fprintf(os.Stderr, "the public half of the signing key could not be written beside it, publish it all the same: %s\n", published.Verifier)
		}
		_, err = p.out.Write(published.Text)
		return err
	})
}
