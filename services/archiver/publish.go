package archiver

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"notsale/services/auditor"
	"notsale/services/auditor/report"
	"notsale/services/auditor/statement"
)

// Published is a signed statement about a sale.
type Published struct {
	Text     []byte
	Verifier string // the public key
	NewKey   bool   // the key was made just now
}

// Publish signs a statement about a sale whose audit is clean, with the key in this
// file, which is made where it is missing. unproved: although the sale has decisions
// in holes.
func Publish(r *auditor.Report, unproved bool, keyFile string) (Published, error) {
	if r.Unproved > 0 && !unproved {
		return Published{}, fmt.Errorf("%d decisions, %d of them sold, lie in holes, for which the ledger alone speaks: look into the holes, then give --with-unproved", r.Unproved, r.UnprovedSold)
	}
	text, err := r.Statement()
	if err != nil {
		return Published{}, err
	}
	signer, verifier, created, err := statement.LoadOrCreateKey(keyFile, statement.KeyName(text.Installation))
	if err != nil {
		return Published{}, fmt.Errorf("--statement-key: %w", err)
	}
	signed, err := statement.Sign(text, signer)
	return Published{Text: signed, Verifier: verifier, NewKey: created}, err
}

// ReadStatement reads and verifies a published statement. verifier is the public
// key, or a file that holds it.
func ReadStatement(path, verifier string) (*statement.Statement, error) {
	signed, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("--against: %w", err)
	}
	if text, err := os.ReadFile(verifier); err == nil {
		verifier = strings.TrimSpace(string(text))
	} else if errors.Is(err, fs.ErrNotExist) && !strings.Contains(verifier, "+") { // every key has a +
		return nil, fmt.Errorf("--verifier: there is no file %s: give the public key of who published the statement, or its file", verifier)
	}
	published, err := statement.Verify(signed, verifier)
	if err != nil {
		return nil, fmt.Errorf("--against %s: %w", path, err)
	}
	return &published, nil
}

// Vacant reports whether a page may be written to this path: nothing is there, or a
// file that is to be replaced.
func Vacant(path string, replace bool) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && replace && info.Mode().IsRegular():
		return nil
	case err == nil && replace:
		return fmt.Errorf("%s is not a file: only files are replaced", path)
	case err != nil:
		return err
	}
	return fmt.Errorf("%s exists: --force replaces it", path)
}

// WritePage writes the page about an audited sale, whole or not at all.
func WritePage(path string, replace bool, c *report.Collector, r *auditor.Report) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".notsale-report-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // where all went well it is gone
	err = report.Render(f, c, r)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := Vacant(path, replace); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
