package recorder

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"notsale/pkg/crash"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
)

// Looks at a quiet stream: the first after firstLook, then after twice as long
// each time, up to lastLook, so that a thousand idle sales cost little.
const (
	firstLook = time.Second
	lastLook  = 16 * time.Second
)

// errChanged says that a stream is not the one any more that was being read.
var errChanged = errors.New("recorder: the stream has changed under its reader")

// errStalled says that a stream has more than its reader delivers.
var errStalled = errors.New("recorder: the stream has messages that its reader does not deliver")

// loop records one stream of attempts. It has one owner.
type loop struct {
	*Recorder
	of wire.AttemptStream

	at      ledger.AttemptCursor // as last read or committed
	upTo    uint64               // last message when the reader was opened; it holds a turn until then
	reader  *stream.Reader       // starts at the cursor, whose message comes once more
	behind  bool                 // the stream had more at the last look, and nothing has come since
	cleaned bool                 // nothing is left of the recorders of earlier versions
	failed  int                  // failures since the last success
	missed  time.Time            // since when the stream is not there; a success clears it
	alarmed bool                 // people know of what stops the stream; a success arms it again
}

// run records until ctx ends.
func (l *loop) run(ctx context.Context) {
	for ctx.Err() == nil {
		err := l.record(ctx)
		switch {
		case ctx.Err() != nil:
		case errors.Is(err, ledger.ErrMoved):
			sleep(ctx, yieldPause)
		case errors.Is(err, errChanged):
			sleep(ctx, retryPause)
		case errors.Is(err, stream.ErrLost):
			l.miss(ctx, err)
			sleep(ctx, retryPause)
		case errors.Is(err, wire.ErrVersion):
			l.alarm("newer-version", err, "upgrade this recorder: the stream waits for one that can read the message")
			sleep(ctx, newerPause)
		default:
			l.fail(err)
			sleep(ctx, retryPause)
		}
	}
}

// fail counts a failure. The first is often a connection that was cut and is made
// again at once; of the second people are told, until something succeeds. What
// the ledger refuses, whoever asks, needs a person where it lasts.
func (l *loop) fail(err error) {
	l.failures.Inc()
	if l.failed++; l.failed == 2 {
		l.log.Warn("attempts are not recorded, trying on", "stream", l.of, "error", err)
	}
	if l.failed >= lasting && ledger.Refused(err) {
		l.alarm("refused-by-ledger", err, "let the database take what the error names: the stream keeps all attempts and waits")
	}
}

func (l *loop) succeed() { l.failed, l.alarmed, l.missed = 0, false, time.Time{} }

// alarm tells people what stops the stream, once.
func (l *loop) alarm(kind string, err error, advice string) {
	if l.alarmed {
		return
	}
	l.alarmed = true
	l.alarms.Inc()
	l.log.Error("ALARM", "kind", kind, "stream", l.of, "error", err, "do", advice)
}

// miss takes that the stream is not there: it is not yet made, or it is archived
// or removed, of which Run will learn; else it is lost. A ledger that was restored
// does not know yet what was removed since its backup.
func (l *loop) miss(ctx context.Context, err error) {
	if l.missed.IsZero() {
		l.missed = time.Now()
	}
	if l.at.Sequence == 0 || l.removed(ctx) || time.Since(l.missed) < verdictTime && l.followed(ctx) {
		return
	}
	l.alarm("lost-stream", err, "restore it from a backup, or mend it where NATS says that checksums do not match, see README; what was recorded stays recorded")
}

// followed reports whether the stream is one of no sale that has a successor, so
// that a scheduler may have removed it.
func (l *loop) followed(ctx context.Context) bool {
	parts, err := l.stream.UnsoldParts(ctx)
	return l.of.Sale == 0 && (err != nil || len(parts) > 0 && l.of.Part < parts[len(parts)-1])
}

