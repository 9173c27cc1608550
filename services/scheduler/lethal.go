//go:build crashpoints

package scheduler

import (
	"context"
	"time"

	"notsale/pkg/allocation"
	"notsale/pkg/crash"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/wire"
)

// lethal returns ports at which the process dies, before or after a call, where
// package crash is told so.
func lethal(p Ports) Ports {
	p.Rows, p.Store, p.Streams = lethalRows{p.Rows}, lethalStore{p.Store}, lethalStreams{p.Streams}
	return p
}

type (
	lethalRows      struct{ Rows }
	lethalStore     struct{ Store }
	lethalDirectory struct{ Directory }
	lethalStreams   struct{ Streams }
)

func (p lethalRows) OpenSlot(ctx context.Context, t ledger.Template) (bool, error) {
	crash.At("scheduler/before-open-slot")
	made, err := p.Rows.OpenSlot(ctx, t)
	if made {
		crash.At("scheduler/after-open-slot")
	}
	return made, err
}

func (p lethalRows) MarkOpen(ctx context.Context, id sale.ID, genesis allocation.Cursor, streamCreated time.Time) error {
	crash.At("scheduler/before-mark-open")
	defer crash.At("scheduler/after-mark-open")
	return p.Rows.MarkOpen(ctx, id, genesis, streamCreated)
}

func (p lethalStore) Directory(ctx context.Context) (Directory, error) {
	crash.At("scheduler/before-directory")
	d, err := p.Store.Directory(ctx)
	return lethalDirectory{d}, err
}

func (p lethalDirectory) Claim(ctx context.Context, installation sale.UUID) error {
	crash.At("scheduler/before-claim")
	defer crash.At("scheduler/after-claim")
	return p.Directory.Claim(ctx, installation)
}

func (p lethalDirectory) Put(ctx context.Context, e wire.Entry) error {
	crash.At("scheduler/before-put")
	defer crash.At("scheduler/after-put")
	return p.Directory.Put(ctx, e)
}

func (p lethalStreams) CreateCheckouts(ctx context.Context, id sale.ID) error {
	crash.At("scheduler/before-create-checkouts")
	defer crash.At("scheduler/after-create-checkouts")
	return p.Streams.CreateCheckouts(ctx, id)
}

func (p lethalStreams) CreatePurchases(ctx context.Context, id sale.ID) error {
	crash.At("scheduler/before-create-purchases")
	defer crash.At("scheduler/after-create-purchases")
	return p.Streams.CreatePurchases(ctx, id)
}

func (p lethalStreams) PublishOpening(ctx context.Context, of sale.Sale) error {
	crash.At("scheduler/before-publish-opening")
	defer crash.At("scheduler/after-publish-opening")
	return p.Streams.PublishOpening(ctx, of)
}
