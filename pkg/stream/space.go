package stream

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// ErrFull is wrapped, beside ErrUnavailable, by the error of a publish that a
// full stream refused: nothing was stored.
var ErrFull = errors.New("stream: the stream is full")

// ErrNoRoom says that NATS has no room left for the streams of a sale.
var ErrNoRoom = errors.New("stream: NATS has no room for another sale: give JetStream a larger max_file_store, or archive sold-out sales")

// MinStreamBytes is the least space that a stream is given, and what is left
// free in one that is hardly used: two of the largest packs, or some 6,000
// requests of one each.
const MinStreamBytes = 1 << 20

// OpeningBytes is what the streams of the next sale need to open. Nothing but a
// sale takes it.
const OpeningBytes = 2 * MinStreamBytes

// codes of JetStream's refusals that the client library does not name
// (nats-server 2.15.2, server/errors.json).
const (
	codeNoPeers               jetstream.ErrorCode = 10005
	codeInsufficientResources jetstream.ErrorCode = 10023
	codeMaximumStreams        jetstream.ErrorCode = 10027
	codeStorageExceeded       jetstream.ErrorCode = 10047
	codeCreateFailed          jetstream.ErrorCode = 10049
	codeUpdateFailed          jetstream.ErrorCode = 10069
	codeStoreFailed           jetstream.ErrorCode = 10077
	codeSealed                jetstream.ErrorCode = 10109
	codeMaxBytesRequired      jetstream.ErrorCode = 10113
	codeNoLimits              jetstream.ErrorCode = 10120
	codeStreamTooLarge        jetstream.ErrorCode = 10122
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
	Limit    int64 // bytes
	Streams  int   // how many there are
}

// Share returns which part of the store is reserved, 0 if its size is not known.
func (s Space) Share() float64 {
	if s.Limit <= 0 {
		return 0
	}
	return float64(s.Reserved) / float64(s.Limit)
}

// Room returns how much more can be reserved.
func (s Space) Room() int64 { return max(0, s.Limit-s.Reserved) }

// Space asks NATS how much is reserved. The limit is the account's, else the
// configured one, else it is found out, for which the client must be allowed to
// make streams; else there is none that is known, and nothing is kept free.
func (c *Client) Space(ctx context.Context) (Space, error) {
	info, err := c.account(ctx)
	if err != nil {
		return Space{}, err
	}
	s := Space{Reserved: int64(info.ReservedStore), Streams: info.Streams}
	if limit := info.Limits.MaxStore; limit > 0 { // it counts every replica, what is reserved does not
		s.Limit = limit / int64(max(c.cfg.Replicas, 1))
		return s, nil
	}
	tier, ok := info.Tiers[fmt.Sprintf("R%d", max(c.cfg.Replicas, 1))]
	if ok && tier.Limits.MaxStore > 0 {
		s.Reserved, s.Limit = int64(tier.ReservedStore), tier.Limits.MaxStore
		return s, nil
	}
	if s.Limit = c.cfg.StoreBytes; s.Limit > 0 {
		return s, nil
	}
	if s.Limit, err = c.measured(ctx); err != nil || s.Limit >= measureTop {
		return s, err
	}
	if info, err = c.account(ctx); err != nil { // anew: it was read while the probe was made, perhaps
		return Space{}, err
	}
	held, err := c.held(ctx)
	s.Reserved, s.Streams = max(0, int64(info.ReservedStore)-held), info.Streams
	return s, err
}

func (c *Client) account(ctx context.Context) (*jetstream.AccountInfo, error) {
	var info *jetstream.AccountInfo
	err := c.ask(ctx, func(ctx context.Context) (err error) {
		info, err = c.js.AccountInfo(ctx)
		return err
	}, c.api+"INFO")
	if err != nil {
		return nil, fmt.Errorf("stream: reading the store's use: %w", err)
	}
	return info, nil
}

// allowance returns how much a new stream may reserve of what is configured, so
// that a small store takes the streams of several sales.
func allowance(configured int64, s Space) int64 {
	const parts = 8 // of what is free: two streams of each sale, this one and the next, may double
	return min(configured, max(s.Room()/parts, MinStreamBytes))
}

// create makes a stream unless it exists; an existing one is left as it is. It
// reserves at most size, less where the store is short of room, and nothing of
// what is spared. ErrNoRoom: so much is not there.
func (c *Client) create(ctx context.Context, name, subject string, size, spared int64) error {
	space, err := c.Space(ctx)
	if err != nil {
		return err
	}
	if spared > 0 && space.Room() < spared+MinStreamBytes {
		return fmt.Errorf("%w: creating %s: what is left is for the next sale", ErrNoRoom, name)
	}
	if space.Streams == 0 {
		defer c.anchor(ctx)()
	}
	cfg := c.streamConfig(name, subject, allowance(size, space))
	for {
		err := c.inRoom(ctx, func() error {
			return c.ask(ctx, func(ctx context.Context) error {
				_, err := c.js.CreateStream(ctx, cfg)
				return err
			}, c.api+"STREAM.CREATE."+name)
		})
		switch {
		case err == nil, errors.Is(err, jetstream.ErrStreamNameAlreadyInUse):
			return nil
		case !noRoom(err):
			return fmt.Errorf("stream: creating %s: %w", cfg.Name, err)
		case cfg.MaxBytes <= MinStreamBytes:
			return fmt.Errorf("%w: creating %s: %w", ErrNoRoom, cfg.Name, err)
		}
		cfg.MaxBytes = max(cfg.MaxBytes/2, MinStreamBytes)
	}
}

// inRoom tries again what was refused for want of room, where that is held by
// whoever is finding out the size of the store, when he has done so.
func (c *Client) inRoom(ctx context.Context, try func() error) error {
	for {
		err := settled(ctx, try)
		if !noRoom(err) {
			return err
		}
		if held, errHeld := c.held(ctx); errHeld != nil || held == 0 || c.outlive(ctx) != nil {
			return err
		}
	}
}

func noRoom(err error) bool {
	return isCode(err, codeNoPeers, codeInsufficientResources, codeStorageExceeded)
}
