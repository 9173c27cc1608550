package ledger

import (
	"context"
	_ "embed" // the statements
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"notsale/pkg/sale"
)

//go:embed queries/audit_beyond.sql
var sqlAuditBeyond string

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
	err = pgx.BeginTxFunc(ctx, l.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		return s.read(ctx, tx, l.name, id)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return Snapshot{}, fmt.Errorf("%w: sale %d, or its cursor", ErrNotFound, id)
	}
	if err != nil {
		return Snapshot{}, fmt.Errorf("ledger: reading sale %d for an audit: %w", id, err)
	}
	return s, nil
}

func (s *Snapshot) read(ctx context.Context, tx pgx.Tx, name string, id sale.ID) error {
	rows, err := tx.Query(ctx, sqlSale, int64(id), nil, nil)
	if err != nil {
		return err
	}
	if s.Sale, err = pgx.CollectExactlyOneRow(rows, scanSale); err != nil {
		return err
	}
	if s.Position, err = scanCursor(tx.QueryRow(ctx, sqlCursor, int64(id), name)); err != nil {
		return err
	}
	if rows, err = tx.Query(ctx, sqlAuditHoles, int64(id)); err != nil {
		return err
	}
	if s.Holes, err = pgx.CollectRows(rows, scanHole); err != nil {
		return err
	}
	of := s.Sale.Sale
	if rows, err = tx.Query(ctx, sqlAuditItems, int64(id), int64(of.FirstItem), int64(of.LastItem())); err != nil {
		return err
	}
	if s.Items, err = pgx.CollectRows(rows, scanItem); err != nil {
		return err
	}
	c := &s.Position.Cursor
	if rows, err = tx.Query(ctx, sqlAuditBeyond, int64(id), c.Position, c.Generation, int64(c.Sequence), maxBeyond); err != nil {
		return err
	}
	s.Beyond, err = pgx.CollectRows(rows, pgx.RowToStructByPos[RowKey])
	return err
}
