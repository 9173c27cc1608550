package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"notsale/pkg/code"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/services/auditor"
)

// inquiry is what `audit explain` was asked.
type inquiry struct {
	code   string // a code, or its id
	user   string
	item   int64
	sale   int64
	keys   string // file, to check the code's signature with
	file   string // archive of the sale
	asJSON bool
}

func newExplain() *cobra.Command {
	s := newSettings()
	var i inquiry
	cmd := &cobra.Command{
		Use:   "explain",
		Short: "Say what became of a code, an item or a user, and why; status 0 explained, 1 disagreement, 2 could not run",
		Long: "Replay a sale's stream and say what became of a code, of the race for an item, or of a user's requests:\n" +
			"place in the queue, time, decision, reason, and the position that a refused request lost to.\n" +
			"Exit status: 0 explained, 1 ledger and stream disagree about it, 2 it could not be carried out.",
		Args: auditArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := i.run(cmd.Context(), s, cmd.OutOrStdout())
			if err != nil && !errors.Is(err, errFindings) {
				return fmt.Errorf("%w: %w", errAudit, err)
			}
			return err
		},
	}
	f := cmd.Flags()
	s.evidenceFlags(f)
	f.StringVar(&i.code, "code", "", "a code, or with --sale its id (32 hexadecimal digits)")
	f.Int64Var(&i.item, "item", 0, "id of an item")
	f.StringVar(&i.user, "user", "", "id of a user, with --sale")
	f.Int64Var(&i.sale, "sale", 0, "number of the sale")
	f.StringVar(&i.file, "archive", "", "archive of the sale, in place of ledger and streams")
	f.StringVar(&i.keys, "code-keys", "", "file of the keys that sign codes, to check the code's signature; without it the code's word is taken")
	f.BoolVar(&i.asJSON, "json", false, "print JSON")
	return cmd
}

func (i *inquiry) run(ctx context.Context, s *settings, out io.Writer) error {
	if err := i.validate(); err != nil {
		return err
	}
	e, q, signature, err := i.open(ctx, s)
	if err != nil {
		return err
	}
	defer e.close()
	x, err := auditor.Explain(ctx, e.books, e.tape, e.desk, e.sale, q, auditor.Options{Progress: progressBar(e.sale), Share: s.share})
	if err != nil {
		return fmt.Errorf("sale %d: %w", e.sale, err)
	}
	if err := printExplanation(out, x, signature, i.asJSON); err != nil {
		return err
	}
	if !x.Agree() {
		return errFindings
	}
	return nil
}

// open opens the evidence about what is asked.
func (i *inquiry) open(ctx context.Context, s *settings) (e *evidence, q auditor.Question, signature string, err error) {
	if i.file != "" {
		if e, err = (evidenceOf{sale: sale.ID(i.sale), archive: i.file}).open(ctx, s); err != nil {
			return nil, q, "", err
		}
		snapshot, err := e.books.Snapshot(ctx, e.sale)
		if err == nil {
			i.sale = int64(e.sale)
			_, q, signature, err = i.resolve(ctx, oneSale{snapshot.Sale})
		}
		if err != nil {
			e.close()
		}
		return e, q, signature, err
	}
	books, tape, closeBoth, err := openEvidence(ctx, s)
	if err != nil {
		return nil, q, "", err
	}
	id, q, signature, err := i.resolve(ctx, books)
	if err == nil {
		e, err = liveEvidence(ctx, id, books, tape, closeBoth)
	}
	if err != nil {
		closeBoth()
	}
	return e, q, signature, err
}

// saleFinder finds sales; ledger.ErrNotFound where there is none.
type saleFinder interface {
	Sale(ctx context.Context, id sale.ID) (ledger.SaleRow, error)
	SaleOfItem(ctx context.Context, item sale.ItemID) (ledger.SaleRow, error)
	SaleOfUUID(ctx context.Context, id sale.UUID) (ledger.SaleRow, error)
}

// oneSale finds the one sale that there is.
type oneSale struct{ row ledger.SaleRow }

