package follow

import (
	"context"
	"errors"
	"fmt"
	"time"

	"notsale/pkg/allocation"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
)

// Cursor is how far a stream was handled: the last message that was, and when the
// stream was created, to the microsecond. Sequence 0: no message was.
type Cursor struct {
	Sequence uint64
	Time     sale.Instant
	Hash     allocation.Hash
	Created  sale.Instant
}

// At returns the cursor behind a message of the same stream.
func (c Cursor) At(m *stream.Message) Cursor {
	return Cursor{Sequence: m.Sequence, Time: m.Time, Hash: m.Hash(), Created: c.Created}
}

// Stream is one stream, read from its leader. stream.ErrLost: the stream, or the
// message, is not there.
type Stream interface {
	Info(ctx context.Context) (stream.Info, error)
	Message(ctx context.Context, sequence uint64) (stream.Message, error)
	Read(ctx context.Context, from uint64) (Reader, error)
}

// Reader delivers messages in order.
type Reader interface {
	// Next waits for a message and returns it with those that are ready behind it, at
	// most so many; no message and no error: none came in time.
	Next(ctx context.Context, most int, patience time.Duration) ([]stream.Message, error)
	Stop()
}

// ErrChanged says that a stream is no longer the one that was followed.
var ErrChanged = errors.New("the stream has changed under its reader")

// Unchanged reports whether the message at the cursor is still the one that was
// handled, in the same stream, and returns the stream's state. It reads the message
// first: a stream that is removed in between then counts as missing, not as one
// that has lost a message.
func Unchanged(ctx context.Context, s Stream, at Cursor) (info stream.Info, same bool, err error) {
	var m stream.Message
	if at.Sequence > 0 {
		if m, err = s.Message(ctx, at.Sequence); err != nil && !errors.Is(err, stream.ErrLost) {
			return info, false, err
		}
	}
	if info, err = s.Info(ctx); err != nil {
		return info, false, err
	}
	return info, at.Created == sale.InstantOf(info.Created) && (at.Sequence == 0 || at.At(&m) == at), nil
}

// A silent stream is first looked at after quietFirst, then after twice as long each
// time, up to quietLast, so that a thousand idle sales cost little.
const (
	quietFirst = time.Second
	quietLast  = 32 * time.Second
)

// Follower delivers the messages behind a cursor. It has one owner.
type Follower struct {
	stream Stream
	reader Reader
	looks  int  // since a message came
	behind bool // the stream had more at the last look
}

// Open returns a follower of what comes behind the cursor, after it has received
// and checked the message at the cursor.
func Open(ctx context.Context, s Stream, at Cursor) (*Follower, error) {
	r, err := s.Read(ctx, max(at.Sequence, 1))
	if err != nil {
		return nil, err
	}
	f := &Follower{stream: s, reader: r}
	if err := f.check(ctx, at); err != nil {
		r.Stop()
		return nil, err
	}
	return f, nil
}

// check receives the message at the cursor.
func (f *Follower) check(ctx context.Context, at Cursor) error {
	if at.Sequence == 0 {
		return nil
	}
	messages, err := f.reader.Next(ctx, 1, quietFirst)
	switch {
	case err != nil:
		return err
	case len(messages) == 0:
		return fmt.Errorf("%w: the message at the cursor, %d, did not come", stream.ErrGap, at.Sequence)
	case at.At(&messages[0]) != at:
		return fmt.Errorf("%w: message %d is not the one that was handled", ErrChanged, at.Sequence)
	}
	return nil
}

// Stop ends the follower.
func (f *Follower) Stop() { f.reader.Stop() }

// Patience is how long to wait for messages before the next look.
func (f *Follower) Patience() time.Duration { return min(quietFirst<<min(f.looks, 10), quietLast) }

// Next waits for messages until patience is over, and returns at most so many; none
// and no error: none came.
func (f *Follower) Next(ctx context.Context, most int, patience time.Duration) ([]stream.Message, error) {
	messages, err := f.reader.Next(ctx, most, patience)
	if len(messages) > 0 {
		f.looks, f.behind = 0, false
	}
	return messages, err
}

// Look finds what a silent reader does not: that the stream has become shorter, was
// made again, or has messages that are not delivered. It returns how many looks in a
// row have found that the stream ends at the cursor.
func (f *Follower) Look(ctx context.Context, at Cursor) (idle int, err error) {
	info, err := f.stream.Info(ctx)
	switch {
	case err != nil:
		return 0, err
	case sale.InstantOf(info.Created) != at.Created, info.Last < at.Sequence:
		return 0, fmt.Errorf("%w: it ends at %d, the cursor is at %d", ErrChanged, info.Last, at.Sequence)
	case info.Last > at.Sequence && f.behind:
		return 0, fmt.Errorf("%w: the stream goes on from %d to %d", stream.ErrGap, at.Sequence, info.Last)
	case info.Last > at.Sequence: // it may be on its way: look once more, soon
		f.looks, f.behind = 0, true
		return 0, nil
	}
	f.behind = false
	f.looks++
	return f.looks, nil
}
