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

// Template is what a new sale is made of.
type Template struct {
	Every     time.Duration // length of a slot
	Stock     int
	UserLimit int
	Seed      uint64 // of the catalogue, fresh for each sale
	// Newest is the number of a sale that is known to exist; 0: none is.
	Newest sale.ID
	// Other is a clock from which the database's may differ by MaxClockSkew at most;
	// zero: there is none to compare with.
	Other Reading
}

// Reading is what a clock said when this process's clock said At.
type Reading struct{ Clock, At time.Time }

// now returns what the clock says now.
func (r Reading) now() time.Time { return r.Clock.Add(time.Since(r.At)) }

// MaxClockSkew is how much the two clocks that date the opening of a sale may
// differ: much more than a request takes, much less than a slot.
const MaxClockSkew = time.Minute

// ErrClocks says that two clocks differ too much to open a sale.
var ErrClocks = errors.New("ledger: the clocks of Postgres and NATS differ")

// ErrWentBack says that the ledger lacks a sale that it had: it was restored from a
// backup.
var ErrWentBack = errors.New("ledger: it was put back to before a sale was opened")

// OpenSlot makes the row of the current slot's sale, in state Preparing, unless
// it exists. Missed slots are not made up. It reports whether it made a row; any
// number of schedulers may call it at once. ErrClocks: it is not certain which slot
// is the current one. ErrWentBack: t.Newest is missing, and its number is not given
// to another sale. After either, no row was made.
func (l *Ledger) OpenSlot(ctx context.Context, t Template) (made bool, err error) {
	defer during(&err, "opening the slot's sale")
	err = l.pool.inTransaction(ctx, pgx.TxOptions{}, func(tx transaction) error {
		if _, err := done(ctx, tx, "lock_installation", nil); err != nil {
			return err
		}
		there, err := one(ctx, tx, "clock", nil, pgx.RowToStructByName[struct {
			Now    time.Time
			Newest sale.ID
		}])
		if err != nil {
			return err
		}
		if there.Newest < t.Newest {
			return fmt.Errorf("%w: its newest sale is %d, and there was a sale %d", ErrWentBack, there.Newest, t.Newest)
		}
		if other := t.Other; !other.At.IsZero() && there.Now.Sub(other.now()).Abs() > MaxClockSkew {
			return fmt.Errorf("%w: Postgres says %v, NATS %v", ErrClocks, there.Now.UTC(), other.now().UTC())
		}
		made, err = done(ctx, tx, "open_slot", params{
			"every": t.Every.Seconds(), "stock": t.Stock, "user_limit": t.UserLimit, "seed": int64(t.Seed), "rules": sale.RulesVersion, "now": there.Now,
		})
		return err
	})
	return made && err == nil, err
}

// ErrTaken says that another sale has a sale's number, UUID, time or some of its
// items.
var ErrTaken = errors.New("ledger: another sale is in its place")

// Adopt makes the row of a sale from its opening record, in state Preparing: the
// ledger was restored to before the sale opened. It replaces a row of that number
// whose sale never opened. A sale that is there already stays as it is. ErrTaken:
// nothing was changed.
func (l *Ledger) Adopt(ctx context.Context, s sale.Sale) (err error) {
	defer during(&err, "taking sale %d over", s.ID)
	return l.pool.inTransaction(ctx, pgx.TxOptions{}, func(tx transaction) error {
		if _, err := done(ctx, tx, "lock_installation", nil); err != nil {
			return err
		}
		made, err := done(ctx, tx, "adopt_sale", params{
			"sale": s.ID, "uuid": s.UUID, "installation": s.Installation, "opens_at": s.OpensAt, "stock": s.Stock,
			"user_limit": s.UserLimit, "first_item": s.FirstItem, "seed": int64(s.Seed), "rules": s.Rules,
		})
		if err != nil || made {
			return err
		}
		there, err := one(ctx, tx, "adopted", params{"sale": s.ID, "uuid": s.UUID}, pgx.RowTo[bool])
		if err == nil && !there {
			err = ErrTaken
		}
		return err
	})
}

