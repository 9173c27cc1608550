package recorder

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"notsale/pkg/follow"
	"notsale/pkg/host"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
)

// loop records one stream of attempts. It has one owner.
type loop struct {
	*Recorder

	of     wire.AttemptStream
	stream follow.Stream

	at      ledger.AttemptCursor // as last read or committed
	upTo    uint64               // last message when the stream was opened; it holds a turn until then
	pending []stream.Message     // that have come, and are not yet stored
	cleaned bool                 // nothing is left of the recorders of earlier versions
	failed  int                  // failures since the last success
	missed  time.Time            // since when the stream is not there; a success clears it
	alarmed bool                 // the alarm about what stops the stream was raised; a success resets it
}

// run records until ctx ends.
func (l *loop) run(ctx context.Context) {
	for ctx.Err() == nil {
		err := l.record(ctx)
		switch {
		case ctx.Err() != nil:
		case errors.Is(err, ledger.ErrMoved):
			l.host.Wait(ctx, yieldPause)
		case errors.Is(err, follow.ErrChanged):
			l.host.Wait(ctx, retryPause)
		case errors.Is(err, stream.ErrLost):
			l.miss(ctx, err)
			l.host.Wait(ctx, retryPause)
		case errors.Is(err, wire.ErrVersion):
			l.alarm("newer-version", err, "upgrade this recorder: the stream waits for one that can read the message")
			l.host.Wait(ctx, newerPause)
		default:
			l.fail(err)
			l.host.Wait(ctx, retryPause)
		}
	}
}

// record reads the stream on from its cursor, and stores what comes, until
// something fails. It begins when it has a turn, which it keeps until it has
// stored what was there: then it waits like the others.
func (l *loop) record(ctx context.Context) error {
	if _, ok := l.turns.Take(ctx, host.Forever); !ok {
		return ctx.Err()
	}
	yield := sync.OnceFunc(func() { l.turns.Put(nil) })
	defer yield()
	f, err := l.open(ctx)
	if err != nil {
		return err
	}
	defer f.Stop()
	for err == nil {
		if l.at.Sequence >= l.upTo {
			yield()
		}
		if len(l.pending) == 0 {
			l.pending, err = f.Next(ctx, stream.ReadAhead, f.Patience())
		}
		switch {
		case err != nil:
		case len(l.pending) > 0:
			err = l.store(ctx)
		default:
			err = l.look(ctx, f)
		}
	}
	return err
}

// open follows the stream from the cursor, if it is still the one that was
// recorded; else from its first message.
func (l *loop) open(ctx context.Context) (*follow.Follower, error) {
	at, err := l.cursor(ctx)
	if err != nil {
		return nil, err
	}
	l.at, l.pending = at, nil
	info, same, err := follow.Unchanged(ctx, l.stream, follow.Cursor(at))
	if err != nil {
		return nil, err
	}
	created := sale.InstantOf(info.Created)
	if at == (ledger.AttemptCursor{}) { // nothing of it was ever recorded
		l.at.Created = created
	} else if !same {
		if err := l.reopen(ctx, created); err != nil {
			return nil, err
		}
	}
	l.upTo = info.Last
	return follow.Open(ctx, l.stream, follow.Cursor(l.at))
}

