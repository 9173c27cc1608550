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

// ErrLost says that the stream, or a message that was in it, is not there.
var ErrLost = errors.New("stream: lost")

// Message is one stored message.
type Message struct {
	Sequence uint64
	Time     sale.Instant
	Data     []byte
}

// Hash returns the SHA-256 of the message's bytes.
func (m *Message) Hash() [32]byte { return sha256.Sum256(m.Data) }

// Opening is a sale's opening record as it stands in its stream.
type Opening struct {
	Sale    sale.Sale
	Message Message
	Created time.Time // creation time of the stream
}

// CreateCheckouts makes the stream of a sale's checkout attempts unless it is there,
// which stays as it is. ErrNoRoom: there is none for it.
func (c *Client) CreateCheckouts(ctx context.Context, id sale.ID) error {
	return c.create(ctx, checkoutStream(id), checkoutSubject(wire.AttemptStream{Sale: id}), c.cfg.AttemptBytes, 0)
}

// CreatePurchases makes the stream of a sale's requests unless it is there, which
// stays as it is. ErrNoRoom: there is none for it.
func (c *Client) CreatePurchases(ctx context.Context, id sale.ID) error {
	return c.create(ctx, saleStream(id), purchaseSubject(id), c.cfg.SaleBytes, 0)
}

// PublishOpening stores a sale's opening record as the first message of its stream,
// unless that has one.
func (c *Client) PublishOpening(ctx context.Context, s sale.Sale) error {
	ctx, cancel := c.during(ctx, c.cfg.RequestTimeout)
	defer cancel()
	_, err := c.js.Publish(ctx, purchaseSubject(s.ID), wire.EncodeOpening(s), jetstream.WithExpectLastSequence(0))
	if err != nil && !isCode(err, jetstream.JSErrCodeStreamWrongLastSequence, jetstream.JSErrCodeStreamWrongLastSequenceConstant) {
		return fmt.Errorf("stream: publishing the opening record of sale %d: %w", s.ID, classify(err))
	}
	return nil
}

// OpeningOf reads the opening record of this sale. ErrLost: the stream has none.
// ErrForeign: its stream belongs to another sale, whose opening record is returned
// if it can be read.
func (c *Client) OpeningOf(ctx context.Context, s sale.Sale) (Opening, error) {
	opening, err := c.Opening(ctx, s.ID)
	return opening, isOf(s, &opening, err)
}

// isOf refuses the opening record of another sale.
func isOf(s sale.Sale, o *Opening, err error) error {
	switch {
	case errors.Is(err, wire.ErrMessage):
		return fmt.Errorf("%w: %s exists with another opening record, which cannot be read: %w", ErrForeign, saleStream(s.ID), err)
	case err != nil || bytes.Equal(o.Message.Data, wire.EncodeOpening(s)):
		return err
	}
	return fmt.Errorf("%w: %s exists with another opening record: of sale %v of installation %v, the ledger's is %v of %v",
		ErrForeign, saleStream(s.ID), o.Sale.UUID, o.Sale.Installation, s.UUID, s.Installation)
}

func (c *Client) streamConfig(name, subject string, size int64) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: name, Subjects: []string{subject}, Storage: jetstream.FileStorage, Replicas: c.cfg.Replicas,
		Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew, MaxBytes: size,
		MaxMsgSize: wire.MaxMessage + 4096, DenyDelete: true, DenyPurge: true, AllowDirect: false,
	}
}

// Opening reads the opening record of a sale. ErrLost: the stream is not there.
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

// names calls each for every stream that has such subjects.
func (c *Client) names(ctx context.Context, timeout time.Duration, subjects string, each func(name string)) error {
	return c.askFor(ctx, timeout, func(ctx context.Context) error {
		names := c.js.StreamNames(ctx, jetstream.WithStreamListSubject(subjects))
		for name := range names.Name() {
			each(name)
		}
		return names.Err()
	}, c.api+"STREAM.NAMES")
}

// listTimeout bounds listing all streams, a page of them at a time.
const listTimeout = 30 * time.Second

// Info is the state of a sale's stream by its leader.
type Info struct {
	Created time.Time
	Last    uint64 // sequence of the last message
	Bytes   uint64 // used
}

// Info asks the leader of the sale's stream for its state. ErrLost: there is no
// such stream.
func (c *Client) Info(ctx context.Context, id sale.ID) (Info, error) {
	return c.info(ctx, saleStream(id))
}

func (c *Client) info(ctx context.Context, name string) (Info, error) {
	i, err := c.lookAt(ctx, name)
	if err != nil {
		return Info{}, err
	}
	return Info{Created: i.Created, Last: i.State.LastSeq, Bytes: i.State.Bytes}, nil
}

// Message asks the leader of the sale's stream for one message. ErrLost: it is
// not there.
func (c *Client) Message(ctx context.Context, id sale.ID, sequence uint64) (Message, error) {
	return c.message(ctx, saleStream(id), sequence)
}

func (c *Client) message(ctx context.Context, name string, sequence uint64) (Message, error) {
	s, err := c.handle(ctx, name)
	if err == nil {
		var m *jetstream.RawStreamMsg
		err = c.ask(ctx, func(ctx context.Context) (err error) {
			m, err = s.GetMsg(ctx, sequence)
			return err
		}, c.api+"STREAM.MSG.GET."+name)
		if err == nil {
			return Message{Sequence: m.Sequence, Time: sale.InstantOf(m.Time), Data: m.Data}, nil
		}
	}
	if errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrMsgNotFound) {
		return Message{}, fmt.Errorf("%w: message %d of %s", ErrLost, sequence, name)
	}
	return Message{}, fmt.Errorf("stream: reading message %d of %s: %w", sequence, name, err)
}
