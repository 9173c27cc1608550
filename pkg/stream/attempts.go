package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"notsale/pkg/sale"
)

// Recorders share one durable consumer per stream of attempts.
const (
	recorderConsumer = "recorder"
	// recorderAckWait is when a message that a recorder took and never
	// acknowledged goes to another.
	recorderAckWait = 5 * time.Second
	// recorderPending bounds what all recorders hold of one stream.
	recorderPending = 256
)

// AttemptMessage is a stored message of attempts that waits to be recorded.
type AttemptMessage struct {
	Data []byte
	msg  jetstream.Msg
}

// Ack tells the stream that the message is recorded.
func (m *AttemptMessage) Ack() error { return m.msg.Ack() }

// AttemptReader delivers the messages of one stream of attempts that no
// recorder has acknowledged. A message may come more than once.
type AttemptReader struct {
	consumer jetstream.Consumer
	iterator jetstream.MessagesContext
}

// ReadAttempts opens a reader on the sale's attempts (0: those of no sale).
func (c *Client) ReadAttempts(ctx context.Context, id sale.ID) (*AttemptReader, error) {
	request, cancel := c.during(ctx, requestTimeout)
	defer cancel()
	consumer, err := c.js.CreateOrUpdateConsumer(request, checkoutStream(id), jetstream.ConsumerConfig{
		Durable: recorderConsumer, AckPolicy: jetstream.AckExplicitPolicy, AckWait: recorderAckWait, MaxAckPending: recorderPending,
	})
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("%w: stream %s does not exist", ErrLost, checkoutStream(id))
	}
	if err != nil {
		return nil, fmt.Errorf("stream: reading %s: %w", checkoutStream(id), err)
	}
	iterator, err := consumer.Messages(jetstream.PullMaxMessages(recorderPending/2), jetstream.PullExpiry(readerIdle),
		jetstream.PullHeartbeat(5*time.Second), jetstream.WithMessagesErrOnMissingHeartbeat(true))
	if err != nil {
		return nil, fmt.Errorf("stream: reading %s: %w", checkoutStream(id), err)
	}
	return &AttemptReader{consumer: consumer, iterator: iterator}, nil
}

// Floor returns up to which message all are acknowledged, and up to which any
// can be: the last that was delivered.
func (r *AttemptReader) Floor(ctx context.Context) (floor, delivered uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	info, err := r.consumer.Info(ctx)
	if err != nil {
		return 0, 0, fmt.Errorf("stream: reading how far attempts are acknowledged: %w", err)
	}
	return info.AckFloor.Stream, info.Delivered.Stream, nil
}

// Next returns the next message. It blocks until there is one, the context
// ends, or the reader was stopped.
func (r *AttemptReader) Next(ctx context.Context) (AttemptMessage, error) {
	m, err := r.iterator.Next(jetstream.NextContext(ctx))
	if err != nil {
		return AttemptMessage{}, fmt.Errorf("stream: reading attempts: %w", err)
	}
	return AttemptMessage{Data: m.Data(), msg: m}, nil
}

// Stop ends the reader; what was not acknowledged comes again.
func (r *AttemptReader) Stop() { r.iterator.Stop() }

// AttemptFloor returns up to which message of a sale's attempts (0: those of no
// sale) recorders have acknowledged all, which they do once they are in the
// ledger, and the last message there is. floor is 0 where no recorder has come
// yet. ErrLost: there is no such stream.
func (c *Client) AttemptFloor(ctx context.Context, id sale.ID) (floor, last uint64, err error) {
	ctx, cancel := c.during(ctx, requestTimeout)
	defer cancel()
	consumer, err := c.js.Consumer(ctx, checkoutStream(id), recorderConsumer)
	if err == nil {
		floor = consumer.CachedInfo().AckFloor.Stream
	} else if !errors.Is(err, jetstream.ErrConsumerNotFound) && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return 0, 0, fmt.Errorf("stream: reading how far attempts of sale %d are acknowledged: %w", id, err)
	}
	info, err := c.info(ctx, checkoutStream(id))
	return floor, info.Last, err
}
