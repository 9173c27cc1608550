package ledger

import (
	"context"
	_ "embed" // the statements
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"notsale/pkg/allocation"
	"notsale/pkg/sale"
)

var (
	//go:embed queries/archive_start.sql
	sqlArchiveStart string
	//go:embed queries/archive_close.sql
	sqlArchiveClose string
	//go:embed queries/archive_finish.sql
	sqlArchiveFinish string
	//go:embed queries/archive_of.sql
	sqlArchiveOf string
	//go:embed queries/archiver_hold.sql
	sqlArchiverHold string
	//go:embed queries/archiver_release.sql
	sqlArchiverRelease string
	//go:embed queries/archiver_next.sql
	sqlArchiverNext string
)

// ErrNotSoldOut says that a sale cannot be archived because it still sells.
var ErrNotSoldOut = errors.New("ledger: only a sold-out sale can be archived")

// ErrArchive says that what is to be archived is not what the ledger holds.
var ErrArchive = errors.New("ledger: the archive does not fit the ledger")

// Archive says what stands in the archive of a sale, whose streams may be
// removed because of it.
type Archive struct {
	Manifest [32]byte        // SHA-256 of the archive's manifest
	Sequence uint64          // last message of the sale's stream
	Attempts uint64          // last message of its stream of attempts, 0 if it has none
	Chain    allocation.Hash // of the sale's cursor, which stands at Sequence
	At       time.Time       // when the sale was archived, by the database's clock
}

// StartArchiving says of a sold-out sale that its streams take nothing more.
// Of one that is being archived, or is archived, it changes nothing.
// ErrNotFound: there is no such sale. ErrNotSoldOut: it still sells.
func (l *Ledger) StartArchiving(ctx context.Context, id sale.ID) error {
	tag, err := l.pool.Exec(ctx, sqlArchiveStart, int64(id))
	if err != nil {
		return fmt.Errorf("ledger: archiving sale %d: %w", id, err)
	}
	if tag.RowsAffected() == 1 {
		return nil
	}
	row, err := l.Sale(ctx, id)
	if err != nil {
		return fmt.Errorf("ledger: archiving sale %d: %w", id, err)
	}
	if !row.State.Closed() {
		return fmt.Errorf("%w: sale %d is in state %s, with %d of %d items sold", ErrNotSoldOut, id, row.State, row.Sold, row.Sale.Stock)
	}
	return nil
}

// FinishArchiving says that the sale is in an archive, so that its streams may
// be removed; At is not used. From then on no allocator has the sale, and one
// that had it is fenced. Repeated with the same values it changes nothing.
// ErrArchive: the sale's cursor does not stand where the archive ends, the sale
// is not being archived, or it has another archive; nothing was changed.
func (l *Ledger) FinishArchiving(ctx context.Context, id sale.ID, a Archive) error {
	started := true
	err := pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, sqlArchiveClose, int64(id)) // first the sale's row, as Take does
		if started = err != nil || tag.RowsAffected() == 1; err != nil || !started {
			return err
		}
		tag, err = tx.Exec(ctx, sqlArchiveFinish, int64(id), a.Manifest[:], int64(a.Sequence), int64(a.Attempts), a.Chain[:])
		if err == nil && tag.RowsAffected() == 0 {
			err = fmt.Errorf("%w: its cursor is not at message %d with chain %x", ErrArchive, a.Sequence, a.Chain)
		}
		return err
	})
	if !started {
		err = l.sameArchive(ctx, id, a)
	}
	if err != nil {
		return fmt.Errorf("ledger: archiving sale %d: %w", id, err)
	}
	return nil
}

// sameArchive reports why a sale that is not being archived has not just this
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

// ArchiveOf returns what stands in the archive of a sale, or ErrNotFound where
// it has none.
func (l *Ledger) ArchiveOf(ctx context.Context, id sale.ID) (Archive, error) {
	var (
		a                  Archive
		manifest, chain    []byte
		sequence, attempts int64
	)
	err := l.pool.QueryRow(ctx, sqlArchiveOf, int64(id)).Scan(&manifest, &sequence, &attempts, &chain, &a.At)
	if errors.Is(err, pgx.ErrNoRows) {
		return Archive{}, ErrNotFound
	}
	if err != nil {
		return Archive{}, fmt.Errorf("ledger: reading the archive of sale %d: %w", id, err)
	}
	copy(a.Manifest[:], manifest)
	copy(a.Chain[:], chain)
	a.Sequence, a.Attempts, a.At = uint64(sequence), uint64(attempts), a.At.UTC()
	return a, nil
}

// HoldArchiving takes the lease of the archivers for this one, or renews it. It
// reports whether this one has it.
func (l *Ledger) HoldArchiving(ctx context.Context, name string, ttl time.Duration) (held bool, err error) {
	tag, err := l.pool.Exec(ctx, sqlArchiverHold, name, ttl.Seconds())
	if err != nil {
		return false, fmt.Errorf("ledger: holding the archiver's lease: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

// ReleaseArchiving gives the lease of the archivers back, if this one has it.
func (l *Ledger) ReleaseArchiving(ctx context.Context, name string) error {
	if _, err := l.pool.Exec(ctx, sqlArchiverRelease, name); err != nil {
		return fmt.Errorf("ledger: giving the archiver's lease back: %w", err)
	}
	return nil
}

// SaleToArchive returns which of these sales is to be archived next: one whose
// archiving was interrupted, else the first that has been sold out for so long;
// 0: none.
func (l *Ledger) SaleToArchive(ctx context.Context, among []sale.ID, after time.Duration) (id sale.ID, err error) {
	err = l.pool.QueryRow(ctx, sqlArchiverNext, among, after.Seconds()).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("ledger: looking for a sale to archive: %w", err)
	}
	return id, nil
}
