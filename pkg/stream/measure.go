package stream

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// JetStream does not tell clients how large its file store is, unless the account
// has a limit. So the client makes an empty stream, the probe, lets it reserve more
// and more until the server refuses, and removes it.
const (
	probeStream  = "ROOM"
	probeSubject = "room.none"
	probeBytes   = 4 << 10         // what it reserves at first
	probeMaker   = "notsale-maker" // metadata key: who made the probe
)

const (
	measureFor = time.Hour // how long a measured size is used
	measureTop = 1 << 50   // bytes; a larger store counts as unlimited
	// measureSteps halve the range between what was granted and what was refused,
	// to a 32nd of it.
	measureSteps = 5
	// measureLimit bounds a whole measurement: some forty requests.
	measureLimit = time.Minute
	// measureTries is how often a measurement starts, if another scheduler removes the
	// probe, or a stream grows at the same moment. The server checks for room before it
	// reserves it, so two streams together may reserve more than the store has; until
	// that is over it refuses every change, even to a smaller size.
	measureTries = 10
	// probePause is the time between two looks at another scheduler's probe. If the
	// probe does not change for probeIdle, its maker has died.
	probePause = 20 * time.Millisecond
	probeIdle  = requestTimeout
)

// storeSize is a measured size of the store.
type storeSize struct {
	bytes   int64
	at      time.Time
	session context.Context // in which it was measured
}

// measured returns the size of JetStream's file store, from a measurement of this
// session that is at most measureFor old. Callers share one measurement, which none
// of them can cancel. If NATS forbids to make the probe, the size is measureTop.
func (c *Client) measured(ctx context.Context) (int64, error) {
	looked := c.measuring.DoChan("", func() (any, error) { // which alone uses c.store
		session := c.live()
		if c.store.bytes > 0 && time.Since(c.store.at) < measureFor && c.store.session == session {
			return c.store.bytes, nil
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), measureLimit)
		defer cancel()
		bytes, err := c.measure(ctx)
		for tries := 1; tries < measureTries && (removed(err) || noRoom(err)); tries++ {
			bytes, err = c.measure(ctx)
		}
		if errors.Is(err, ErrDenied) {
			c.log.Warn("the size of NATS's file store cannot be measured: give --stream-store, or let this user make the stream "+probeStream, "error", err)
			bytes, err = measureTop, nil
		}
		if err == nil {
			c.store = storeSize{bytes, time.Now(), session}
		}
		return bytes, err
	})
	select {
	case r := <-looked:
		if r.Err == nil {
			return r.Val.(int64), nil //nolint:forcetypeassert // of the function above
		}
		return 0, fmt.Errorf("stream: measuring the store: %w", r.Err)
	case <-ctx.Done():
		return 0, fmt.Errorf("stream: measuring the store: %w", ctx.Err())
	}
}

// removed reports whether another scheduler removed the probe because it took the
// probe's maker for dead; a change during the removal fails, too.
func removed(err error) bool {
	return errors.Is(err, jetstream.ErrStreamNotFound) || isCode(err, codeUpdateFailed)
}

// measure returns what the other streams reserve and what more the probe can, at most
// a 32nd too little. Streams that are made meanwhile would count twice, so the
// smaller of what they reserve before and after counts.
func (c *Client) measure(ctx context.Context) (int64, error) {
	maker := rand.Text()
	err := c.createProbe(ctx, maker)
	if err != nil && !noRoom(err) {
		return 0, err
	}
	before, errAccount := c.account(ctx)
	if errAccount != nil {
		return 0, errAccount
	}
	if err != nil { // no room for the probe itself
		return int64(before.ReservedStore), nil
	}
	room, err := c.growProbe(ctx, maker)
	if err == nil {
		err = c.resizeProbe(ctx, maker, probeBytes)
	}
	if !removed(err) { // otherwise a probe that exists is another scheduler's
		defer func() { _ = c.removeProbe(context.WithoutCancel(ctx)) }()
	}
	if err != nil {
		return 0, err
	}
	after, err := c.account(ctx)
	if err != nil {
		return 0, err
	}
	return max(0, int64(min(before.ReservedStore, after.ReservedStore))-probeBytes) + room, nil
}

// growProbe lets the probe reserve twice as much until the server refuses, then
// narrows the range. It returns the most that was granted.
func (c *Client) growProbe(ctx context.Context, maker string) (granted int64, err error) {
	granted, refused := probeBytes, int64(0)
	for steps := 0; steps < measureSteps && granted < measureTop; {
		size := max(2*granted, MinStreamBytes)
		if refused > 0 {
			size = granted + (refused-granted)/2
			steps++
		}
		switch err := c.resizeProbe(ctx, maker, size); {
		case noRoom(err):
			refused = size
		case err != nil:
			return 0, err
		default:
			granted = size
		}
	}
	return granted, nil
}

// createProbe makes the probe, once there is none of another scheduler. So schedulers
// measure one after the other: a server that resizes one stream twice at the same
// time miscounts what is reserved until it is restarted.
func (c *Client) createProbe(ctx context.Context, maker string) error {
	for {
		err := c.createStream(ctx, c.probeConfig(maker, probeBytes))
		if !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return err
		}
		if err := c.awaitProbe(ctx); err != nil {
			return err
		}
	}
}

// awaitProbe waits until there is no probe. It removes one whose maker has died, but
// leaves one that still changes to its maker.
func (c *Client) awaitProbe(ctx context.Context) error {
	var seen *jetstream.StreamInfo
	for since := time.Now(); ; {
		info, err := c.lookAt(ctx, probeStream)
		switch {
		case errors.Is(err, ErrLost):
			return nil
		case err != nil:
			return err
		case seen == nil || info.Config.MaxBytes != seen.Config.MaxBytes || info.Config.Metadata[probeMaker] != seen.Config.Metadata[probeMaker]:
			seen, since = info, time.Now()
		case time.Since(since) > probeIdle:
			return c.removeProbe(ctx)
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context) error {
	select {
	case <-time.After(probePause):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// anchor makes the probe before the first stream is created, and returns a function
// that removes it. When the server fails to create a stream (see createStream), it
// gives back space that it had not reserved, and until a restart it grants that much
// too much. With the anchor, only the probe can fail so, and its space is tiny.
// Without permission for the probe there is no anchor.
func (c *Client) anchor(ctx context.Context) (remove func()) {
	if c.createProbe(ctx, rand.Text()) != nil {
		return func() {}
	}
	return func() { _ = c.removeProbe(context.WithoutCancel(ctx)) }
}

// removeProbe removes the probe. A measurement under way starts again.
func (c *Client) removeProbe(ctx context.Context) error { return c.drop(ctx, probeStream) }

// held is how many bytes a measurement keeps from other streams at this moment.
func (c *Client) held(ctx context.Context) (int64, error) {
	info, err := c.lookAt(ctx, probeStream)
	if errors.Is(err, ErrLost) || errors.Is(err, ErrDenied) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return max(0, info.Config.MaxBytes-probeBytes), nil
}

func (c *Client) resizeProbe(ctx context.Context, maker string, size int64) error {
	return c.change(ctx, c.probeConfig(maker, size))
}

func (c *Client) probeConfig(maker string, size int64) jetstream.StreamConfig {
	cfg := c.streamConfig(probeStream, probeSubject, size)
	cfg.Metadata = map[string]string{probeMaker: maker}
	return cfg
}