// NextSlot returns the time until the next slot begins, by the database's clock.
func (l *Ledger) NextSlot(ctx context.Context, every time.Duration) (_ time.Duration, err error) {
	defer during(&err, "reading the database's clock")
	seconds, err := one(ctx, l.pool, "next_slot", params{"every": every.Seconds()}, pgx.RowTo[float64])
	return time.Duration(seconds * float64(time.Second)), err
}

// MarkOpen gives a prepared sale its first cursor and opens it. It may be
// repeated.
func (l *Ledger) MarkOpen(ctx context.Context, id sale.ID, genesis allocation.Cursor, streamCreated time.Time) (err error) {
	defer during(&err, "opening sale %d", id)
	c := &genesis
	_, err = done(ctx, l.pool, "mark_open", params{
		"sale": id, "generation": c.Generation, "sequence": c.Sequence, "position": c.Position, "sold": c.Sold, "chain": c.Chain[:],
		"pack_hash": c.PackHash[:], "pack_time": c.PackTime.Time(), "engine_time": c.Now.Time(), "stream_created": streamCreated,
	})
	return err
}

// Sales returns at most limit sales with numbers below before (0: all), newest
// first.
func (l *Ledger) Sales(ctx context.Context, before sale.ID, limit int) (_ []SaleRow, err error) {
	defer during(&err, "reading sales")
	if before == 0 {
		before = math.MaxInt64
	}
	return all(ctx, l.pool, "sales", params{"below": before, "most": limit}, scanSale)
}

// UnsoldSales returns the numbers of the sales that are opening or still sell.
func (l *Ledger) UnsoldSales(ctx context.Context) (_ []sale.ID, err error) {
	defer during(&err, "reading which sales still sell")
	return all(ctx, l.pool, "unsold_sales", nil, pgx.RowTo[sale.ID])
}

// Sale returns the sale with the number, or ErrNotFound.
func (l *Ledger) Sale(ctx context.Context, id sale.ID) (_ SaleRow, err error) {
	defer during(&err, "reading a sale")
	return one(ctx, l.pool, "sale", params{"sale": id}, scanSale)
}

// SaleOfItem returns the sale that the item belongs to, or ErrNotFound.
func (l *Ledger) SaleOfItem(ctx context.Context, item sale.ItemID) (SaleRow, error) {
	return single(l.SalesOf(ctx, nil, []sale.ItemID{item}))
}

// SaleOfUUID returns the sale with the UUID, or ErrNotFound.
func (l *Ledger) SaleOfUUID(ctx context.Context, id sale.UUID) (SaleRow, error) {
	return single(l.SalesOf(ctx, []sale.UUID{id}, nil))
}

func single(rows []SaleRow, err error) (SaleRow, error) {
	if err == nil && len(rows) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return SaleRow{}, err
	}
	return rows[0], nil
}

// SalesOf returns the sales with these UUIDs and those that have these items, in no
// order. It leaves out what no sale has.
func (l *Ledger) SalesOf(ctx context.Context, uuids []sale.UUID, items []sale.ItemID) (_ []SaleRow, err error) {
	defer during(&err, "looking for sales")
	return all(ctx, l.pool, "sales_of", params{"uuids": uuids, "items": items}, scanSale)
}

func scanSale(row pgx.CollectableRow) (r SaleRow, err error) {
	s := &r.Sale
	var seed int64
	err = into{
		"sale_id": &s.ID, "sale_uuid": &s.UUID, "installation": &s.Installation, "opens_at": &s.OpensAt, "stock": &s.Stock, "user_limit": &s.UserLimit,
		"first_item": &s.FirstItem, "seed": &seed, "rules": &s.Rules, "state": &r.State, "sold": &r.Sold,
	}.scan(row)
	s.OpensAt, s.Seed = s.OpensAt.UTC(), uint64(seed)
	return r, err
}

// SoldItems returns which items from first to last have an owner, in order.
func (l *Ledger) SoldItems(ctx context.Context, first, last sale.ItemID) (_ []sale.ItemID, err error) {
	defer during(&err, "reading sold items")
	return all(ctx, l.pool, "sold_items", params{"first": first, "last": last}, pgx.RowTo[sale.ItemID])
}
