package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// probeStream is empty and reserves next to nothing, but for the moments in
// which the size of the store is found out.
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
// asks for more and more until it is refused. Several schedulers may do so at
// once: they ask for the same stream, and each for its whole size.
func (c *Client) measured(ctx context.Context, reserved int64) (int64, error) {
	c.mu.Lock()
	found, at := c.found, c.foundAt
	c.mu.Unlock()
	if found > 0 && time.Since(at) < measureFor && c.live() == c.foundIn {
		return found, nil
	}
	session := c.live()
	room, err := c.measure(ctx)
	if err != nil {
		return 0, fmt.Errorf("stream: finding out the size of the store: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.found, c.foundAt, c.foundIn = reserved+room, time.Now(), session
	return c.found, nil
}

// measure returns how much more the store can reserve, a 32nd too little at most.
func (c *Client) measure(ctx context.Context) (room int64, err error) {
	cfg := c.streamConfig(probeStream, probeSubject, probeBytes)
	request, cancel := c.during(ctx, requestTimeout)
	defer cancel()
	if _, err := c.js.CreateStream(request, cfg); err != nil {
		if noRoom(err) {
			return 0, nil
		}
		if !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return 0, err
		}
	}
	defer func() {
		if errBack := c.ask(ctx, cfg, probeBytes); err == nil {
			err = errBack
		}
	}()
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

// ask sets what a stream reserves.
func (c *Client) ask(ctx context.Context, cfg jetstream.StreamConfig, size int64) error {
	ctx, cancel := c.during(ctx, requestTimeout)
	defer cancel()
	cfg.MaxBytes = size
	_, err := c.js.UpdateStream(ctx, cfg)
	return err
}
