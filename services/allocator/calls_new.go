package allocator

import (
	"context"
	"time"

	"notsale/pkg/allocation"
	"notsale/pkg/crash"
	"notsale/pkg/ledger"
	"notsale/pkg/rejection"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
)

// calls are the ports of one loop on real servers: each call has a limit, is seen
// from outside while it lasts, and is where a test may kill the process.
type calls struct {
	*Allocator
	progress *progress
	room     []allocation.Decision // of the last page, reused
}

// Limits of calls, after which a dead connection is given up.
const (
	// ledgerTimeout is more than the server lets a statement take, and a session to
	// be made. A healthy ledger commits in milliseconds; one whose disk takes 3 s for
	// a flush commits in six.
	ledgerTimeout = ledger.DefaultPatience + 5*time.Second
	// streamTimeout is more than a call to NATS takes by itself.
	streamTimeout = 5 * time.Second
	// markTimeout bounds the look for a mark of the cache: shoppers wait for their
	// answers meanwhile, and the next look will do.
	markTimeout = 5 * time.Second
)

// call makes one.
func call[T any](ctx context.Context, c *calls, what, point string, limit time.Duration, do func(context.Context) (T, error)) (T, error) {
	defer c.progress.begin(what, limit)()
	crash.At("allocator/before-" + point)
	defer crash.At("allocator/after-" + point)
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return do(ctx)
}

func (c *calls) Sale(ctx context.Context, id sale.ID) (ledger.SaleRow, error) {
	return call(ctx, c, "reading the ledger", "sale", ledgerTimeout, func(ctx context.Context) (ledger.SaleRow, error) { return c.ledger.Sale(ctx, id) })
}

func (c *calls) Cursor(ctx context.Context, id sale.ID) (ledger.Position, error) {
	return call(ctx, c, "reading the ledger", "cursor", ledgerTimeout, func(ctx context.Context) (ledger.Position, error) { return c.ledger.Cursor(ctx, id) })
}

func (c *calls) Settled(ctx context.Context, id sale.ID, epoch int64) (ledger.Position, error) {
	return call(ctx, c, "reading the ledger", "settled", ledgerTimeout, func(ctx context.Context) (ledger.Position, error) { return c.ledger.Settled(ctx, id, epoch) })
}

func (c *calls) Decisions(ctx context.Context, id sale.ID, after, upTo int64) (page []allocation.Decision, last bool, err error) {
	c.room, err = call(ctx, c, restoring, "decisions", ledgerTimeout, func(ctx context.Context) ([]allocation.Decision, error) {
		return c.ledger.DecisionPage(ctx, id, after, upTo, c.cfg.RestorePage, c.room)
	})
	return c.room, len(c.room) < c.cfg.RestorePage, err
}

func (c *calls) Committed(ctx context.Context, id sale.ID, at rejection.Mark) (bool, error) {
	return call(ctx, c, "comparing with the ledger", "committed", markTimeout, func(ctx context.Context) (bool, error) {
		return c.ledger.Committed(ctx, id, at.Generation, at.Sequence, at.Chain)
	})
}

func (c *calls) Applied(ctx context.Context, id sale.ID, sequence uint64, m allocation.Mark) (bool, error) {
	return call(ctx, c, "comparing with the ledger", "applied", ledgerTimeout, func(ctx context.Context) (bool, error) { return c.ledger.Applied(ctx, id, sequence, m) })
}

func (c *calls) Commit(ctx context.Context, id sale.ID, epoch int64, b *allocation.Batch) error {
	started := time.Now()
	_, err := call(ctx, c, "a commit", "commit", ledgerTimeout, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, c.ledger.Commit(ctx, id, epoch, b)
	})
	if err == nil {
		c.metrics.commits.Observe(time.Since(started).Seconds())
	}
	return err
}

func (c *calls) OpenGeneration(ctx context.Context, id sale.ID, epoch int64, h *allocation.Hole) error {
	_, err := call(ctx, c, "recording a hole", "open-hole", ledgerTimeout, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, c.ledger.OpenGeneration(ctx, id, epoch, h)
	})
	return err
}

func (c *calls) Opening(ctx context.Context, id sale.ID) (stream.Opening, error) {
	return call(ctx, c, "reading the stream", "opening", streamTimeout, func(ctx context.Context) (stream.Opening, error) { return c.Allocator.stream.Opening(ctx, id) })
}
