package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// probeStream is there only for the moments in which the size of the store is
// found out. It is empty, and begins with next to nothing.
const (
	probeStream  = "ROOM"
	probeSubject = "room.none"
	probeBytes   = 4 << 10
)

// Bounds of finding out.
const (
	measureFor = time.Hour // how long what was found is believed
	measureTop = 1 << 50   // bytes, beyond which it does not matter
	// measureSteps halve what lies between what was granted and what was
	// refused, to a 32nd of it.
	measureSteps = 5
)

// measured is the size of JetStream's file store where nobody tells it: a stream
// asks for more and more until it is refused. Callers of one client share one
// such look; of several schedulers that look at once, the slower one fails, and
// tries again.
func (c *Client) measured(ctx context.Context) (int64, error) {
	size, err, _ := c.measuring.Do("", func() (any, error) {
		c.mu.Lock()
		found, at, in := c.found, c.foundAt, c.foundIn
		c.mu.Unlock()
		session := c.live()
		if found > 0 && time.Since(at) < measureFor && session == in {
			return found, nil
		}
		room, err := c.measure(ctx)
		if err != nil {
			return int64(0), fmt.Errorf("stream: finding out the size of the store: %w", err)
		}
		info, err := c.account(ctx) // anew: the probe of another scheduler was reserved, perhaps, and is gone with ours
		if err != nil {
			return int64(0), err
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.found, c.foundAt, c.foundIn = int64(info.ReservedStore)+room, time.Now(), session
		return c.found, nil
	})
	return size.(int64), err //nolint:forcetypeassert // of the function above
}

// measure returns how much more the store can reserve, a 32nd too little at most.
// The probe is deleted rather than made small again, which a store that has no
// room left refuses; one that a scheduler left when it died goes first.
func (c *Client) measure(ctx context.Context) (room int64, err error) {
	if err := c.forgetProbe(ctx); err != nil {
		return 0, err
	}
	cfg := c.streamConfig(probeStream, probeSubject, probeBytes)
	request, cancel := c.during(ctx, requestTimeout)
	defer cancel()
	if _, err := c.js.CreateStream(request, cfg); noRoom(err) {
		return 0, nil
	} else if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, c.forgetProbe(ctx)) }()
	granted, refused := int64(probeBytes), int64(measureTop)
	for size := int64(MinStreamBytes); size < measureTop; size *= 2 {
		if err := c.ask(ctx, cfg, size); noRoom(err) {
			refused = size
			break
		} else if err != nil {
			return 0, err
		}
		granted = size
	}
	for range measureSteps {
		middle := granted + (refused-granted)/2
		if err := c.ask(ctx, cfg, middle); noRoom(err) {
			refused = middle
		} else if err != nil {
			return 0, err
		} else {
			granted = middle
		}
	}
	return granted, nil
}

func (c *Client) forgetProbe(ctx context.Context) error {
	ctx, cancel := c.during(ctx, requestTimeout)
	defer cancel()
	err := c.js.DeleteStream(ctx, probeStream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	return err
}

// ask sets what a stream reserves.
func (c *Client) ask(ctx context.Context, cfg jetstream.StreamConfig, size int64) error {
	ctx, cancel := c.during(ctx, requestTimeout)
	defer cancel()
	cfg.MaxBytes = size
	_, err := c.js.UpdateStream(ctx, cfg)
	return err
}
