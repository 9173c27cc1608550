package stream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"notsale/pkg/sale"
)

// PublishPack stores a pack of purchase requests in the sale's stream. It waits for
// the acknowledgement until its context or the session ends. After an error the
// library may still read data, which must not be changed.
func (c *Client) PublishPack(ctx context.Context, id sale.ID, data []byte) error {
	return c.publish(ctx, purchaseSubject(id), data)
}

// publish stores a message. If NATS forbids it, the client retries the subject, without
// the message, until it is allowed: see Refused.
func (c *Client) publish(ctx context.Context, subject string, data []byte) error {
	err := c.send(ctx, subject, data)
	if errors.Is(err, ErrDenied) {
		c.onForbidden(subject)
	}
	return err
}

func (c *Client) send(ctx context.Context, subject string, data []byte, options ...jetstream.PublishOpt) error {
	if !c.Connected() { // a publish in a session that has ended would be ambiguous
		return errDisconnected
	}
	ctx, done := c.sending(ctx, subject)
	defer done()
	started := time.Now()
	err := interruptible(ctx, func() error { _, err := c.js.Publish(ctx, subject, data, options...); return err })
	if err == nil || errors.Is(err, context.DeadlineExceeded) {
		c.lag.observe(time.Since(started), c.log)
	}
	if err = denial(ctx, err); errors.Is(err, ErrDenied) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if err = classify(err); errors.Is(err, ErrFull) {
		c.tellFull(subject)
	}
	return err
}

// classify says of a failed publish whether the message may have been stored.
func classify(err error) error {
	var refused *jetstream.APIError
	switch {
	case err == nil:
		return nil
	case isCode(err, codeStoreFailed) && strings.Contains(err.Error(), "maximum"):
		return fmt.Errorf("%w: %w: %w", ErrUnavailable, ErrFull, err)
	case isCode(err, codeSealed):
		return fmt.Errorf("%w: %w: %w", ErrUnavailable, ErrSealed, err)
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, jetstream.ErrNoStreamResponse):
		return fmt.Errorf("%w: there is no stream for it (not yet made, archived or lost), or JetStream is away: %w", ErrUnavailable, err)
	case errors.Is(err, nats.ErrReconnectBufExceeded), errors.Is(err, nats.ErrConnectionClosed),
		errors.Is(err, nats.ErrMaxPayload), errors.As(err, &refused):
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	default:
		return fmt.Errorf("%w: %w", ErrAmbiguous, err)
	}
}

// payloadSpare is room in a message for its envelope around the items.
const payloadSpare = 1 << 10

// MaxMessage is how many bytes of items fit in the largest message that the server
// takes now.
func (c *Client) MaxMessage() int { return int(c.nc.MaxPayload()) - payloadSpare }

// Reply sends a message of replies to an edge. It is not stored: an edge that
// misses it asks again.
func (c *Client) Reply(edge string, data []byte) error {
	if !c.Connected() {
		return errDisconnected
	}
	if err := c.nc.Publish(replySubject(edge), data); err != nil {
		return fmt.Errorf("stream: replying: %w", err)
	}
	return nil
}

func purchaseSubject(id sale.ID) string { return "purchases." + id.String() }
func replySubject(edge string) string   { return "replies." + edge }
func saleStream(id sale.ID) string      { return "SALE_" + id.String() }
