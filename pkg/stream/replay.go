package stream

import (
	"context"
	"errors"
	"iter"
	"time"

	"notsale/pkg/sale"
)

// replayTries is how many readers in a row may fail without a message before a
// replay ends with their error, and replayPause the time between them: NATS may be
// restarting.
const (
	replayTries = 10
	replayPause = 500 * time.Millisecond
)

// replayQuiet is how long a reader may deliver nothing of what the stream has before
// the replay checks the stream again and opens another reader.
const replayQuiet = 3 * time.Second

var (
	errQuiet  = errors.New("stream: nothing was delivered of what the stream said it has")
	errEnough = errors.New("stream: the caller wants no more messages")
)

// Messages yields the messages of a sale's stream from first to last, in order, or
// to the end of the stream if that comes first. An error is the last it yields.
func (c *Client) Messages(ctx context.Context, id sale.ID, first, last uint64) iter.Seq2[Message, error] {
	return c.replay(ctx, saleStream(id), first, last)
}

func (c *Client) replay(ctx context.Context, name string, first, last uint64) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		info, err := c.info(ctx, name)
		if err != nil {
			yield(Message{}, err)
			return
		}
		last = min(last, info.Last)
		for failures := 0; first <= last; {
			before := first
			first, err = c.deliver(ctx, name, first, last, yield)
			if err == nil || errors.Is(err, errEnough) {
				return
			}
			if failures++; first > before {
				failures = 1
			}
			if failures == replayTries || ctx.Err() != nil || errors.Is(err, ErrLost) {
				yield(Message{}, err)
				return
			}
			select {
			case <-ctx.Done():
			case <-time.After(replayPause):
			}
			if info, err := c.info(ctx, name); err == nil {
				last = min(last, info.Last) // the stream may have lost its tail
			}
		}
	}
}

// deliver yields messages from one reader, and returns the next sequence.
func (c *Client) deliver(ctx context.Context, name string, next, last uint64, yield func(Message, error) bool) (uint64, error) {
	r, err := c.read(ctx, name, next)
	if err != nil {
		return next, err
	}
	defer r.Stop()
	for next <= last {
		messages, err := r.Next(ctx, int(min(ReadAhead, last-next+1)), replayQuiet)
		if err != nil {
			return next, err
		}
		if len(messages) == 0 {
			return next, errQuiet
		}
		for _, m := range messages {
			next = m.Sequence + 1
			if !yield(m, nil) {
				return next, errEnough
			}
		}
	}
	return next, nil
}
