package stream

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"notsale/pkg/sale"
)

// ErrSealed is wrapped, beside ErrUnavailable, by the error of a publish to a
// sale that is being archived: it was not stored, and never will be.
var ErrSealed = errors.New("stream: the stream is sealed, its sale is being archived")

// ErrNotSealed says that a stream is not removed because it may still grow.
var ErrNotSealed = errors.New("stream: only sealed streams are removed")

// Seal makes both streams of a sale read-only, for ever. It may be repeated.
// ErrLost: a stream does not exist.
func (c *Client) Seal(ctx context.Context, id sale.ID) error {
	return errors.Join(c.seal(ctx, saleStream(id)), c.seal(ctx, checkoutStream(id)))
}

func (c *Client) seal(ctx context.Context, name string) error {
	cfg, err := c.config(ctx, name)
	if err != nil || cfg.Sealed {
		return err
	}
	cfg.Sealed = true
	if err := c.change(ctx, cfg); err != nil {
		return fmt.Errorf("stream: sealing %s: %w", name, err)
	}
	return nil
}

// Remove deletes both streams of a sale and so frees their space. It may be
// repeated; a stream that does not exist is no error. ErrNotSealed: a stream may
// still grow, and none was deleted.
func (c *Client) Remove(ctx context.Context, id sale.ID) error {
	return c.remove(ctx, checkoutStream(id), saleStream(id))
}

// remove deletes streams, if all of them that exist are sealed.
func (c *Client) remove(ctx context.Context, names ...string) error {
	for _, name := range names {
		cfg, err := c.config(ctx, name)
		if err != nil && !errors.Is(err, ErrLost) {
			return err
		}
		if err == nil && !cfg.Sealed {
			return fmt.Errorf("%w: %s still takes messages", ErrNotSealed, name)
		}
	}
	for _, name := range names {
		if err := c.drop(ctx, name); err != nil {
			return fmt.Errorf("stream: removing %s: %w", name, err)
		}
	}
	return nil
}

// drop deletes a stream. One that does not exist is no error.
func (c *Client) drop(ctx context.Context, name string) error {
	err := c.request(ctx, c.cfg.RequestTimeout, func(ctx context.Context) error {
		return c.js.DeleteStream(ctx, name)
	}, c.api+"STREAM.DELETE."+name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	return err
}
