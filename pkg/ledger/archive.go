package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"notsale/pkg/allocation"
	"notsale/pkg/sale"
)

// ErrNotSoldOut says that a sale cannot be archived because it still sells.
var ErrNotSoldOut = errors.New("ledger: only a sold-out sale can be archived")

// ErrArchive says that what is to be archived is not what the ledger holds.
var ErrArchive = errors.New("ledger: the archive does not fit the ledger")

// Archive describes the archive of a sale, whose streams may be removed because of
// it.
type Archive struct {
	Manifest [32]byte        // SHA-256 of the archive's manifest
	Sequence uint64          // last message of the sale's stream
	Attempts uint64          // last message of its stream of attempts, 0 if it has none
	Chain    allocation.Hash // of the sale's cursor, which is at Sequence
	At       time.Time       // when the sale was archived, by the database's clock
}

// StartArchiving records that the streams of a sold-out sale take no more messages.
// If the sale is being archived, or is archived, it changes nothing.
// ErrNotFound: there is no such sale. ErrNotSoldOut: it still sells.
func (l *Ledger) StartArchiving(ctx context.Context, id sale.ID) error {
	started, err := done(ctx, l.pool, "archive_start", params{"sale": id})
	var row SaleRow
	if err == nil && !started {
		row, err = l.Sale(ctx, id)
	}
	if err != nil {
		return fmt.Errorf("ledger: archiving sale %d: %w", id, err)
	}
	if !started && !row.State.Closed() {
		return fmt.Errorf("%w: sale %d is in state %s, with %d of %d items sold", ErrNotSoldOut, id, row.State, row.Sold, row.Sale.Stock)
	}
	return nil
}

// FinishArchiving records that the sale is in an archive, so that its streams may
// be removed; At is not used. From then on no allocator has the sale, and one
// that had it is fenced. Repeated with the same values it changes nothing.
// ErrArchive: the sale's cursor is not where the archive ends, the sale is not being
// archived, or it has another archive; nothing was changed.
func (l *Ledger) FinishArchiving(ctx context.Context, id sale.ID, a Archive) (err error) {
	defer during(&err, "archiving sale %d", id)
	started := true
	err = l.pool.inTransaction(ctx, pgx.TxOptions{}, func(tx transaction) (err error) {
		started, err = done(ctx, tx, "archive_close", params{"sale": id}) // locks the sale's row first, as Take does
		if err != nil || !started {
			return err
		}
		there, err := done(ctx, tx, "archive_finish", params{
			"sale": id, "manifest": a.Manifest[:], "sequence": a.Sequence, "attempts": a.Attempts, "chain": a.Chain[:],
		})
		if err == nil && !there {
			err = fmt.Errorf("%w: its cursor is not at message %d with chain %x", ErrArchive, a.Sequence, a.Chain)
		}
		return err
	})
	if err == nil && !started {
		err = l.sameArchive(ctx, id, a)
	}
	return err
}

// sameArchive returns nil if a sale that is not being archived has just this
// archive.
func (l *Ledger) sameArchive(ctx context.Context, id sale.ID, a Archive) error {
	had, err := l.ArchiveOf(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return fmt.Errorf("%w: its archiving was not started", ErrArchive)
	}
	if err != nil {
		return err
	}
	if a.At = had.At; a != had {
		return fmt.Errorf("%w: it has another archive, of manifest %x", ErrArchive, had.Manifest)
	}
	return nil
}

// ArchiveOf returns the archive of a sale, or ErrNotFound if it has none.
func (l *Ledger) ArchiveOf(ctx context.Context, id sale.ID) (_ Archive, err error) {
	defer during(&err, "reading the archive of sale %d", id)
	return one(ctx, l.pool, "archive_of", params{"sale": id}, func(row pgx.CollectableRow) (a Archive, err error) {
		err = into{
			"manifest": (*hash)(&a.Manifest), "sequence": &a.Sequence, "attempts": &a.Attempts, "chain": (*hash)(&a.Chain), "archived_at": &a.At,
		}.scan(row)
		a.At = a.At.UTC()
		return a, err
	})
}

// HoldArchiving takes the archivers' lease for this archiver, or renews it. It
// reports whether this archiver has it.
func (l *Ledger) HoldArchiving(ctx context.Context, name string, ttl time.Duration) (held bool, err error) {
	defer during(&err, "holding the archiver's lease")
	return done(ctx, l.pool, "archiver_hold", params{"holder": name, "ttl": ttl.Seconds()})
}

// ReleaseArchiving gives the archivers' lease back, if this archiver has it.
func (l *Ledger) ReleaseArchiving(ctx context.Context, name string) (err error) {
	defer during(&err, "giving the archiver's lease back")
	_, err = done(ctx, l.pool, "archiver_release", params{"holder": name})
	return err
}

// SaleToArchive returns which of these sales to archive next: one whose archiving
// was interrupted, else the first that was sold out at least so long ago; 0: none.
func (l *Ledger) SaleToArchive(ctx context.Context, among []sale.ID, after time.Duration) (id sale.ID, err error) {
	defer during(&err, "looking for a sale to archive")
	id, err = one(ctx, l.pool, "archiver_next", params{"among": among, "after": after.Seconds()}, pgx.RowTo[sale.ID])
	if errors.Is(err, ErrNotFound) {
		return 0, nil
	}
	return id, err
}
