package stream

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// probeStream is empty, and there only while the size of the store is found out,
// by whoever has made it.
const (
	probeStream  = "ROOM"
	probeSubject = "room.none"
	probeBytes   = 4 << 10
	probeMaker   = "notsale-maker" // the metadata that names who that is
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
	// measureTries is how often it is begun, where others remove the probe, or a
	// stream grows at the same moment: the server looks whether there is room before
	// it takes it, and while more is reserved than there is nothing may change, not
	// even become smaller.
	measureTries = 10
	// probePause is between looks at the probe of another scheduler, and probeIdle
	// how long one is left alone that does not change: its maker has died.
	probePause = 20 * time.Millisecond
	probeIdle  = requestTimeout
)

// measured is the size of JetStream's file store where nobody tells it: a stream
// asks for more and more until it is refused. Callers of one client share one
// such look, which ends with none of them. Schedulers look one after the other: a
// server that changes the size of one stream twice at once counts wrongly what is
// reserved, until it is restarted. Where NATS forbids it the size is measureTop.
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
		for tries := 1; tries < measureTries && (removed(err) || noRoom(err)); tries++ {
			found, err = c.measure(ctx)
		}
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

// removed reports whether the probe was removed by somebody who took its maker for
// dead; while it is, a change of it fails.
func removed(err error) bool {
	return errors.Is(err, jetstream.ErrStreamNotFound) || isCode(err, codeUpdateFailed)
}

// measure returns what is reserved without the probe, and how much more can be,
// a 32nd too little at most. What is reserved is read before and after, and the
// less is believed: other streams may be made meanwhile.
func (c *Client) measure(ctx context.Context) (int64, error) {
	maker := rand.Text()
	err := c.claim(ctx, maker)
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
	room, err := c.probe(ctx, maker)
	if err == nil {
		err = c.reserve(ctx, maker, probeBytes)
	}
	if !removed(err) { // else what is there is another's
		defer func() { _ = c.giveBack(context.WithoutCancel(ctx)) }()
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

// claim makes the probe, once that of another scheduler has gone.
func (c *Client) claim(ctx context.Context, maker string) error {
	for {
		err := settled(ctx, func() error {
			return c.probing(ctx, "CREATE", func(ctx context.Context) error {
				_, err := c.js.CreateStream(ctx, c.probeConfig(maker, probeBytes))
				return err
			})
		})
		if !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return err
		}
		if err := c.outlive(ctx); err != nil {
			return err
		}
	}
}

// outlive waits until there is no probe, and removes one that does not change any
// more, whose maker has died: that of one who lives is not for others to touch.
func (c *Client) outlive(ctx context.Context) error {
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
			return c.giveBack(ctx)
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

// settleTries is how often a stream is made anew: for a second.
const settleTries = 50

// settled makes a stream by try, again where the server fails, for a while after
// the last of its streams was removed, whose folder it removes last.
func settled(ctx context.Context, try func() error) error {
	for n := 1; ; n++ {
		err := try()
		if !isCode(err, codeCreateFailed) || n == settleTries || pause(ctx) != nil {
			return err
		}
	}
}

// anchor makes the probe before the first stream is made, and returns what gives it
// back. A server that fails to make a stream, as above, releases what that one was
// to reserve though it had not reserved it, and grants as much too much until it is
// restarted: of the probe that is next to nothing. Where it cannot be made, the
// stream is made without it.
func (c *Client) anchor(ctx context.Context) func() {
	if c.claim(ctx, rand.Text()) != nil {
		return func() {}
	}
	return func() { _ = c.giveBack(context.WithoutCancel(ctx)) }
}

// giveBack removes the probe. Whoever is finding out begins anew.
func (c *Client) giveBack(ctx context.Context) error {
	return c.drop(ctx, probeStream)
}

// held is how much the probe holds at this moment, which is nobody's.
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

// probe returns how much the probe was granted.
func (c *Client) probe(ctx context.Context, maker string) (int64, error) {
	granted, refused := int64(probeBytes), int64(measureTop)
	for size := int64(MinStreamBytes); size < measureTop; size *= 2 {
		if err := c.reserve(ctx, maker, size); noRoom(err) {
			refused = size
			break
		} else if err != nil {
			return 0, err
		}
		granted = size
	}
	for range measureSteps {
		middle := granted + (refused-granted)/2
		if err := c.reserve(ctx, maker, middle); noRoom(err) {
			refused = middle
		} else if err != nil {
			return 0, err
		} else {
			granted = middle
		}
	}
	return granted, nil
}

// reserve sets what the probe reserves.
func (c *Client) reserve(ctx context.Context, maker string, size int64) error {
	return c.probing(ctx, "UPDATE", func(ctx context.Context) error {
		_, err := c.js.UpdateStream(ctx, c.probeConfig(maker, size))
		return err
	})
}

func (c *Client) probeConfig(maker string, size int64) jetstream.StreamConfig {
	cfg := c.streamConfig(probeStream, probeSubject, size)
	cfg.Metadata = map[string]string{probeMaker: maker}
	return cfg
}

// probing makes one request of JetStream's about the probe.
func (c *Client) probing(ctx context.Context, verb string, request func(context.Context) error) error {
	return c.ask(ctx, request, c.api+"STREAM."+verb+"."+probeStream)
}
