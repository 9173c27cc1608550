package stream

import (
	"context"
	"iter"

	"notsale/pkg/sale"
)

// Messages yields the messages of a sale's stream from first to last, in order;
// where the stream ends before, it ends. After an error it ends.
func (c *Client) Messages(ctx context.Context, id sale.ID, first, last uint64) iter.Seq2[Message, error] {
	return c.replay(ctx, saleStream(id), first, last)
}

// AttemptMessages is Messages for a sale's stream of checkout attempts (0: those
// of no sale).
func (c *Client) AttemptMessages(ctx context.Context, id sale.ID, first, last uint64) iter.Seq2[Message, error] {
	return c.replay(ctx, checkoutStream(id), first, last)
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
		r, err := c.read(ctx, name, first)
		if err != nil {
			yield(Message{}, err)
			return
		}
		defer r.Stop()
		for {
			select {
			case <-ctx.Done():
				yield(Message{}, ctx.Err())
				return
			case m, open := <-r.Messages():
				if !open {
					yield(Message{}, r.Err())
					return
				}
				if !yield(m, nil) || m.Sequence == last {
					return
				}
			}
		}
	}
}
