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
	// measureLimit is for all of it: some forty requests.
	measureLimit = time.Minute
	// askPause is before a request that another scheduler's came between.
	askPause = 20 * time.Millisecond
)

// measured is the size of JetStream's file store where nobody tells it: a stream
// asks for more and more until it is refused. Callers of one client share one
// such look, which ends with none of them. Several schedulers may look at once: they
// ask for the same stream, and each for its whole size. Where NATS forbids it the size
// is measureTop.
func (c *Client) measured(ctx context.Context) (int64, error) {
	looking := context.WithoutCancel(ctx)
	looked := c.measuring.DoChan("", func() (any, error) {
		ctx, cancel := context.WithTimeout(looking, measureLimit)
		defer cancel()
		c.mu.Lock()
		found, at, in := c.found, c.foundAt, c.foundIn
		c.mu.Unlock()
		session := c.live()
		if found > 0 && time.Since(at) < measureFor && session == in {
			return found, nil
		}
		found, err := c.measure(ctx)
		if errors.Is(err, ErrDenied) {
			c.log.Warn("it is not known how large NATS's file store is: give --stream-store, or let this user make the stream "+probeStream, "error", err)
			found, err = measureTop, nil
		}
		if err != nil {
			return int64(0), fmt.Errorf("stream: finding out the size of the store: %w", err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.found, c.foundAt, c.foundIn = found, time.Now(), session
		return found, nil
	})
	select {
	case r := <-looked:
		return r.Val.(int64), r.Err //nolint:forcetypeassert // of the function above
	case <-ctx.Done():
		return 0, fmt.Errorf("stream: finding out the size of the store: %w", ctx.Err())
	}
}

// measure returns what is reserved without the probe, and how much more can be,
// a 32nd too little at most. What is reserved is read before and after, and the
// less is believed: another scheduler may have been asking meanwhile.
func (c *Client) measure(ctx context.Context) (int64, error) {
	before, err := c.withoutProbe(ctx)
	if err != nil {
		return 0, err
	}
	room, err := c.probe(ctx)
	after, errAfter := c.withoutProbe(ctx)
	return min(before, after) + room, errors.Join(err, errAfter)
}

// withoutProbe makes the probe small, and returns what all else has reserved.
func (c *Client) withoutProbe(ctx context.Context) (int64, error) {
	if err := c.giveBack(ctx); err != nil {
		return 0, err
	}
	info, err := c.account(ctx)
	if err != nil {
		return 0, err
	}
	return max(0, int64(info.ReservedStore)-probeBytes), nil
}

// giveBack makes the probe small. A store that is full refuses even that, and so
// does one of which several schedulers were granted more than it has at the same
// moment; then the probe goes. Whoever is finding out goes on all the same.
func (c *Client) giveBack(ctx context.Context) error {
	err := c.ask(ctx, probeBytes)
	if noRoom(err) {
		request, cancel := c.during(ctx, requestTimeout)
		defer cancel()
		err = c.js.DeleteStream(request, probeStream)
	}
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	return err
}

// held is how much the probe holds at this moment, which is nobody's.
func (c *Client) held(ctx context.Context) (int64, error) {
	ctx, done := c.permissions.during(ctx, "$JS.API.STREAM.INFO."+probeStream)
	defer done()
	info, err := c.lookAt(ctx, probeStream)
	if errors.Is(err, ErrLost) || err != nil && errors.Is(context.Cause(ctx), ErrDenied) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return max(0, info.Config.MaxBytes-probeBytes), nil
}

// probe returns how much the probe was granted.
func (c *Client) probe(ctx context.Context) (int64, error) {
	granted, refused := int64(probeBytes), int64(measureTop)
	for size := int64(MinStreamBytes); size < measureTop; size *= 2 {
		if err := c.ask(ctx, size); noRoom(err) {
			refused = size
			break
		} else if err != nil {
			return 0, err
		}
		granted = size
	}
	for range measureSteps {
		middle := granted + (refused-granted)/2
		if err := c.ask(ctx, middle); noRoom(err) {
			refused = middle
		} else if err != nil {
			return 0, err
		} else {
			granted = middle
		}
	}
	return granted, nil
}

// ask sets what the probe reserves, and makes it where it is not: another
// scheduler may have deleted it, or have made it meanwhile.
func (c *Client) ask(ctx context.Context, size int64) error {
	ctx, cancel := c.during(ctx, requestTimeout)
	defer cancel()
	ctx, done := c.permissions.during(ctx, "$JS.API.STREAM.UPDATE."+probeStream, "$JS.API.STREAM.CREATE."+probeStream)
	defer done()
	cfg := c.streamConfig(probeStream, probeSubject, size)
	for {
		_, err := c.js.CreateOrUpdateStream(ctx, cfg)
		switch {
		case err != nil && errors.Is(context.Cause(ctx), ErrDenied):
			return fmt.Errorf("%w: to make or change the stream %s", ErrDenied, probeStream)
		case !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) && !errors.Is(err, jetstream.ErrStreamNotFound):
			return err
		}
		select {
		case <-time.After(askPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
