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

// ErrTaken says that another sale has the number, the UUID, the time or some of
// the items of a sale.
var ErrTaken = errors.New("ledger: another sale is in its place")

// Adopt makes the row of a sale, in state Preparing, as its opening record says:
// the ledger was restored to before it was opened. A row of that number that was
// never opened gives way. A sale that is there already stays as it is. ErrTaken:
// nothing was changed.
func (l *Ledger) Adopt(ctx context.Context, of sale.Sale) (err error) {
	defer during(&err, "taking sale %d over", of.ID)
	return l.pool.inTransaction(ctx, pgx.TxOptions{}, func(tx transaction) error {
		if _, err := done(ctx, tx, "lock_installation", nil); err != nil {
			return err
		}
		made, err := done(ctx, tx, "adopt_sale", params{
			"sale": of.ID, "uuid": of.UUID, "installation": of.Installation, "opens_at": of.OpensAt, "stock": of.Stock,
			"user_limit": of.UserLimit, "first_item": of.FirstItem, "seed": int64(of.Seed), "rules": of.Rules,
		})
		if err != nil || made {
			return err
		}
		there, err := one(ctx, tx, "adopted", params{"sale": of.ID, "uuid": of.UUID}, pgx.RowTo[bool])
		if err == nil && !there {
			err = ErrTaken
		}
		return err
	})
}

// NextSlot returns how long it is until the next slot begins, by the
// database's clock.
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
func (l *Ledger) Sale(ctx context.Context, id sale.ID) (SaleRow, error) {
	return l.oneSale(ctx, params{"sale": id, "item": nil, "uuid": nil})
}

// SaleOfItem returns the sale that the item belongs to, or ErrNotFound.
func (l *Ledger) SaleOfItem(ctx context.Context, item sale.ItemID) (SaleRow, error) {
	return l.oneSale(ctx, params{"sale": nil, "item": item, "uuid": nil})
}

// SaleOfUUID returns the sale with the UUID, or ErrNotFound.
func (l *Ledger) SaleOfUUID(ctx context.Context, id sale.UUID) (SaleRow, error) {
	return l.oneSale(ctx, params{"sale": nil, "item": nil, "uuid": id})
}

// SalesOf returns the sales with these UUIDs and those that these items belong
// to, in no order; what there is no sale for has none.
func (l *Ledger) SalesOf(ctx context.Context, uuids []sale.UUID, items []sale.ItemID) (_ []SaleRow, err error) {
	defer during(&err, "looking for sales")
	return all(ctx, l.pool, "sales_of", params{"uuids": uuids, "items": items}, scanSale)
}

func (l *Ledger) oneSale(ctx context.Context, by params) (_ SaleRow, err error) {
	defer during(&err, "reading a sale")
	return one(ctx, l.pool, "sale", by, scanSale)
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
