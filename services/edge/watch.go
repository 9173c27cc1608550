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

// watch keeps the directory up to date.
func (e *Edge) watch(ctx context.Context) {
	for ctx.Err() == nil {
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
			})
		}
		if ctx.Err() == nil {
			e.log.Debug("watching the directory again", "error", err)
			pause(ctx, watchPause)
		}
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
	errDraining     = errors.New("this edge is stopping")
	errDisconnected = errors.New("NATS is not connected")
	errUnlisted     = errors.New("the directory of sales has not been read yet")
)

// Ready reports why balancers should send nobody here, or nil. It needs NATS
// only.
func (e *Edge) Ready(context.Context) error {
	switch skew := time.Duration(e.skew.Load()); {
	case e.draining.Load():
		return errDraining
	case !e.stream.Connected():
		return errDisconnected
	case !e.listed.Load():
		return errUnlisted
	case skew > maxSkew || skew < -maxSkew:
		return fmt.Errorf("this machine's clock is %v off NATS's: set it right (NTP)", skew.Round(time.Millisecond))
	}
	return nil
}
