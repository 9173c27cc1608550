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
// that belong to no sale. When it fails, the data may still be read, and must not
// be changed.
func (c *Client) PublishAttempts(ctx context.Context, id sale.ID, data []byte) error {
	if id != 0 {
		return c.publish(ctx, checkoutSubject(wire.AttemptStream{Sale: id}), data)
	}
	for part := c.unsold.Load(); ; { // one that is not there, full or closed has a successor
		err := c.publish(ctx, checkoutSubject(wire.AttemptStream{Part: int(part)}), data)
		if !errors.Is(err, ErrUnavailable) || !c.Connected() {
			return err
		}
		tried := part
		for range 2 {
			if part = c.lastUnsold(ctx); part != tried {
				break
			}
		}
		if part == tried {
			return err
		}
	}
}

// lastUnsold looks which part takes attempts now; the last one that is known, if
// that cannot be found out. All who ask at once share one look, lest a flood that
// a full part refuses becomes one of requests to JetStream. The look may have
// begun before this call; the one after it has not.
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

// ReadAttempts opens a reader of a stream of attempts that starts at the given
// sequence. The server keeps no trace of what was read: the ledger's cursor does.
func (c *Client) ReadAttempts(ctx context.Context, of wire.AttemptStream, from uint64) (*Reader, error) {
	return c.read(ctx, of.String(), from)
}

// AttemptInfo is Info for a stream of attempts.
func (c *Client) AttemptInfo(ctx context.Context, of wire.AttemptStream) (Info, error) {
	return c.info(ctx, of.String())
}

// AttemptMessage is Message for a stream of attempts.
func (c *Client) AttemptMessage(ctx context.Context, of wire.AttemptStream, sequence uint64) (Message, error) {
	return c.message(ctx, of.String(), sequence)
}

// LastAttempt returns the last sequence of a sale's own stream of attempts.
// ErrLost: there is no such stream.
func (c *Client) LastAttempt(ctx context.Context, id sale.ID) (uint64, error) {
	info, err := c.info(ctx, wire.AttemptStream{Sale: id}.String())
	return info.Last, err
}

// AttemptMessages is Messages for the stream of a sale's checkout attempts, or
// for all streams of those of no sale (0). A message's Sequence is its
// wire.AttemptStream.Number.
func (c *Client) AttemptMessages(ctx context.Context, id sale.ID, first, last uint64) iter.Seq2[Message, error] {
	if id != 0 {
		return c.replay(ctx, wire.AttemptStream{Sale: id}.String(), first, last)
	}
	return func(yield func(Message, error) bool) {
		parts, err := c.UnsoldParts(ctx)
		if err != nil {
			yield(Message{}, err)
			return
		}
		for _, part := range parts {
			of := wire.AttemptStream{Part: part}
			if last <= of.Number(0) || first > of.Number(maxSequence) {
				continue
			}
			from, upTo := uint64(1), uint64(maxSequence)
			if first > of.Number(0) {
				from = first - of.Number(0)
			}
			if last < of.Number(maxSequence) {
				upTo = last - of.Number(0)
			}
			for m, err := range c.replay(ctx, of.String(), from, upTo) {
				if errors.Is(err, ErrLost) { // removed meanwhile
					break
				}
				m.Sequence = of.Number(m.Sequence)
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
// is there.
func (c *Client) DeleteOldRecorder(ctx context.Context, of wire.AttemptStream) error {
	err := c.dismiss(ctx, of.String(), oldRecorder)
	if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return fmt.Errorf("stream: deleting the old consumer of %s: %w", of, err)
	}
	return nil
}
