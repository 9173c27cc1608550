package stream

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"notsale/pkg/sale"
)

// ErrSealed is wrapped, beside ErrUnavailable, by the error of a publish to a
// sale that is being archived: nothing was stored, and nothing will be.
var ErrSealed = errors.New("stream: the stream is sealed, its sale is being archived")

// ErrNotSealed says that a stream is not removed because it may still grow.
var ErrNotSealed = errors.New("stream: only sealed streams are removed")

// Seal makes both streams of a sale take nothing more, for ever. They can still
// be read, and attempts in them acknowledged. It may be repeated. ErrLost: a
// stream is not there.
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

// config reads how a stream is set up. ErrLost: it is not there.
func (c *Client) config(ctx context.Context, name string) (jetstream.StreamConfig, error) {
	info, err := c.lookAt(ctx, name)
	if err != nil {
		return jetstream.StreamConfig{}, err
	}
	return info.Config, nil
}

// Remove deletes both streams of a sale, and gives their space back: what was in
// them is then in the archive alone. It may be repeated; a stream that is not
// there is no error. ErrNotSealed: a stream may still grow; none was deleted.
func (c *Client) Remove(ctx context.Context, id sale.ID) error {
	names := [...]string{checkoutStream(id), saleStream(id)}
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

// drop deletes a stream. One that is not there is no error.
func (c *Client) drop(ctx context.Context, name string) error {
	err := c.ask(ctx, func(ctx context.Context) error { return c.js.DeleteStream(ctx, name) }, c.api+"STREAM.DELETE."+name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	return err
}
