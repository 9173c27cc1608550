package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go/jetstream"
)

// ErrFull is wrapped, beside ErrUnavailable, by the error of a publish that a
// full stream refused: it was not stored.
var ErrFull = errors.New("stream: the stream is full")

// ErrNoRoom says that NATS has no room left for the streams of a sale.
var ErrNoRoom = errors.New("stream: NATS has no room for another sale: give JetStream a larger max_file_store, or archive sold-out sales")

// MinStreamBytes is the least that a stream reserves, and the least that stays free
// in one that is hardly used: two of the largest packs, or some 6,000 requests in
// packs of one.
const MinStreamBytes = 1 << 20

// OpeningBytes is what the streams of the next sale need to open. It is kept for
// sales.
const OpeningBytes = 2 * MinStreamBytes

// Error codes of JetStream that the client library does not name
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
	return errors.As(err, &refused) && slices.Contains(codes, refused.ErrorCode)
}

func noRoom(err error) bool {
	return isCode(err, codeNoPeers, codeInsufficientResources, codeStorageExceeded)
}

// wrongLastSequence reports that a message was not the next one that the publisher
// expected.
func wrongLastSequence(err error) bool {
	return isCode(err, jetstream.JSErrCodeStreamWrongLastSequence, jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}

// Space is how much of JetStream's file store streams have reserved.
type Space struct {
	Reserved int64 // bytes
	Limit    int64 // bytes; 0: unknown
	Streams  int   // how many there are
}

// Share returns the reserved share of the store, 0 if its size is not known.
func (s Space) Share() float64 {
	if s.Limit <= 0 {
		return 0
	}
	return float64(s.Reserved) / float64(s.Limit)
}

// Room returns how many more bytes can be reserved.
func (s Space) Room() int64 { return max(0, s.Limit-s.Reserved) }

// Space asks NATS how much is reserved. The limit is the account's, else the
// configured one, else it is measured, for which the client must be allowed to make
// and resize a stream. Without that permission it is measureTop: nothing is kept free.
func (c *Client) Space(ctx context.Context) (Space, error) {
	info, err := c.account(ctx)
	if err != nil {
		return Space{}, err
	}
	s := Space{Reserved: int64(info.ReservedStore), Streams: info.Streams}
	if limit := info.Limits.MaxStore; limit > 0 { // for all replicas together; ReservedStore is for one
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
	if info, err = c.account(ctx); err != nil { // again: the first may have counted a probe
		return Space{}, err
	}
	held, err := c.held(ctx)
	s.Reserved, s.Streams = max(0, int64(info.ReservedStore)-held), info.Streams
	return s, err
}

func (c *Client) account(ctx context.Context) (*jetstream.AccountInfo, error) {
	info, err := ask(ctx, c, c.js.AccountInfo, c.api+"INFO")
	if err != nil {
		return nil, fmt.Errorf("stream: reading the store's use: %w", err)
	}
	return info, nil
}

// allowance returns how much a new stream may reserve of the configured size, so
// that a small store takes the streams of several sales.
func allowance(configured int64, s Space) int64 {
	const parts = 8 // of the free space: two streams each of this sale and the next, which may double
	return min(configured, max(s.Room()/parts, MinStreamBytes))
}

// create makes a stream, unless it exists; an existing one is not changed. It
// reserves at most size bytes, fewer where the store is short of room, and leaves the
// spared bytes free. ErrNoRoom: there is not enough room.
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
		err := c.inRoom(ctx, func() error { return c.createStream(ctx, cfg) })
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

// createTries is how often a stream is created again, for a second in all.
const createTries = 50

// createStream creates a stream. It repeats that while the server fails to create
// any, which happens for a moment after its last stream was removed, because it
// deletes the account's folder last.
func (c *Client) createStream(ctx context.Context, cfg jetstream.StreamConfig) error {
	for n := 1; ; n++ {
		_, err := ask(ctx, c, func(ctx context.Context) (jetstream.Stream, error) {
			return c.js.CreateStream(ctx, cfg)
		}, c.api+"STREAM.CREATE."+cfg.Name)
		if !isCode(err, codeCreateFailed) || n == createTries || pause(ctx) != nil {
			return err
		}
	}
}

// inRoom creates or resizes a stream. If there is no room for it because a
// measurement holds the room, it waits for that to end and tries again.
func (c *Client) inRoom(ctx context.Context, try func() error) error {
	for {
		err := try()
		if !noRoom(err) {
			return err
		}
		if held, errHeld := c.held(ctx); errHeld != nil || held == 0 || c.awaitProbe(ctx) != nil {
			return err
		}
	}
}
