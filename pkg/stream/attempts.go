package stream

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/nats-io/nats.go/jetstream"

	"notsale/pkg/sale"
	"notsale/pkg/wire"
)

// PublishAttempts stores a message of checkout attempts; id 0 is for attempts
// that belong to no sale. After an error the library may still read data, which must
// not be changed.
func (c *Client) PublishAttempts(ctx context.Context, id sale.ID, data []byte) error {
	if id != 0 {
		return c.publish(ctx, checkoutSubject(wire.AttemptStream{Sale: id}), data)
	}
	for part := c.unsold.Load(); ; { // a part that is removed, full or closed has a successor
		err := c.publish(ctx, checkoutSubject(wire.AttemptStream{Part: int(part)}), data)
		if !errors.Is(err, ErrUnavailable) || !c.Connected() {
			return err
		}
		tried := part
		if part = c.lastUnsold(ctx); part == tried { // this search may have begun before the call; the next one has not
			part = c.lastUnsold(ctx)
		}
		if part == tried {
			return err
		}
	}
}

// lastUnsold finds the part that takes attempts now; if that fails, it returns the
// last known one. Concurrent callers share one search, so that a flood which a full
// part refuses does not become a flood of requests to JetStream.
func (c *Client) lastUnsold(ctx context.Context) int64 {
	looked := c.looking.DoChan("", func() (any, error) {
		parts, err := c.UnsoldParts(context.WithoutCancel(ctx))
		if err == nil && len(parts) > 0 {
			c.unsold.Store(int64(parts[len(parts)-1]))
		}
		return nil, err
	})
	select {
	case <-ctx.Done():
	case <-looked:
	}
	return c.unsold.Load()
}

// ReadAttempts is Read for a stream of attempts.
func (c *Client) ReadAttempts(ctx context.Context, s wire.AttemptStream, from uint64) (*Reader, error) {
	return c.read(ctx, s.String(), from)
}

// AttemptInfo is Info for a stream of attempts.
func (c *Client) AttemptInfo(ctx context.Context, s wire.AttemptStream) (Info, error) {
	return c.info(ctx, s.String())
}

// AttemptMessage is Message for a stream of attempts.
func (c *Client) AttemptMessage(ctx context.Context, s wire.AttemptStream, sequence uint64) (Message, error) {
	return c.message(ctx, s.String(), sequence)
}

// LastAttempt returns the last sequence of a sale's own stream of attempts.
// ErrLost: there is no such stream.
func (c *Client) LastAttempt(ctx context.Context, id sale.ID) (uint64, error) {
	info, err := c.info(ctx, checkoutStream(id))
	return info.Last, err
}

// AttemptMessages is Messages for the stream of a sale's checkout attempts, or, for
// sale 0, for all parts of those of no sale. first, last and a message's Sequence are
// then numbers of wire.AttemptStream.Number.
func (c *Client) AttemptMessages(ctx context.Context, id sale.ID, first, last uint64) iter.Seq2[Message, error] {
	if id != 0 {
		return c.replay(ctx, checkoutStream(id), first, last)
	}
	return func(yield func(Message, error) bool) {
		parts, err := c.UnsoldParts(ctx)
		if err != nil {
			yield(Message{}, err)
			return
		}
		firstPart, from := wire.Numbered(first)
		lastPart, to := wire.Numbered(last)
		for _, part := range parts {
			if part < firstPart || part > lastPart {
				continue
			}
			lowest, highest := uint64(1), uint64(maxSequence)
			if part == firstPart {
				lowest = max(lowest, from)
			}
			if part == lastPart {
				highest = to
			}
			s := wire.AttemptStream{Part: part}
			for m, err := range c.replay(ctx, s.String(), lowest, highest) {
				if errors.Is(err, ErrLost) { // removed meanwhile
					break
				}
				m.Sequence = s.Number(m.Sequence)
				if !yield(m, err) || err != nil {
					return
				}
			}
		}
	}
}

// maxSequence is above the sequence of any message of attempts.
const maxSequence = 1<<40 - 1

// oldRecorder is the durable consumer that recorders of earlier versions shared.
const oldRecorder = "recorder"

// DeleteOldRecorder deletes the consumer of recorders of earlier versions, if it
// exists.
func (c *Client) DeleteOldRecorder(ctx context.Context, s wire.AttemptStream) error {
	err := c.dismiss(ctx, s.String(), oldRecorder)
	if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return fmt.Errorf("stream: deleting the old consumer of %s: %w", s, err)
	}
	return nil
}
