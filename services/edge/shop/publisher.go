package shop

import (
	"context"
	"errors"
	"fmt"

	"notsale/pkg/allocation"
	"notsale/pkg/pack"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
)

// publisher is the way into one sale's streams: one pack in flight in each.
type publisher struct {
	requests *pack.Queue[allocation.Request]
	attempts *pack.Queue[wire.Attempt]
}

// errNobodyWaits says that every request of a pack was answered before it was sent,
// or sent again: by its decision, or because its wait was over. Whoever still wants
// an answer comes again.
var errNobodyWaits = fmt.Errorf("edge: nobody waits for this pack: %w", pack.ErrUnwanted)

// publisher returns the way into a sale's streams; 0 is for attempts of no sale.
func (s *Shop) publisher(id sale.ID) *publisher {
	if p, ok := s.publishers.Load(id); ok {
		return p.(*publisher) //nolint:forcetypeassert // nothing else is stored
	}
	attempts, requests := pack.DefaultLimits(), pack.DefaultLimits()
	attempts.Patience, requests.Patience = s.cfg.CheckoutWait, s.cfg.PurchaseWait
	if most := s.ports.Publisher.MaxMessage(); most > 0 {
		attempts.Bytes, requests.Bytes = min(attempts.Bytes, most), min(requests.Bytes, most)
	}
	p, _ := s.publishers.LoadOrStore(id, &publisher{
		requests: pack.New(s.host, requests, func(ctx context.Context, items []allocation.Request) error {
			if !s.waiters.any(items) {
				return errNobodyWaits
			}
			s.metrics.packs.Observe(float64(len(items)))
			return s.publish(func(buf []byte) []byte { return wire.AppendPack(buf, s.id, items) },
				func(data []byte) error { return s.ports.Publisher.PublishPack(ctx, id, data) })
		}),
		attempts: pack.New(s.host, attempts, func(ctx context.Context, items []wire.Attempt) error {
			return s.publish(func(buf []byte) []byte { return wire.AppendAttempts(buf, s.id, items) },
				func(data []byte) error { return s.ports.Publisher.PublishAttempts(ctx, id, data) })
		}),
	})
	one := p.(*publisher) //nolint:forcetypeassert // nothing else is stored
	if s.closed.Load() {  // perhaps before it was there
		ended, cancel := s.host.WithTimeout(context.Background(), 0)
		defer cancel()
		_, _ = one.requests.Close(ended), one.attempts.Close(ended)
	}
	return one
}

// publish encodes a message, publishes it, and tells the queue what the port says.
// The memory is shared by all sales: old ones hold none.
func (s *Shop) publish(encode func([]byte) []byte, publish func([]byte) error) error {
	buffer := s.buffers.Get().(*[]byte) //nolint:forcetypeassert // nothing else is stored
	*buffer = encode((*buffer)[:0])
	err := publish(*buffer)
	if err == nil {
		s.buffers.Put(buffer) // else it may still be read
		return nil
	}
	s.metrics.retried.Inc()
	if errors.Is(err, stream.ErrAmbiguous) {
		return fmt.Errorf("%w: %w", pack.ErrAmbiguous, err)
	}
	return err
}
