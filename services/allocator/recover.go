package allocator

import (
	"context"
	"errors"
	"fmt"

	"notsale/pkg/allocation"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
)

// recover builds the engine from the ledger and opens a reader at the cursor,
// whose message must be the one that the cursor was committed with.
func (l *loop) recover(ctx context.Context) error {
	id := l.lease.Sale
	pos, err := l.ledger.Cursor(ctx, id)
	if err != nil {
		return err
	}
	if pos.Epoch != l.lease.Epoch {
		return ledger.ErrFenced
	}
	s, err := l.opening(ctx, pos)
	if err != nil {
		return err
	}
	info, err := l.stream.Info(ctx, id)
	if err != nil {
		return l.lost(err)
	}
	if info.Last < pos.Cursor.Sequence {
		return l.lost(fmt.Errorf("%w: the stream ends at %d, the ledger at %d", stream.ErrLost, info.Last, pos.Cursor.Sequence))
	}
	l.engine, err = allocation.Restore(s, pos.Cursor, l.ledger.Decisions(ctx, id, 0), int(min(pos.Cursor.Position, maxExpected)))
	if err != nil {
		return err
	}
	return l.open(ctx, pos.Cursor)
}

// maxExpected bounds the memory that recovery asks for ahead of reading.
const maxExpected = 1 << 20

// opening reads the opening record and checks that it is this ledger's sale.
func (l *loop) opening(ctx context.Context, pos ledger.Position) (sale.Sale, error) {
	row, err := l.ledger.Sale(ctx, l.lease.Sale)
	if err != nil {
		return sale.Sale{}, err
	}
	opening, err := l.stream.Opening(ctx, l.lease.Sale)
	switch {
	case errors.Is(err, stream.ErrLost):
		return sale.Sale{}, l.lost(err)
	case errors.Is(err, wire.ErrVersion):
		return sale.Sale{}, errors.Join(errStop, l.alarm("newer-version", err))
	case err != nil:
		return sale.Sale{}, err
	case opening.Sale != row.Sale:
		return sale.Sale{}, errors.Join(errStop, l.alarm("foreign-stream", stream.ErrForeign))
	case opening.Sale.Rules != sale.RulesVersion:
		return sale.Sale{}, errors.Join(errStop, l.alarm("newer-version", fmt.Errorf("rules version %d", opening.Sale.Rules)))
	case !opening.Created.Truncate(streamTimeUnit).Equal(pos.StreamCreated.Truncate(streamTimeUnit)):
		return sale.Sale{}, l.lost(fmt.Errorf("%w: the stream was made again at %v", stream.ErrLost, opening.Created))
	}
	return opening.Sale, nil
}

// open opens a reader at the cursor and checks its first message: a stream
// that lost its tail hands out the same sequences again without any error.
func (l *loop) open(ctx context.Context, c allocation.Cursor) error {
	reader, err := l.stream.Read(ctx, l.lease.Sale, c.Sequence)
	if err != nil {
		return l.lost(err)
	}
	select {
	case <-ctx.Done():
		reader.Stop()
		return ctx.Err()
	case m, open := <-reader.Messages():
		if !open {
			err := reader.Err()
			reader.Stop()
			return err
		}
		if m.Sequence != c.Sequence || m.Time != c.PackTime || m.Hash() != [32]byte(c.PackHash) {
			reader.Stop()
			return l.lost(fmt.Errorf("%w: message %d is not the one that was decided", stream.ErrLost, c.Sequence))
		}
	}
	l.reader = reader
	return nil
}

// lost raises the alarm where the stream lost something, and passes any other
// error through.
func (l *loop) lost(err error) error {
	if errors.Is(err, stream.ErrLost) {
		return errors.Join(errStop, l.alarm("lost-tail", err))
	}
	return err
}
