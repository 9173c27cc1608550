//go:build crashpoints

package allocator

import (
	"context"
	"time"

	"notsale/pkg/allocation"
	"notsale/pkg/crash"
	"notsale/pkg/follow"
	"notsale/pkg/ledger"
	"notsale/pkg/rejection"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
)

// lethal returns ports at which the process dies, before or after a call, where
// package crash is told so.
func lethal(p Ports) Ports {
	return Ports{lethalLeases{p.Leases}, lethalHistory{p.History}, lethalCommits{p.Commits}, lethalStreams{p.Streams}, p.News, lethalCache{p.Cache}, lethalEdges{p.Edges}}
}

type (
	lethalLeases  struct{ Leases }
	lethalHistory struct{ History }
	lethalCommits struct{ Commits }
	lethalStreams struct{ Streams }
	lethalStream  struct{ follow.Stream }
	lethalCache   struct{ Cache }
	lethalEdges   struct{ Edges }
)

func (p lethalLeases) Renew(ctx context.Context, ttl time.Duration) ([]ledger.Lease, error) {
	crash.At("allocator/before-renew")
	defer crash.At("allocator/after-renew")
	return p.Leases.Renew(ctx, ttl)
}

func (p lethalLeases) Take(ctx context.Context, ttl time.Duration, skip []sale.ID, limit int) ([]ledger.Lease, error) {
	crash.At("allocator/before-take")
	leases, err := p.Leases.Take(ctx, ttl, skip, limit)
	if len(leases) > 0 {
		crash.At("allocator/after-take")
	}
	return leases, err
}

func (p lethalHistory) Sale(ctx context.Context, id sale.ID) (ledger.SaleRow, error) {
	defer crash.At("allocator/after-sale")
	return p.History.Sale(ctx, id)
}

func (p lethalHistory) DecisionPage(ctx context.Context, id sale.ID, after, upTo int64, most int, room []allocation.Decision) ([]allocation.Decision, error) {
	crash.At("allocator/before-decision-page")
	defer crash.At("allocator/after-decision-page")
	return p.History.DecisionPage(ctx, id, after, upTo, most, room)
}

func (p lethalCommits) Commit(ctx context.Context, id sale.ID, epoch int64, b *allocation.Batch) error {
	crash.At("allocator/before-commit")
	defer crash.At("allocator/after-commit")
	return p.Commits.Commit(ctx, id, epoch, b)
}

func (p lethalCommits) Applied(ctx context.Context, id sale.ID, sequence uint64, m allocation.Mark) (bool, error) {
	crash.At("allocator/before-applied")
	defer crash.At("allocator/after-applied")
	return p.Commits.Applied(ctx, id, sequence, m)
}

func (p lethalCommits) OpenGeneration(ctx context.Context, id sale.ID, epoch int64, h *allocation.Hole) error {
	crash.At("allocator/before-open-generation")
	defer crash.At("allocator/after-open-generation")
	return p.Commits.OpenGeneration(ctx, id, epoch, h)
}

func (p lethalStreams) Opening(ctx context.Context, id sale.ID) (stream.Opening, error) {
	crash.At("allocator/before-opening")
	return p.Streams.Opening(ctx, id)
}

func (p lethalStreams) Of(id sale.ID) follow.Stream { return lethalStream{p.Streams.Of(id)} }

func (p lethalStream) Read(ctx context.Context, from uint64) (follow.Reader, error) {
	crash.At("allocator/before-read")
	defer crash.At("allocator/after-read")
	return p.Stream.Read(ctx, from)
}

func (p lethalCache) Learn(ctx context.Context, id sale.UUID, from, upTo rejection.Mark, f *allocation.Facts) (rejection.Mark, error) {
	crash.At("allocator/before-learn")
	defer crash.At("allocator/after-learn")
	return p.Cache.Learn(ctx, id, from, upTo, f)
}

func (p lethalEdges) Reply(edge string, data []byte) error {
	crash.At("allocator/before-reply")
	defer crash.At("allocator/after-reply")
	return p.Edges.Reply(edge, data)
}