// removed reports whether the ledger says that the stream is there no more. If
// that cannot be read, it is asked again soon.
func (l *loop) removed(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if l.of.Sale == 0 {
		parts, err := l.ledger.UnsoldParts(ctx)
		return err != nil || slices.Contains(parts, ledger.UnsoldPart{Part: l.of.Part, Removed: true})
	}
	row, err := l.ledger.Sale(ctx, l.of.Sale)
	return err != nil || row.State == sale.Archived
}

// record reads the stream on from its cursor, and stores what comes, until
// something fails. It begins when it has a turn, which it keeps until it has
// stored what was there: then it waits like the others.
func (l *loop) record(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case l.turns <- struct{}{}:
	}
	yield := sync.OnceFunc(func() { <-l.turns })
	defer yield()
	if err := l.open(ctx); err != nil {
		return err
	}
	defer l.reader.Stop()
	for patience := firstLook; ; {
		if l.at.Sequence >= l.upTo {
			yield()
		}
		b, err := l.next(ctx, patience)
		if b.messages > 0 {
			err = errors.Join(l.store(ctx, &b), err)
			patience, l.behind = firstLook, false
		} else if err == nil {
			err = l.look(ctx)
			patience = min(2*patience, lastLook)
			if l.behind {
				patience = firstLook
			}
		}
		if err != nil {
			return err
		}
	}
}

// open opens a reader at the cursor, if the stream is still the one that was
// recorded; else at its first message. The message is read before the state: a
// stream that is removed in between is no stream that has lost a message.
func (l *loop) open(ctx context.Context) error {
	at, err := l.cursor(ctx)
	if err != nil {
		return err
	}
	l.at, l.behind = at, false
	var last stream.Message
	if at.Sequence > 0 {
		if last, err = l.stream.AttemptMessage(ctx, l.of, at.Sequence); err != nil && !errors.Is(err, stream.ErrLost) {
			return err
		}
	}
	info, err := l.stream.AttemptInfo(ctx, l.of)
	if err != nil {
		return err
	}
	created := sale.InstantOf(info.Created)
	if at == (ledger.AttemptCursor{}) { // nothing of it was ever recorded
		l.at.Created = created
	} else if at.Created != created || at.Sequence > 0 && !l.recordedLast(&last) {
		if err := l.reopen(ctx, created); err != nil {
			return err
		}
	}
	l.upTo = info.Last
	l.reader, err = l.stream.ReadAttempts(ctx, l.of, max(l.at.Sequence, 1))
	return err
}

// cursor reads how far the stream is recorded; zero: nothing of it is.
func (l *loop) cursor(ctx context.Context) (ledger.AttemptCursor, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	at, err := l.ledger.AttemptCursor(ctx, l.of)
	if errors.Is(err, ledger.ErrNotFound) {
		err = nil
	}
	return at, err
}

// recordedLast reports whether the message is the one at the cursor. A stream
// that has lost its tail gives the sequences to other messages.
func (l *loop) recordedLast(m *stream.Message) bool {
	return m.Sequence == l.at.Sequence && m.Time == l.at.Time && m.Hash() == l.at.Hash
}

// reopen records that the stream has lost what was recorded, and begins at its
// first message: what is there already is not stored twice.
func (l *loop) reopen(ctx context.Context, created sale.Instant) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if err := l.ledger.ReopenAttempts(ctx, l.of, l.at, created); err != nil {
		return err
	}
	l.alarms.Inc()
	l.log.Error("ALARM", "kind", "lost-tail", "stream", l.of, "recorded", l.at.Sequence,
		"do", "find out why NATS has lost messages; what was recorded stays recorded, and the stream is read again from its beginning")
	l.at = ledger.AttemptCursor{Created: created}
	return nil
}

// batch is messages and the attempts in them.
type batch struct {
	attempts   []ledger.RecordedAttempt
	to         ledger.AttemptCursor // the last of the messages
	messages   int
	unreadable int
}

