package stream

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"notsale/pkg/sale"
)

// ReadAhead is how many messages a Reader requests at once, and how many it
// holds for its caller: at most 64 MiB, if all are full packs.
const ReadAhead = 128

// readerIdle is when the server drops the consumer of a reader that is gone.
const readerIdle = 30 * time.Second

// ErrGap says that the stream did not deliver the next message in order.
var ErrGap = errors.New("stream: the next message did not come next")

// Reader delivers a stream's messages in order, from a given one. It is for one
// goroutine.
type Reader struct {
	messages chan Message
	iterator jetstream.MessagesContext
	dismiss  func() // deletes its consumer
	done     chan struct{}
	err      error // written by pump before it closes messages
}

// Read opens a reader that starts at the given sequence. The server does not store
// how far it came: the ledger's cursor does.
func (c *Client) Read(ctx context.Context, id sale.ID, from uint64) (*Reader, error) {
	return c.read(ctx, saleStream(id), from)
}

func (c *Client) read(ctx context.Context, name string, from uint64) (*Reader, error) {
	own := rand.Text()
	dismiss := func() { _ = c.dismiss(context.Background(), name, own) }
	consumer, err := ask(ctx, c, func(ctx context.Context) (jetstream.Consumer, error) {
		return c.js.CreateConsumer(ctx, name, jetstream.ConsumerConfig{
			Name: own, AckPolicy: jetstream.AckNonePolicy, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from,
			MemoryStorage: true, Replicas: 1, InactiveThreshold: readerIdle,
		})
	}, c.api+"CONSUMER.CREATE."+name+".")
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("%w: stream %s does not exist", ErrLost, name)
	}
	var iterator jetstream.MessagesContext
	if err == nil {
		iterator, err = consumer.Messages(jetstream.PullMaxMessages(batch(consumer)), jetstream.PullExpiry(readerIdle),
			jetstream.PullHeartbeat(5*time.Second), jetstream.WithMessagesErrOnMissingHeartbeat(true))
	}
	if err != nil {
		go dismiss() //nolint:gosec // the consumer may exist even if the request failed
		return nil, fmt.Errorf("stream: reading %s: %w", name, err)
	}
	r := &Reader{messages: make(chan Message, ReadAhead), iterator: iterator, dismiss: dismiss, done: make(chan struct{})}
	next := c.api + "CONSUMER.MSG.NEXT." + name + "."
	reading, done := c.sending(context.Background(), next+own)
	stop := context.AfterFunc(reading, iterator.Stop)
	go func() {
		defer done()
		defer stop()
		r.pump(from, func(err error) error {
			err = denial(reading, err)
			c.failing.note(next, err)
			return err
		})
	}()
	return r, nil
}

// batch is how many messages are requested at once: as many as the account allows,
// because the library does not report that a larger request is refused.
func batch(consumer jetstream.Consumer) int {
	if allowed := consumer.CachedInfo().Config.MaxRequestBatch; allowed > 0 {
		return min(allowed, ReadAhead)
	}
	return ReadAhead
}

// dismiss deletes a consumer. A failure does not matter to a reader: the server drops
// its consumer after readerIdle.
func (c *Client) dismiss(ctx context.Context, stream, consumer string) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.RequestTimeout)
	defer cancel()
	ctx, done := c.sending(ctx, c.api+"CONSUMER.DELETE."+stream+"."+consumer)
	defer done()
	return c.js.DeleteConsumer(ctx, stream, consumer)
}

// Messages delivers the messages. It is closed when the reader has failed or
// was stopped; Err then says why.
func (r *Reader) Messages() <-chan Message { return r.messages }

// Err returns why Messages was closed.
func (r *Reader) Err() error { return r.err }

// Next waits up to patience for a message, and returns it with those that came right
// after it, at most most. No message and no error: nothing came in time.
func (r *Reader) Next(ctx context.Context, most int, patience time.Duration) (messages []Message, err error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-timer.C:
		return nil, nil
	case m, open := <-r.messages:
		if !open {
			return nil, r.err
		}
		messages = append(messages, m)
	}
	for len(messages) < most {
		select {
		case m, open := <-r.messages:
			if !open { // the next call returns the error
				return messages, nil
			}
			messages = append(messages, m)
		default:
			return messages, nil
		}
	}
	return messages, nil
}

// Stop ends the reader and waits until it has ended. Its consumer is deleted a moment
// later: recorders open a reader each second, and idle consumers would pile up.
func (r *Reader) Stop() {
	close(r.done)
	r.iterator.Stop()
	for range r.messages { //nolint:revive // drained, so that pump can end
	}
	go r.dismiss()
}

// pump delivers messages until reading fails. outcome takes the result of each read
// and returns the error to report.
func (r *Reader) pump(next uint64, outcome func(error) error) {
	defer close(r.messages)
	for delivered := uint64(1); ; delivered++ {
		m, err := r.iterator.Next()
		if err = outcome(err); err != nil {
			r.err = fmt.Errorf("stream: reading: %w", err)
			r.iterator.Stop()
			return
		}
		meta, err := m.Metadata()
		if err != nil || meta.Sequence.Consumer != delivered || meta.Sequence.Stream != next {
			r.err = fmt.Errorf("%w: message %d was due", ErrGap, next)
			r.iterator.Stop()
			return
		}
		next++
		select {
		case r.messages <- Message{Sequence: meta.Sequence.Stream, Time: sale.InstantOf(meta.Timestamp), Data: m.Data()}:
		case <-r.done:
			r.err = jetstream.ErrMsgIteratorClosed
			return
		}
	}
}
