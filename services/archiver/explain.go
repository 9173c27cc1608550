package archiver

import (
	"context"
	"errors"
	"fmt"

	"notsale/pkg/code"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/services/auditor"
)

// Question asks what became of one code, or item, or user.
type Question struct {
	Code string // a code, or its id
	Item sale.ItemID
	User sale.UserID

	Sale sale.ID       // 0: that of the code or item
	Keys *code.Keyring // which must have signed the code; nil: its word is taken
}

// Validate reports a question that nobody can answer. archived: the sale is that of
// an archive.
func (q Question) Validate(archived bool) error {
	asked := 0
	for _, given := range []bool{q.Code != "", q.Item != 0, q.User != ""} {
		if given {
			asked++
		}
	}
	if asked != 1 {
		return errors.New("give one of --code C, --item N and --user U")
	}
	id, errID := code.ParseID(q.Code)
	_, errUser := sale.ParseUserID(string(q.User))
	switch {
	case errID == nil && id.IsZero():
		return errors.New("--code: no code has this id")
	case q.Item < 0 || q.Sale < 0:
		return errors.New("--item and --sale are positive numbers")
	case q.User != "" && errUser != nil:
		return fmt.Errorf("--user: %w", errUser)
	case q.Sale == 0 && !archived && (q.User != "" || errID == nil):
		return errors.New("give --sale N too: a user, or the id of a code, does not say which sale is meant")
	}
	return nil
}

// parse returns the question in the auditor's words, and the sale that a code names.
func (q Question) parse() (asked auditor.Question, of sale.UUID, err error) {
	asked = auditor.Question{Item: q.Item, User: q.User}
	if q.Code == "" {
		return asked, of, nil
	}
	if asked.Code, err = code.ParseID(q.Code); err == nil {
		return asked, of, nil
	}
	id, claims, err := code.Read(q.Code)
	if err != nil {
		return asked, of, errors.New("--code: neither a code nor the id of one: every edge answers 400 to it")
	}
	if q.Keys != nil {
		if _, err := q.Keys.Verify(q.Code); err != nil {
			return asked, of, errors.New("--code: none of --code-keys has signed it: an edge with these keys answers 400 to it")
		}
	}
	return auditor.Question{Code: id, Item: claims.Item, User: claims.User, Expires: claims.Expires}, claims.Sale, nil
}

var errNoSale = errors.New("neither the ledger nor an archive that was given has such a sale")

// SaleOf finds the sale of a question.
func (s Stores) SaleOf(ctx context.Context, q Question) (sale.ID, error) {
	_, of, err := q.parse()
	if err != nil {
		return 0, err
	}
	var row ledger.SaleRow
	switch {
	case q.Item != 0:
		row, err = s.Ledger.SaleOfItem(ctx, q.Item)
	case !of.IsZero():
		row, err = s.Ledger.SaleOfUUID(ctx, of)
	default:
		row, err = s.Ledger.Sale(ctx, q.Sale)
	}
	switch id := row.Sale.ID; {
	case errors.Is(err, ledger.ErrNotFound):
		return 0, errNoSale
	case err == nil && q.Sale != 0 && q.Sale != id:
		return 0, fmt.Errorf("--sale %d: what is asked about belongs to sale %d", q.Sale, id)
	}
	return row.Sale.ID, err
}

// Explain answers a question about the sale.
func (e *Evidence) Explain(ctx context.Context, q Question, o auditor.Options) (*auditor.Explanation, error) {
	asked, of, err := q.parse()
	if err != nil {
		return nil, err
	}
	s, err := e.rows.Snapshot(ctx, e.Sale)
	if err != nil {
		return nil, err
	}
	if here := s.Sale.Sale; q.Item != 0 && !here.Contains(q.Item) || !of.IsZero() && of != here.UUID {
		return nil, errNoSale
	}
	x, err := auditor.Explain(ctx, e.rows, e.messages, e.lookup, e.Sale, asked, o)
	if err != nil {
		return nil, fmt.Errorf("sale %d: %w", e.Sale, err)
	}
	return x, nil
}
