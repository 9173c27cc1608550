package ledger

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"notsale/pkg/sale"
)

// Snapshot is what the ledger says of one sale at one instant. What is left
// out, decisions and commits up to the cursor and attempts, is never changed
// once it is written, so it can be read afterwards.
type Snapshot struct {
	Sale     SaleRow
	Position Position
	Holes    []HoleRow // by generation
	Items    []ItemRow // by item
	Beyond   []RowKey  // rows that no commit up to the cursor wrote, at most maxBeyond
}

// RowKey names a row of a table.
type RowKey struct {
	Table, Key string
	Position   int64
}

// maxBeyond bounds how many rows beyond the cursor a snapshot names.
const maxBeyond = 1000

// Snapshot reads what stands of the sale, in one read-only transaction that
// sees one instant. ErrNotFound: no such sale, or it was never opened.
func (l *Ledger) Snapshot(ctx context.Context, id sale.ID) (s Snapshot, err error) {
	err = l.pool.inTransaction(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx transaction) error {
		return s.read(ctx, tx, l.name, id)
	})
	if errors.Is(err, ErrNotFound) {
		return Snapshot{}, fmt.Errorf("%w: sale %d, or its cursor", ErrNotFound, id)
	}
	during(&err, "reading sale %d for an audit", id)
	return s, err
}

func (s *Snapshot) read(ctx context.Context, tx transaction, name string, id sale.ID) (err error) {
	if s.Sale, err = one(ctx, tx, "sale", params{"sale": id, "item": nil, "uuid": nil}, scanSale); err != nil {
		return err
	}
	if s.Position, err = one(ctx, tx, "cursor", params{"sale": id, "holder": name}, scanCursor); err != nil {
		return err
	}
	if s.Holes, err = all(ctx, tx, "audit_holes", params{"sale": id}, scanHole); err != nil {
		return err
	}
	of := &s.Sale.Sale
	if s.Items, err = all(ctx, tx, "audit_items", params{"sale": id, "first": of.FirstItem, "last": of.LastItem()}, scanItem); err != nil {
		return err
	}
	c := &s.Position.Cursor
	s.Beyond, err = all(ctx, tx, "audit_beyond",
		params{"sale": id, "position": c.Position, "generation": c.Generation, "sequence": c.Sequence, "most": maxBeyond}, pgx.RowToStructByName[RowKey])
	return err
}