func (s oneSale) only(found bool) (ledger.SaleRow, error) {
	if !found {
		return ledger.SaleRow{}, ledger.ErrNotFound
	}
	return s.row, nil
}

func (s oneSale) Sale(_ context.Context, id sale.ID) (ledger.SaleRow, error) {
	return s.only(id == s.row.Sale.ID)
}

func (s oneSale) SaleOfItem(_ context.Context, item sale.ItemID) (ledger.SaleRow, error) {
	return s.only(s.row.Sale.Contains(item))
}

func (s oneSale) SaleOfUUID(_ context.Context, id sale.UUID) (ledger.SaleRow, error) {
	return s.only(id == s.row.Sale.UUID)
}

// validate reports what was asked that nobody can answer.
func (i *inquiry) validate() error {
	asked := 0
	for _, given := range []bool{i.code != "", i.item != 0, i.user != ""} {
		if given {
			asked++
		}
	}
	if asked != 1 {
		return errors.New("give one of --code C, --item N and --user U")
	}
	id, errID := code.ParseID(i.code)
	_, errUser := sale.ParseUserID(i.user)
	switch {
	case errID == nil && id.IsZero():
		return errors.New("--code: no code has this id")
	case i.item < 0 || i.sale < 0:
		return errors.New("--item and --sale are positive numbers")
	case i.user != "" && errUser != nil:
		return fmt.Errorf("--user: %w", errUser)
	case i.sale == 0 && i.file == "" && (i.user != "" || errID == nil):
		return errors.New("give --sale N too: a user, or the id of a code, does not say which sale is meant")
	}
	return nil
}

// signatures say how far a code's own word is checked.
const (
	signatureUnchecked = "signature not checked"
	signatureValid     = "signature valid"
)

// resolve finds the sale that is meant, and what is asked about it.
func (i *inquiry) resolve(ctx context.Context, books saleFinder) (id sale.ID, q auditor.Question, signature string, err error) {
	var row ledger.SaleRow
	switch {
	case i.item != 0:
		q.Item = sale.ItemID(i.item)
		row, err = books.SaleOfItem(ctx, q.Item)
	case i.user != "":
		q.User = sale.UserID(i.user)
		row, err = books.Sale(ctx, sale.ID(i.sale))
	default:
		if q.Code, err = code.ParseID(i.code); err == nil {
			row, err = books.Sale(ctx, sale.ID(i.sale))
			break
		}
		var of sale.UUID
		if q, of, signature, err = i.readCode(); err == nil {
			row, err = books.SaleOfUUID(ctx, of)
		}
	}
	if errors.Is(err, ledger.ErrNotFound) {
		return 0, q, "", errors.New("neither the ledger nor an archive that was given has such a sale")
	}
	if id = row.Sale.ID; err == nil && i.sale != 0 && sale.ID(i.sale) != id {
		err = fmt.Errorf("--sale %d: what is asked about belongs to sale %d", i.sale, id)
	}
	return id, q, signature, err
}

// readCode reads what the code says of itself.
func (i *inquiry) readCode() (q auditor.Question, of sale.UUID, signature string, err error) {
	id, claims, err := code.Read(i.code)
	if err != nil {
		return q, of, "", errors.New("--code: neither a code nor the id of one: every edge answers 400 to it")
	}
	signature = signatureUnchecked
	if i.keys != "" {
		keys, err := openKeys(i.keys, 0)
		if err != nil {
			return q, of, "", err
		}
		if _, err := keys.ring.Verify(i.code); err != nil {
			return q, of, "", fmt.Errorf("--code: no key of %s has signed it: an edge with these keys answers 400 to it", i.keys)
		}
		signature = signatureValid
	}
	return auditor.Question{Code: id, Item: claims.Item, User: claims.User, Expires: claims.Expires}, claims.Sale, signature, nil
}

// printExplanation prints text for people, or one line of JSON.
func printExplanation(out io.Writer, x *auditor.Explanation, signature string, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(struct {
			*auditor.Explanation

			Signature string `json:"signature,omitempty"`
		}{x, signature})
	}
	_, err := io.WriteString(out, explanationText(x, signature))
	return err
}
