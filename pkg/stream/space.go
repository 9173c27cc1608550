package stream

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"notsale/pkg/sale"
)

// ErrFull is wrapped, beside ErrUnavailable, by the error of a publish that a
// full stream refused: nothing was stored.
var ErrFull = errors.New("stream: the stream is full")

// ErrNoRoom says that NATS has no room left for the streams of a sale.
var ErrNoRoom = errors.New("stream: NATS has no room for another sale: give JetStream a larger max_file_store, or archive sold-out sales")

// MinStreamBytes is the least space that a stream is given: about 50,000
// requests, so that even a sale opened in a full store can sell 10,000 items.
const MinStreamBytes = 8 << 20

// codes of JetStream's refusals that the client library does not name
// (nats-server 2.15.2, server/errors.json).
const (
	codeNoPeers               jetstream.ErrorCode = 10005
	codeInsufficientResources jetstream.ErrorCode = 10023
	codeStorageExceeded       jetstream.ErrorCode = 10047
	codeStoreFailed           jetstream.ErrorCode = 10077
	codeSealed                jetstream.ErrorCode = 10109
)

func isCode(err error, codes ...jetstream.ErrorCode) bool {
	var refused *jetstream.APIError
	if !errors.As(err, &refused) {
		return false
	}
	for _, c := range codes {
		if refused.ErrorCode == c {
			return true
		}
	}
	return false
}

// Space is how much of JetStream's file store is promised to streams.
type Space struct {
	Reserved int64 // bytes
	Limit    int64 // bytes, 0 if it is not known
}

// Share returns which part of the store is reserved, 0 if that is not known.
func (s Space) Share() float64 {
	if s.Limit <= 0 {
		return 0
	}
	return float64(s.Reserved) / float64(s.Limit)
}

// Space asks NATS how much is reserved. The limit is the account's, else the
// one in the configuration.
func (c *Client) Space(ctx context.Context) (Space, error) {
	ctx, cancel := c.during(ctx, requestTimeout)
	defer cancel()
	info, err := c.js.AccountInfo(ctx)
	if err != nil {
		return Space{}, fmt.Errorf("stream: reading the store's use: %w", err)
	}
	limit := info.Limits.MaxStore
	if limit <= 0 {
		limit = c.cfg.StoreBytes
	}
	return Space{Reserved: int64(info.ReservedStore), Limit: max(limit, 0)}, nil
}

// allowance returns how much each stream of a new sale may reserve so that the
// sale after it finds room, too: never more than configured, and never less
// than MinStreamBytes.
func (c *Client) allowance(ctx context.Context) (int64, error) {
	s, err := c.Space(ctx)
	if err != nil {
		return 0, err
	}
	if s.Limit == 0 {
		return max(c.cfg.SaleBytes, c.cfg.AttemptBytes), nil
	}
	const streams = 2 * 2 // two per sale, this one and the next
	return max((s.Limit-s.Reserved)/streams, MinStreamBytes), nil
}

// create makes a stream unless it exists; an existing one is left as it is.
// Where the store is short of room, it takes less.
func (c *Client) create(ctx context.Context, cfg jetstream.StreamConfig) error {
	for {
		request, cancel := c.during(ctx, requestTimeout)
		_, err := c.js.CreateStream(request, cfg)
		cancel()
		switch {
		case err == nil, errors.Is(err, jetstream.ErrStreamNameAlreadyInUse):
			return nil
		case !isCode(err, codeNoPeers, codeInsufficientResources, codeStorageExceeded):
			return fmt.Errorf("stream: creating %s: %w", cfg.Name, err)
		case cfg.MaxBytes <= MinStreamBytes:
			return fmt.Errorf("%w: creating %s: %w", ErrNoRoom, cfg.Name, err)
		}
		cfg.MaxBytes = max(cfg.MaxBytes/2, MinStreamBytes)
	}
}

// Shrink gives back what the streams of a sold-out sale have reserved and will
// hardly need: it leaves what is used, a quarter more, and MinStreamBytes for
// those who still ask.
func (c *Client) Shrink(ctx context.Context, id sale.ID) error {
	return errors.Join(c.shrink(ctx, saleStream(id)), c.shrink(ctx, checkoutStream(id)))
}

func (c *Client) shrink(ctx context.Context, name string) error {
	ctx, cancel := c.during(ctx, requestTimeout)
	defer cancel()
	s, err := c.js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("stream: reading the state of %s: %w", name, err)
	}
	cfg, used := s.CachedInfo().Config, int64(s.CachedInfo().State.Bytes)
	want := used + used/4 + MinStreamBytes
	if cfg.MaxBytes <= want {
		return nil
	}
	cfg.MaxBytes = want
	if _, err := c.js.UpdateStream(ctx, cfg); err != nil {
		return fmt.Errorf("stream: shrinking %s: %w", name, err)
	}
	return nil
}
