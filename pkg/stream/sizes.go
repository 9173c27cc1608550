package stream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"notsale/pkg/sale"
)

// Kind says what a stream holds.
type Kind int

// The kinds.
const (
	Purchases Kind = iota + 1 // of a sale: SALE_<id>
	Attempts                  // of a sale, or of none: CHECKOUTS_<id>, CHECKOUTS_0_<n>
	Listing                   // the directory of sales
)

// Size is the space of one stream, as its leader reports it.
type Size struct {
	Name     string
	Subject  string
	Kind     Kind
	Sale     sale.ID // 0: of no sale
	Bytes    int64   // used
	MaxBytes int64   // reserved
	Messages uint64  // ever stored
	Replicas int
	Sealed   bool // read-only for ever
	Created  time.Time
}

// Free returns how many more bytes fit.
func (s *Size) Free() int64 { return max(0, s.MaxBytes-s.Bytes) }

// Sizes lists the streams of all sales, of no sale, and the directory. A stream
// without a leader is left out.
func (c *Client) Sizes(ctx context.Context) ([]Size, error) {
	var sizes []Size
	err := c.request(ctx, listTimeout, func(ctx context.Context) error {
		list := c.js.ListStreams(ctx)
		for info := range list.Info() {
			if s, ok := sizeOf(info); ok && led(info) == nil {
				sizes = append(sizes, s)
			}
		}
		return list.Err()
	}, c.api+"STREAM.LIST")
	if err != nil && !errors.Is(err, jetstream.ErrEndOfData) {
		return nil, fmt.Errorf("stream: listing the streams: %w", err)
	}
	return sizes, nil
}

// Size reads one stream. ErrLost: it does not exist.
func (c *Client) Size(ctx context.Context, name string) (Size, error) {
	info, err := c.lookAt(ctx, name)
	if err != nil {
		return Size{}, err
	}
	s, ok := sizeOf(info)
	if !ok {
		return Size{}, fmt.Errorf("stream: %s is not a stream of sales", name)
	}
	return s, nil
}

func sizeOf(info *jetstream.StreamInfo) (Size, bool) {
	cfg := &info.Config
	s := Size{
		Name: cfg.Name, Bytes: int64(info.State.Bytes), MaxBytes: cfg.MaxBytes, Messages: info.State.LastSeq,
		Replicas: cfg.Replicas, Sealed: cfg.Sealed, Created: info.Created,
	}
	if len(cfg.Subjects) > 0 {
		s.Subject = cfg.Subjects[0]
	}
	if cfg.Name == directoryStream {
		s.Kind = Listing
		return s, true
	}
	number, ours := strings.CutPrefix(cfg.Name, "SALE_")
	s.Kind = Purchases
	if !ours {
		number, ours = strings.CutPrefix(cfg.Name, "CHECKOUTS_")
		number, _, _ = strings.Cut(number, "_") // without the part
		s.Kind = Attempts
	}
	id, err := strconv.ParseInt(number, 10, 64)
	s.Sale = sale.ID(id)
	return s, ours && err == nil
}

// Resize sets what a stream reserves, but not below what it used when s was read.
// ErrNoRoom: the store has no room for it; nothing was changed.
func (c *Client) Resize(ctx context.Context, s Size, size int64) error {
	cfg, err := c.config(ctx, s.Name) // fresh: another scheduler may have raised its replicas
	cfg.MaxBytes = max(size, s.Bytes)
	if err == nil {
		err = c.inRoom(ctx, func() error { return c.change(ctx, cfg) })
	}
	if noRoom(err) {
		return fmt.Errorf("%w: resizing %s to %d bytes: %w", ErrNoRoom, s.Name, size, err)
	}
	if err != nil {
		return fmt.Errorf("stream: resizing %s: %w", s.Name, err)
	}
	return nil
}

// Replicate raises a stream's replicas to the configured number, and reports whether
// it had fewer.
func (c *Client) Replicate(ctx context.Context, s *Size) (raised bool, err error) {
	if s.Sealed || s.Replicas >= c.cfg.Replicas {
		return false, nil
	}
	cfg, err := c.config(ctx, s.Name) // fresh: another scheduler may have resized it
	cfg.Replicas = c.cfg.Replicas
	if err == nil {
		err = c.change(ctx, cfg)
	}
	if err != nil {
		return false, fmt.Errorf("stream: raising %s from %d to %d replicas: %w", s.Name, s.Replicas, cfg.Replicas, err)
	}
	s.Replicas = cfg.Replicas
	return true, nil
}

// config reads a stream's settings. ErrLost: it does not exist.
func (c *Client) config(ctx context.Context, name string) (jetstream.StreamConfig, error) {
	info, err := c.lookAt(ctx, name)
	if err != nil {
		return jetstream.StreamConfig{}, err
	}
	return info.Config, nil
}

// change changes a stream's settings. It fails if the stream does not exist.
func (c *Client) change(ctx context.Context, cfg jetstream.StreamConfig) error {
	_, err := ask(ctx, c, func(ctx context.Context) (jetstream.Stream, error) {
		return c.js.UpdateStream(ctx, cfg)
	}, c.api+"STREAM.UPDATE."+cfg.Name)
	return err
}

// fullSubject begins the subject on which clients report that a stream was full; the
// stream's subject follows.
const fullSubject = "full."

// tellFull asks for a larger stream. The message may be lost: schedulers also check
// the sizes by themselves.
func (c *Client) tellFull(subject string) { _ = c.nc.Publish(fullSubject+subject, nil) }

// Full hands the subject of each stream that was found full to the handler, one
// at a time, until stop is called. The handler must be quick.
func (c *Client) Full(handle func(subject string)) (stop func(), err error) {
	return c.subscribe(fullSubject+">", func(m *nats.Msg) { handle(strings.TrimPrefix(m.Subject, fullSubject)) })
}

// led returns an error if a stream's state does not come from its leader: in a
// cluster without one, a follower that lacks the last messages may answer.
func led(info *jetstream.StreamInfo) error {
	if info.Cluster != nil && info.Cluster.Leader == "" {
		return fmt.Errorf("%w: %s has no leader", ErrUnavailable, info.Config.Name)
	}
	return nil
}

// lookAt reads a stream's state and settings from its leader. ErrLost: the stream
// does not exist.
func (c *Client) lookAt(ctx context.Context, name string) (*jetstream.StreamInfo, error) {
	s, err := ask(ctx, c, func(ctx context.Context) (jetstream.Stream, error) {
		return c.js.Stream(ctx, name)
	}, c.api+"STREAM.INFO."+name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("%w: stream %s does not exist", ErrLost, name)
	}
	if err != nil {
		return nil, fmt.Errorf("stream: reading the state of %s: %w", name, err)
	}
	return s.CachedInfo(), led(s.CachedInfo())
}
