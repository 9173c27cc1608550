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
	// Newest is the number of a sale that is known to have been made; 0: none is.
	Newest sale.ID
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

// ErrWentBack says that the ledger lacks a sale that was in it: it was restored
// from a backup.
var ErrWentBack = errors.New("ledger: it was put back to before a sale was opened")

// OpenSlot makes the row of the current slot's sale, in state Preparing, unless
// it exists. Slots that were missed are not made up. It reports whether a row
// was made; any number of schedulers may call it at once. ErrClocks: it cannot be
// told which slot it is, ErrWentBack: t.Newest is not there, and its number is not
// given away; no row was made.
func (l *Ledger) OpenSlot(ctx context.Context, t Template) (made bool, err error) {
	err = pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT id FROM installation FOR UPDATE`); err != nil {
			return err
		}
		var (
			now    time.Time
			newest sale.ID
		)
		if err := tx.QueryRow(ctx, `SELECT clock_timestamp(), (SELECT COALESCE(max(sale_id), 0) FROM sales)`).Scan(&now, &newest); err != nil {
			return err
		}
		if newest < t.Newest {
			return fmt.Errorf("%w: its newest sale is %d, and there was a sale %d", ErrWentBack, newest, t.Newest)
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

// ErrTaken says that another sale has the number, the UUID, the time or some of
// the items of a sale.
var ErrTaken = errors.New("ledger: another sale is in its place")

// Adopt makes the row of a sale, in state Preparing, as its opening record says:
// the ledger was restored to before it was opened. A row of that number that was
// never opened gives way. A sale that is there already stays as it is. ErrTaken:
// nothing was changed.
func (l *Ledger) Adopt(ctx context.Context, of sale.Sale) error {
	err := pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT id FROM installation FOR UPDATE`); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, sqlAdoptSale, int64(of.ID), [16]byte(of.UUID), [16]byte(of.Installation), of.OpensAt,
			of.Stock, of.UserLimit, int64(of.FirstItem), int64(of.Seed), of.Rules)
		if err != nil || tag.RowsAffected() == 1 {
			return err
		}
		var there bool
		err = tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM sales WHERE sale_id = $1 AND sale_uuid = $2)`, int64(of.ID), [16]byte(of.UUID)).Scan(&there)
		if err == nil && !there {
			err = ErrTaken
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("ledger: taking sale %d over: %w", of.ID, err)
	}
	return nil
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
