package stream

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"notsale/pkg/sale"
	"notsale/pkg/wire"
)

// ErrForeign says that a stream of this name belongs to another sale or
// installation: the stores of NATS and Postgres are not of the same system.
var ErrForeign = errors.New("stream: the stream belongs to another installation or sale")

// ErrLost says that the stream, or a message of it, does not exist.
var ErrLost = errors.New("stream: lost")

// Message is one stored message.
type Message struct {
	Sequence uint64
	Time     sale.Instant
	Data     []byte
}

// Hash returns the SHA-256 of the message's bytes.
func (m *Message) Hash() [32]byte { return sha256.Sum256(m.Data) }

// Opening is a sale's opening record in its stream.
type Opening struct {
	Sale    sale.Sale
	Message Message
	Created time.Time // creation time of the stream
}

// CreateCheckouts makes the stream of a sale's checkout attempts, unless it exists;
// an existing one is not changed. ErrNoRoom: there is no room for it.
func (c *Client) CreateCheckouts(ctx context.Context, id sale.ID) error {
	return c.create(ctx, checkoutStream(id), checkoutSubject(wire.AttemptStream{Sale: id}), c.cfg.AttemptBytes, 0)
}

// CreatePurchases makes the stream of a sale's requests, unless it exists; an
// existing one is not changed. ErrNoRoom: there is no room for it.
func (c *Client) CreatePurchases(ctx context.Context, id sale.ID) error {
	return c.create(ctx, saleStream(id), purchaseSubject(id), c.cfg.SaleBytes, 0)
}

// PublishOpening stores a sale's opening record as the first message of its stream,
// unless the stream has one.
func (c *Client) PublishOpening(ctx context.Context, s sale.Sale) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.RequestTimeout)
	defer cancel()
	err := c.send(ctx, purchaseSubject(s.ID), wire.EncodeOpening(s), jetstream.WithExpectLastSequence(0))
	if err != nil && !wrongLastSequence(err) {
		return fmt.Errorf("stream: publishing the opening record of sale %d: %w", s.ID, err)
	}
	return nil
}

// OpeningOf reads the opening record of this sale. ErrLost: the stream has none.
// ErrForeign: the stream belongs to another sale, whose opening record is returned
// if it can be read.
func (c *Client) OpeningOf(ctx context.Context, s sale.Sale) (Opening, error) {
	o, err := c.Opening(ctx, s.ID)
	switch {
	case errors.Is(err, wire.ErrMessage):
		return o, fmt.Errorf("%w: the opening record of %s cannot be read: %w", ErrForeign, saleStream(s.ID), err)
	case err != nil || bytes.Equal(o.Message.Data, wire.EncodeOpening(s)):
		return o, err
	}
	return o, fmt.Errorf("%w: %s has the opening record of sale %v of installation %v, the ledger has sale %v of installation %v",
		ErrForeign, saleStream(s.ID), o.Sale.UUID, o.Sale.Installation, s.UUID, s.Installation)
}

func (c *Client) streamConfig(name, subject string, size int64) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: name, Subjects: []string{subject}, Storage: jetstream.FileStorage, Replicas: c.cfg.Replicas,
		Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew, MaxBytes: size,
		MaxMsgSize: wire.MaxMessage + 4096, DenyDelete: true, DenyPurge: true, AllowDirect: false,
	}
}

// Opening reads the opening record of a sale. ErrLost: the stream does not exist.
func (c *Client) Opening(ctx context.Context, id sale.ID) (Opening, error) {
	info, err := c.Info(ctx, id)
	if err != nil {
		return Opening{}, err
	}
	first, err := c.Message(ctx, id, 1)
	if err != nil {
		return Opening{}, err
	}
	s, err := wire.DecodeOpening(first.Data)
	if err != nil {
		return Opening{}, fmt.Errorf("stream: %s: %w", saleStream(id), err)
	}
	return Opening{Sale: s, Message: first, Created: info.Created}, nil
}

// Sales returns the numbers of the sales that have a stream, in order.
func (c *Client) Sales(ctx context.Context) (ids []sale.ID, err error) {
	err = c.names(ctx, listTimeout, "purchases.*", func(name string) {
		if n, err := strconv.ParseInt(strings.TrimPrefix(name, "SALE_"), 10, 64); err == nil {
			ids = append(ids, sale.ID(n))
		}
	})
	if err != nil {
		return nil, fmt.Errorf("stream: listing the streams of sales: %w", err)
	}
	slices.Sort(ids)
	return ids, nil
}

// names calls each for every stream whose subjects match.
func (c *Client) names(ctx context.Context, timeout time.Duration, subjects string, each func(name string)) error {
	return c.request(ctx, timeout, func(ctx context.Context) error {
		names := c.js.StreamNames(ctx, jetstream.WithStreamListSubject(subjects))
		for name := range names.Name() {
			each(name)
		}
		return names.Err()
	}, c.api+"STREAM.NAMES")
}

// listTimeout bounds listing all streams, which takes one request for each page.
const listTimeout = 30 * time.Second

// Info is the state of a stream, as its leader reports it.
type Info struct {
	Created time.Time
	Now     time.Time // by the leader's clock
	Last    uint64    // sequence of the last message
	Bytes   uint64    // used
}

// Info asks the leader of the sale's stream for its state. ErrLost: the stream does
// not exist.
func (c *Client) Info(ctx context.Context, id sale.ID) (Info, error) {
	return c.info(ctx, saleStream(id))
}

func (c *Client) info(ctx context.Context, name string) (Info, error) {
	i, err := c.lookAt(ctx, name)
	if err != nil {
		return Info{}, err
	}
	return Info{Created: i.Created, Now: i.TimeStamp, Last: i.State.LastSeq, Bytes: i.State.Bytes}, nil
}

// Message asks the leader of the sale's stream for one message. ErrLost: it does not
// exist.
func (c *Client) Message(ctx context.Context, id sale.ID, sequence uint64) (Message, error) {
	return c.message(ctx, saleStream(id), sequence)
}

func (c *Client) message(ctx context.Context, name string, sequence uint64) (Message, error) {
	m, err := ask(ctx, c, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
		s, err := c.js.Stream(ctx, name)
		if err != nil {
			return nil, err
		}
		return s.GetMsg(ctx, sequence)
	}, c.api+"STREAM.MSG.GET."+name, c.api+"STREAM.INFO."+name)
	if errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrMsgNotFound) {
		return Message{}, fmt.Errorf("%w: message %d of %s", ErrLost, sequence, name)
	}
	if err != nil {
		return Message{}, fmt.Errorf("stream: reading message %d of %s: %w", sequence, name, err)
	}
	return Message{Sequence: m.Sequence, Time: sale.InstantOf(m.Time), Data: m.Data}, nil
}