// next waits for a message and takes those behind it, without waiting more. An
// error may come with what was taken before.
func (l *loop) next(ctx context.Context, patience time.Duration) (b batch, err error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for b.messages == 0 && err == nil {
		select {
		case <-ctx.Done():
			return b, ctx.Err()
		case <-timer.C:
			return b, nil
		case m, open := <-l.reader.Messages():
			if !open {
				return b, l.reader.Err()
			}
			err = l.take(&b, &m)
		}
	}
	for err == nil && len(b.attempts) < l.cfg.BatchAttempts {
		select {
		case m, open := <-l.reader.Messages():
			if !open { // found again by the next call
				return b, nil
			}
			err = l.take(&b, &m)
		default:
			return b, nil
		}
	}
	return b, err
}

// take adds a message to the batch. wire.ErrVersion: it must wait for a newer
// recorder, and so must what is behind it.
func (l *loop) take(b *batch, m *stream.Message) error {
	if m.Sequence == l.at.Sequence {
		if !l.recordedLast(m) {
			return errChanged
		}
		return nil
	}
	edge, attempts, err := wire.DecodeAttempts(m.Data)
	if errors.Is(err, wire.ErrVersion) {
		return fmt.Errorf("message %d of %s: %w", m.Sequence, l.of, err)
	}
	if err != nil {
		b.unreadable++
		l.log.Error("attempts that cannot be read are passed over", "stream", l.of, "message", m.Sequence, "error", err)
	}
	b.messages++
	b.to = ledger.AttemptCursor{Sequence: m.Sequence, Time: m.Time, Hash: m.Hash(), Created: l.at.Created}
	for i := range attempts {
		b.attempts = append(b.attempts, ledger.RecordedAttempt{Attempt: attempts[i], Edge: edge})
	}
	return nil
}

// store commits the attempts with the cursor.
func (l *loop) store(ctx context.Context, b *batch) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	crash.At("recorder/before-insert")
	stored, err := l.ledger.RecordAttempts(ctx, l.of, l.at, b.to, b.attempts)
	if err != nil {
		return err
	}
	crash.At("recorder/after-insert")
	l.at = b.to
	l.recorded.Add(float64(stored))
	l.repeated.Add(float64(int64(len(b.attempts)) - stored))
	l.unreadable.Add(float64(b.unreadable))
	l.batches.Observe(float64(len(b.attempts)))
	l.succeed()
	return nil
}

// look finds what a quiet reader does not tell: a ledger that was restored, a
// stream that has lost its tail or does not deliver.
func (l *loop) look(ctx context.Context) error {
	info, err := l.stream.AttemptInfo(ctx, l.of)
	if err != nil {
		return err
	}
	if sale.InstantOf(info.Created) != l.at.Created || info.Last < l.at.Sequence {
		return errChanged
	}
	at, err := l.cursor(ctx)
	if err != nil {
		return err
	}
	if l.at.Sequence > 0 && at != l.at || l.at.Sequence == 0 && at.Sequence > 0 {
		return ledger.ErrMoved
	}
	if info.Last > l.at.Sequence {
		if l.behind {
			return errStalled
		}
		l.behind = true
		return nil
	}
	l.behind = false
	l.succeed()
	l.clean(ctx)
	return nil
}

// clean deletes what recorders of earlier versions have left of a stream, once it
// is read to its end: their consumer and their mark.
func (l *loop) clean(ctx context.Context) {
	if l.cleaned || l.of.Part > 0 {
		return
	}
	l.cleaned = true
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	err := l.stream.DeleteOldRecorder(ctx, l.of)
	if err == nil {
		err = l.ledger.ForgetMark(ctx, l.of.Sale)
	}
	if err != nil { // it does no harm, and the next start tries again
		l.log.Debug("what earlier recorders have left is kept", "stream", l.of, "error", err)
	}
}
