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

// ReadAhead is how many messages a Reader asks for at once and how many it
// holds for its caller: full packs, so 64 MiB at the very most.
const ReadAhead = 128

// readerIdle is when the server drops the consumer of a reader that is gone.
const readerIdle = 30 * time.Second

// ErrGap says that the stream did not deliver the message that was due.
var ErrGap = errors.New("stream: the next message did not come next")

// Reader delivers a sale's messages in order from a given one. It has one
// owner.
type Reader struct {
	messages chan Message
	iterator jetstream.MessagesContext
	dismiss  func() // takes its consumer away
	done     chan struct{}
	err      error // written by pump before it closes messages
}

// Read opens a reader that starts at the given sequence. The server keeps no
// trace of what was read: the ledger's cursor does.
func (c *Client) Read(ctx context.Context, id sale.ID, from uint64) (*Reader, error) {
	return c.read(ctx, saleStream(id), from)
}

func (c *Client) read(ctx context.Context, name string, from uint64) (*Reader, error) {
	own := rand.Text()
	dismiss := func() { _ = c.dismiss(context.Background(), name, own) }
	var consumer jetstream.Consumer
	err := c.ask(ctx, func(ctx context.Context) (err error) {
		consumer, err = c.js.CreateConsumer(ctx, name, jetstream.ConsumerConfig{
			Name: own, AckPolicy: jetstream.AckNonePolicy, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from,
			MemoryStorage: true, Replicas: 1, InactiveThreshold: readerIdle,
		})
		return err
	}, c.api+"CONSUMER.CREATE."+name+".")
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("%w: stream %s does not exist", ErrLost, name)
	}
	var iterator jetstream.MessagesContext
	if err == nil {
		iterator, err = consumer.Messages(jetstream.PullMaxMessages(batch(consumer.CachedInfo().Config.MaxRequestBatch)), jetstream.PullExpiry(readerIdle),
			jetstream.PullHeartbeat(5*time.Second), jetstream.WithMessagesErrOnMissingHeartbeat(true))
	}
	if err != nil {
		go dismiss() //nolint:gosec // it may have been made, also where the request has ended
		return nil, fmt.Errorf("stream: reading %s: %w", name, err)
	}
	r := &Reader{messages: make(chan Message, ReadAhead), iterator: iterator, dismiss: dismiss, done: make(chan struct{})}
	next := c.api + "CONSUMER.MSG.NEXT." + name + "."
	reading, done := c.permissions.during(c.live(), next+own)
	stop := context.AfterFunc(reading, iterator.Stop)
	go func() {
		defer done()
		defer stop()
		r.pump(from, func(err error) error {
			if cause := context.Cause(reading); errors.Is(cause, ErrDenied) {
				err = cause
			}
			c.failing.note(next, err)
			return err
		})
	}()
	return r, nil
}

// batch is how many messages are asked for at once, where the server allows so many;
// 0: any number. Of a request for more the library does not say that it is refused.
func batch(allowed int) int {
	if allowed > 0 {
		return min(allowed, ReadAhead)
	}
	return ReadAhead
}

// dismiss takes a consumer away. In vain, it makes no trouble: NATS lets an idle one
// go by itself.
func (c *Client) dismiss(ctx context.Context, stream, consumer string) error {
	ctx, cancel := c.during(ctx, c.cfg.RequestTimeout)
	defer cancel()
	ctx, done := c.permissions.during(ctx, c.api+"CONSUMER.DELETE."+stream+"."+consumer)
	defer done()
	return c.js.DeleteConsumer(ctx, stream, consumer)
}

// Messages delivers the messages. It is closed when the reader has failed or
// was stopped; Err then says why.
func (r *Reader) Messages() <-chan Message { return r.messages }

// Err returns why Messages was closed.
func (r *Reader) Err() error { return r.err }

// Next waits for a message, for at most so long, and returns it with those that
// have come behind it, at most so many; none and no error: nothing came in time.
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
			if !open { // found again by the next call
				return messages, nil
			}
			messages = append(messages, m)
		default:
			return messages, nil
		}
	}
	return messages, nil
}

// Stop ends the reader and waits until it has. Its consumer goes a moment later:
// whoever reads many stretches, or gives way to another recorder each second, must
// not leave as many behind. Where that fails, the server does it after readerIdle.
func (r *Reader) Stop() {
	close(r.done)
	r.iterator.Stop()
	for range r.messages { //nolint:revive // drained, so that pump can end
	}
	go r.dismiss()
}

// pump delivers messages until reading fails. why tells of an error the reason, and
// of none that there is none.
func (r *Reader) pump(next uint64, why func(error) error) {
	defer close(r.messages)
	for delivered := uint64(1); ; delivered++ {
		m, err := r.iterator.Next()
		if err = why(err); err != nil {
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
