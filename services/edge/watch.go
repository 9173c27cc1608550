package edge

import (
	"context"
	"errors"
	"fmt"
	"time"

	"notsale/pkg/wire"
)

// watchPause is how long a failed watch rests before it is opened again.
const watchPause = 200 * time.Millisecond

// list reads all sales from the ledger once, so that codes of every one of them
// are answered.
func (e *Edge) list(ctx context.Context) {
	for warned := false; ; warned = true {
		err := e.readSales(ctx)
		if err == nil {
			e.read.Store(true)
			return
		}
		if ctx.Err() != nil {
			return
		}
		if !warned {
			e.log.Warn("the sales are not read from the ledger, trying on", "error", err)
		}
		pause(ctx, watchPause)
	}
}

// watch keeps the directory up to date.
func (e *Edge) watch(ctx context.Context) {
	for warned := false; ctx.Err() == nil; {
		d, err := e.stream.Directory(ctx)
		if err == nil {
			caughtUp := false
			err = d.Watch(ctx, func(entry wire.Entry) {
				e.directory.put(entry)
				if caughtUp {
					e.directory.publish()
				}
			}, func() {
				caughtUp = true
				e.directory.publish()
				e.listed.Store(true)
				warned = false
			})
		}
		if ctx.Err() != nil {
			return
		}
		e.unwatched.Store(&err)
		if e.stream.Connected() && !warned {
			e.log.Warn("the directory of sales is not watched, trying on", "error", err)
			warned = true
		}
		pause(ctx, watchPause)
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// Why an edge is not ready.
var (
	errDraining = errors.New("this edge is stopping")
	errUnlisted = errors.New("the directory of sales has not been read yet")
	errUnread   = errors.New("the sales have not been read from the ledger yet")
)

// Ready reports why balancers should send nobody here, or nil. Once the edge has
// begun, it needs NATS only.
func (e *Edge) Ready(context.Context) error {
	unusable := e.stream.Unusable()
	switch skew := time.Duration(e.skew.Load()); {
	case e.draining.Load():
		return errDraining
	case unusable != nil:
		return unusable
	case !e.listed.Load():
		if why := e.unwatched.Load(); why != nil {
			return fmt.Errorf("%w: %w", errUnlisted, *why)
		}
		return errUnlisted
	case !e.read.Load():
		return errUnread
	case skew > maxSkew || skew < -maxSkew:
		return fmt.Errorf("this machine's clock is %v off NATS's: set it right (NTP)", skew.Round(time.Millisecond))
	}
	return nil
}