// reopen records that the stream has lost what was recorded, and begins at its
// first message: what is there already is not stored twice.
func (l *loop) reopen(ctx context.Context, created sale.Instant) error {
	ctx, cancel := l.host.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if err := l.ports.Ledger.ReopenAttempts(ctx, l.of, l.at, created); err != nil {
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
	unreadable int
}

// gather takes messages up to the size of a batch. wire.ErrVersion: one must wait for
// a newer recorder, and so must what is behind it.
func (l *loop) gather() (b batch, err error) {
	b.to = l.at
	for len(l.pending) > 0 && len(b.attempts) < l.cfg.BatchAttempts {
		m := &l.pending[0]
		edge, attempts, err := wire.DecodeAttempts(m.Data)
		if errors.Is(err, wire.ErrVersion) {
			return b, fmt.Errorf("message %d of %s: %w", m.Sequence, l.of, err)
		}
		if err != nil {
			b.unreadable++
			l.log.Error("attempts that cannot be read are passed over", "stream", l.of, "message", m.Sequence, "error", err)
		}
		for i := range attempts {
			if l.of.Sale == 0 { // of a sale whose own stream takes nothing more it is an attempt of no sale
				attempts[i].Sale = 0
			}
			b.attempts = append(b.attempts, ledger.RecordedAttempt{Attempt: attempts[i], Edge: edge})
		}
		b.to = ledger.AttemptCursor(follow.Cursor(b.to).At(m))
		l.pending = l.pending[1:]
	}
	return b, nil
}

// store commits a batch with the cursor.
func (l *loop) store(ctx context.Context) error {
	b, newer := l.gather()
	if b.to == l.at {
		return newer
	}
	ctx, cancel := l.host.WithTimeout(ctx, storeTimeout)
	defer cancel()
	stored, err := l.ports.Ledger.RecordAttempts(ctx, l.of, l.at, b.to, b.attempts)
	if err != nil {
		return err
	}
	l.at = b.to
	l.recorded.Add(float64(stored))
	l.repeated.Add(float64(int64(len(b.attempts)) - stored))
	l.unreadable.Add(float64(b.unreadable))
	l.batches.Observe(float64(len(b.attempts)))
	l.succeed()
	return newer
}

// look compares a silent stream with the cursor, and the cursor with the ledger,
// which may have been restored.
func (l *loop) look(ctx context.Context, f *follow.Follower) error {
	idle, err := f.Look(ctx, follow.Cursor(l.at))
	if err != nil {
		return err
	}
	at, err := l.cursor(ctx)
	if err != nil {
		return err
	}
	if l.at.Sequence > 0 && at != l.at || l.at.Sequence == 0 && at.Sequence > 0 {
		return ledger.ErrMoved
	}
	if idle > 0 {
		l.succeed()
		l.clean(ctx)
	}
	return nil
}

// cursor reads how far the stream is recorded; zero: nothing of it is.
func (l *loop) cursor(ctx context.Context) (ledger.AttemptCursor, error) {
	ctx, cancel := l.host.WithTimeout(ctx, storeTimeout)
	defer cancel()
	at, err := l.ports.Ledger.AttemptCursor(ctx, l.of)
	if errors.Is(err, ledger.ErrNotFound) {
		err = nil
	}
	return at, err
}

// clean deletes what recorders of earlier versions have left of a stream, once it
// is read to its end.
func (l *loop) clean(ctx context.Context) {
	if l.cleaned || l.of.Part > 0 {
		return
	}
	l.cleaned = true
	ctx, cancel := l.host.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if err := l.ports.Streams.Clean(ctx, l.of); err != nil { // it does no harm, and the next start tries again
		l.log.Debug("what earlier recorders have left is kept", "stream", l.of, "error", err)
	}
}

// fail counts a failure. The first is often a lost connection, which is made again
// at once: the log warns of the second. If the ledger goes on refusing, a person must
// help.
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

// miss handles a stream that is not there: it is not made yet, or was archived or
// removed, which Record will hear of; else it is lost. A restored ledger does not know
// yet what was removed since its backup.
func (l *loop) miss(ctx context.Context, err error) {
	if l.missed.IsZero() {
		l.missed = l.host.Now()
	}
	if l.at.Sequence == 0 || l.removed(ctx) || l.host.Now().Sub(l.missed) < verdictTime && l.followed(ctx) {
		return
	}
	l.alarm("lost-stream", err, "restore it from a backup, or mend it where NATS says that checksums do not match, see README; what was recorded stays recorded")
}

// followed reports whether the stream is one of no sale that has a successor, so
// that a scheduler may have removed it.
func (l *loop) followed(ctx context.Context) bool {
	parts, err := l.ports.Streams.UnsoldParts(ctx)
	return l.of.Sale == 0 && (err != nil || len(parts) > 0 && l.of.Part < parts[len(parts)-1])
}

// removed reports whether the ledger says that the stream is there no more. If
// that cannot be read, it is asked again soon.
func (l *loop) removed(ctx context.Context) bool {
	ctx, cancel := l.host.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if l.of.Sale == 0 {
		parts, err := l.ports.Known.UnsoldParts(ctx)
		return err != nil || slices.Contains(parts, ledger.UnsoldPart{Part: l.of.Part, Removed: true})
	}
	row, err := l.ports.Known.Sale(ctx, l.of.Sale)
	return err != nil || row.State == sale.Archived
}
