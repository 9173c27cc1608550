package edge

import (
	"context"
	"errors"
	"fmt"
	"time"
)

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

var errDraining = errors.New("this edge is stopping")

// Ready reports why balancers should send nobody here, or nil. Once the edge has
// begun, it needs NATS only.
func (e *Edge) Ready(context.Context) error {
	unusable, unknown := e.stream.Unusable(), e.shop.Ready()
	switch skew := time.Duration(e.skew.Load()); {
	case e.draining.Load():
		return errDraining
	case unusable != nil:
		return unusable
	case unknown != nil:
		return unknown
	case skew > maxSkew || skew < -maxSkew:
		return fmt.Errorf("this machine's clock is %v off NATS's: set it right (NTP)", skew.Round(time.Millisecond))
	}
	return nil
}
