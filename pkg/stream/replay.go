package stream

import (
	"context"
	"errors"
	"iter"
	"time"

	"notsale/pkg/sale"
)

// Messages yields the messages of a sale's stream from first to last, in order;
// where the stream ends before, it ends. After an error it ends.
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
		if first > last {
			return
		}
		for tries := 0; first <= last && tries < replayTries; tries++ {
			before := first
			first, err = c.deliver(ctx, name, first, last, yield)
			switch {
			case errors.Is(err, errEnough):
				return
			case err == nil:
				continue
			case ctx.Err() != nil || errors.Is(err, ErrLost):
				yield(Message{}, err)
				return
			case first > before:
				tries = 0
			}
			select {
			case <-ctx.Done():
			case <-time.After(replayPause):
			}
			if info, err := c.info(ctx, name); err == nil {
				last = min(last, info.Last) // a tail may have been lost meanwhile
			}
		}
		if err != nil && first <= last {
			yield(Message{}, err)
		}
	}
}

// replayTries is how often a replay goes on where its reader has failed,
// without a message in between, after a pause each time: NATS may be restarted.
const (
	replayTries = 10
	replayPause = 500 * time.Millisecond
)

// replayQuiet is how long a reader may deliver nothing of what is there before
// the replay looks whether it still is, and goes on with another.
const replayQuiet = 3 * time.Second

var errQuiet = errors.New("stream: nothing was delivered of what the stream said it has")

var errEnough = errors.New("stream: nobody wants more")

// deliver yields messages from one reader, and returns the sequence to go on at.
func (c *Client) deliver(ctx context.Context, name string, next, last uint64, yield func(Message, error) bool) (uint64, error) {
	r, err := c.read(ctx, name, next)
	if err != nil {
		return next, err
	}
	defer r.Stop()
	quiet := time.NewTimer(replayQuiet)
	defer quiet.Stop()
	for next <= last {
		select {
		case <-ctx.Done():
			return next, ctx.Err()
		case <-quiet.C:
			return next, errQuiet
		case m, open := <-r.Messages():
			if !open {
				return next, r.Err()
			}
			next = m.Sequence + 1
			if !yield(m, nil) {
				return next, errEnough
			}
			quiet.Reset(replayQuiet)
		}
	}
	return next, nil
}
