package ledger

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"notsale/pkg/allocation"
	"notsale/pkg/sale"
)

// SaleRow is a sale with what changes about it.
type SaleRow struct {
	Sale  sale.Sale
	State sale.State
	Sold  int // items with an owner
}

// Template is what a new sale is made from.
type Template struct {
	Every     time.Duration // length of a slot
	Stock     int
	UserLimit int
	Seed      uint64 // of the catalogue, fresh for each sale
	// Other is a clock that the database's must agree with to MaxClockSkew; zero:
	// it is believed.
	Other Reading
}

// Reading is what a clock said when this process's clock said At.
type Reading struct{ Clock, At time.Time }

// now is what the clock says now.
func (r Reading) now() time.Time { return r.Clock.Add(time.Since(r.At)) }

// MaxClockSkew is how much two clocks may differ that a sale's opening is dated
// by: much more than the time of a request, much less than a slot.
const MaxClockSkew = time.Minute

// ErrClocks says that two clocks differ too much to open a sale by.
var ErrClocks = errors.New("ledger: the clocks of Postgres and NATS differ")

// OpenSlot makes the row of the current slot's sale, in state Preparing, unless
// it exists. Slots that were missed are not made up. It reports whether a row
// was made; any number of schedulers may call it at once. ErrClocks: it cannot be
// told which slot it is, and no row was made.
func (l *Ledger) OpenSlot(ctx context.Context, t Template) (made bool, err error) {
	err = pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT id FROM installation FOR UPDATE`); err != nil {
			return err
		}
		var now time.Time
		if err := tx.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&now); err != nil {
			return err
		}
		if other := t.Other; !other.At.IsZero() && now.Sub(other.now()).Abs() > MaxClockSkew {
			return fmt.Errorf("%w: Postgres says %v, NATS %v", ErrClocks, now.UTC(), other.now().UTC())
		}
		tag, err := tx.Exec(ctx, sqlOpenSlot, t.Every.Seconds(), t.Stock, t.UserLimit, int64(t.Seed), sale.RulesVersion, now)
		made = tag.RowsAffected() == 1
		return err
	})
	if err != nil {
		return false, fmt.Errorf("ledger: opening the slot's sale: %w", err)
	}
	return made, nil
}

// NextSlot returns how long it is until the next slot begins, by the
// database's clock.
func (l *Ledger) NextSlot(ctx context.Context, every time.Duration) (time.Duration, error) {
	var seconds float64
	err := l.pool.QueryRow(ctx, `SELECT ($1::numeric - mod(extract(epoch FROM clock_timestamp()), $1::numeric))::double precision`, every.Seconds()).Scan(&seconds)
	if err != nil {
		return 0, fmt.Errorf("ledger: reading the database's clock: %w", err)
	}
	return time.Duration(seconds * float64(time.Second)), nil
}

// MarkOpen gives a prepared sale its first cursor and opens it. It may be
// repeated.
func (l *Ledger) MarkOpen(ctx context.Context, id sale.ID, genesis allocation.Cursor, streamCreated time.Time) error {
	c := &genesis
	_, err := l.pool.Exec(ctx, sqlMarkOpen, int64(id), c.Generation, int64(c.Sequence), c.Position, c.Sold,
		c.Chain[:], c.PackHash[:], c.PackTime.Time(), c.Now.Time(), streamCreated)
	if err != nil {
		return fmt.Errorf("ledger: opening sale %d: %w", id, err)
	}
	return nil
}

// Sales returns at most limit sales with numbers below before (0: all), newest
// first.
func (l *Ledger) Sales(ctx context.Context, before sale.ID, limit int) ([]SaleRow, error) {
	if before == 0 {
		before = math.MaxInt64
	}
	rows, err := l.pool.Query(ctx, sqlSales, int64(before), limit)
	if err != nil {
		return nil, fmt.Errorf("ledger: reading sales: %w", err)
	}
	sales, err := pgx.CollectRows(rows, scanSale)
	if err != nil {
		return nil, fmt.Errorf("ledger: reading sales: %w", err)
	}
	return sales, nil
}

// UnsoldSales returns the numbers of the sales that are opening or still sell.
func (l *Ledger) UnsoldSales(ctx context.Context) ([]sale.ID, error) {
	rows, err := l.pool.Query(ctx, sqlUnsoldSales)
	if err != nil {
		return nil, fmt.Errorf("ledger: reading which sales still sell: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[sale.ID])
	if err != nil {
		return nil, fmt.Errorf("ledger: reading which sales still sell: %w", err)
	}
	return ids, nil
}

// Sale returns the sale with the number, or ErrNotFound.
func (l *Ledger) Sale(ctx context.Context, id sale.ID) (SaleRow, error) {
	return l.oneSale(ctx, int64(id), nil, nil)
}

// SaleOfItem returns the sale that the item belongs to, or ErrNotFound.
func (l *Ledger) SaleOfItem(ctx context.Context, item sale.ItemID) (SaleRow, error) {
	return l.oneSale(ctx, nil, int64(item), nil)
}

// SaleOfUUID returns the sale with the UUID, or ErrNotFound.
func (l *Ledger) SaleOfUUID(ctx context.Context, id sale.UUID) (SaleRow, error) {
	return l.oneSale(ctx, nil, nil, [16]byte(id))
}

// SalesOf returns the sales with these UUIDs and those that these items belong
// to, in no order; what there is no sale for has none.
func (l *Ledger) SalesOf(ctx context.Context, uuids []sale.UUID, items []sale.ItemID) ([]SaleRow, error) {
	ids, numbers := make([][16]byte, len(uuids)), make([]int64, len(items))
	for i, id := range uuids {
		ids[i] = id
	}
	for i, item := range items {
		numbers[i] = int64(item)
	}
	rows, err := l.pool.Query(ctx, sqlSalesOf, ids, numbers)
	if err != nil {
		return nil, fmt.Errorf("ledger: looking for sales: %w", err)
	}
	sales, err := pgx.CollectRows(rows, scanSale)
	if err != nil {
		return nil, fmt.Errorf("ledger: looking for sales: %w", err)
	}
	return sales, nil
}

func (l *Ledger) oneSale(ctx context.Context, by ...any) (SaleRow, error) {
	rows, err := l.pool.Query(ctx, sqlSale, by...)
	if err != nil {
		return SaleRow{}, fmt.Errorf("ledger: reading a sale: %w", err)
	}
	row, err := pgx.CollectExactlyOneRow(rows, scanSale)
	if errors.Is(err, pgx.ErrNoRows) {
		return SaleRow{}, ErrNotFound
	}
	if err != nil {
		return SaleRow{}, fmt.Errorf("ledger: reading a sale: %w", err)
	}
	return row, nil
}

func scanSale(row pgx.CollectableRow) (SaleRow, error) {
	var (
		r                  SaleRow
		uuid, installation [16]byte
		opensAt            time.Time
		seed               int64
	)
	s := &r.Sale
	err := row.Scan(&s.ID, &uuid, &installation, &opensAt, &s.Stock, &s.UserLimit, &s.FirstItem, &seed, &s.Rules, &r.State, &r.Sold)
	s.UUID, s.Installation, s.OpensAt, s.Seed = uuid, installation, opensAt.UTC(), uint64(seed)
	return r, err
}

// SoldItems returns which items from first to last have an owner, in order.
func (l *Ledger) SoldItems(ctx context.Context, first, last sale.ItemID) ([]sale.ItemID, error) {
	rows, err := l.pool.Query(ctx, sqlSoldItems, int64(first), int64(last))
	if err != nil {
		return nil, fmt.Errorf("ledger: reading sold items: %w", err)
	}
	items, err := pgx.CollectRows(rows, pgx.RowTo[sale.ItemID])
	if err != nil {
		return nil, fmt.Errorf("ledger: reading sold items: %w", err)
	}
	return items, nil
}
