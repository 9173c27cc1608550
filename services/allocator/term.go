package allocator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"notsale/pkg/allocation"
	"notsale/pkg/follow"
	"notsale/pkg/host"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
)

// term decides one sale during one lease. It has one owner.
type term struct {
	lease    ledger.Lease
	cfg      Config
	history  History
	commits  Commits
	streams  Streams
	stream   follow.Stream // the sale's
	cache    Cache
	replies  *replies
	turns    host.Inbox // a turn for each restore that may be under way
	host     host.Host
	progress *progress
	metrics  *metrics
	log      *slog.Logger

	sale     sale.Sale
	at       ledger.Position       // as last read or committed
	engine   *allocation.Engine    // nil until a message needs it
	page     []allocation.Decision // that was read last; its room is reused
	facts    facts
	warned   warnOnce
	failures int  // in a row, for pauses
	missing  bool // the stream was not there at the last look
	misfit   bool // what was restored last is no history
	refused  bool // the last commit did not fit what the ledger holds
}

// newTerm returns the term of a lease.
func (a *Allocator) newTerm(lease ledger.Lease) *term {
	return &term{
		lease: lease, cfg: a.cfg, history: a.ports.History, commits: a.ports.Commits, streams: a.ports.Streams, stream: a.ports.Streams.Of(lease.Sale), cache: a.ports.Cache, turns: a.turns,
		replies: newReplies(a.ports.Edges), host: a.host, metrics: a.metrics, log: a.log.With("sale", lease.Sale, "epoch", lease.Epoch),
		progress: newProgress(a.host, &a.attended),
	}
}

// Limits of calls, after which a dead connection is given up.
const (
	// ledgerTimeout is more than the server lets a statement take, and a session to
	// be made. A healthy ledger commits in milliseconds; one whose disk takes 3 s for
	// a flush commits in six.
	ledgerTimeout = ledger.DefaultPatience + 5*time.Second
	// streamTimeout is of up to three calls to NATS.
	streamTimeout = 15 * time.Second
)

// call begins calls that take no longer than the limit: what they are is seen from
// outside until the next begin.
func (t *term) call(ctx context.Context, what string, limit time.Duration) (context.Context, context.CancelFunc) {
	t.progress.begin(what, limit)
	return t.host.WithTimeout(ctx, limit)
}

// Pauses of a term.
const (
	firstPause = 20 * time.Millisecond
	lastPause  = time.Second
	// unloadAfter is after how many looks an idle sale's engine is let go.
	unloadAfter = 30
)

// ErrGiveUp is wrapped by the end of a term after which this process should leave
// the sale alone for a while: it needs a person, or a newer program.
var ErrGiveUp = errors.New("the sale cannot be decided here")

// run decides the sale until ctx ends, the lease is lost (ledger.ErrFenced), or a
// person is needed (ErrGiveUp). Any doubt starts over from the ledger.
func (t *term) run(ctx context.Context) error {
	for {
		err := t.follow(ctx)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, ledger.ErrFenced), errors.Is(err, ErrGiveUp):
			return err
		case err != nil:
			t.pause(ctx, err)
		}
	}
}

// follow checks ledger and stream, then decides what arrives until something
// fails, or a hole was opened.
func (t *term) follow(ctx context.Context) error {
	if err := t.load(ctx); err != nil {
		return err
	}
	matches, err := t.verify(ctx)
	if err != nil || !matches {
		return err
	}
	f, err := t.open(ctx)
	if err != nil {
		return err
	}
	defer f.Stop()
	for err == nil {
		var messages []stream.Message
		messages, err = t.await(ctx, f)
		switch {
		case err != nil:
		case len(messages) > 0:
			t.failures = 0
			err = t.decide(ctx, messages)
		default:
			err = t.look(ctx, f)
		}
	}
	return err
}

// load reads where the sale stands.
func (t *term) load(ctx context.Context) error {
	at, row, err := t.read(ctx)
	if err != nil {
		return err
	}
	if !at.Mine || at.Epoch != t.lease.Epoch {
		return ledger.ErrFenced
	}
	t.sale, t.at = row.Sale, at
	t.facts.aligned = false
	t.align(ctx)
	if e := t.engine; e != nil && (e.Cursor().Position > at.Cursor.Position || e.Sale() != t.sale) {
		t.engine = nil // the ledger went back: a restore of an older backup
	}
	return nil
}

func (t *term) read(ctx context.Context) (at ledger.Position, row ledger.SaleRow, err error) {
	ctx, done := t.call(ctx, "reading the ledger", ledgerTimeout)
	defer done()
	if at, err = t.history.Cursor(ctx, t.lease.Sale); err == nil {
		row, err = t.history.Sale(ctx, t.lease.Sale)
	}
	return at, row, err
}

// verify checks that the stream is still the one that was decided. A lost tail
// becomes a hole, and the sale is loaded anew.
func (t *term) verify(ctx context.Context) (matches bool, err error) {
	opening, info, matches, err := t.peek(ctx)
	lost := errors.Is(err, stream.ErrLost)
	switch {
	case errors.Is(err, wire.ErrVersion):
		return false, t.giveUp("newer-version", err)
	case errors.Is(err, wire.ErrMessage):
		return false, t.giveUp("foreign-stream", err)
	case lost && t.missing: // and the ledger, read in between, does not say that it was archived
		return false, t.giveUp("lost-stream", fmt.Errorf("%w: restore it from a backup, mend it where NATS says that checksums do not match, see README, or give its archive to notsale sale archive; what was sold stays sold", err))
	case err != nil:
		t.missing = lost
		return false, err
	case opening.Sale != t.sale:
		return false, t.giveUp("foreign-stream", stream.ErrForeign)
	case !allocation.KnownRules(t.sale.Rules):
		return false, t.giveUp("newer-version", fmt.Errorf("%w: the sale has version %d; upgrade this allocator", allocation.ErrRules, t.sale.Rules))
	}
	t.missing = false
	if matches {
		return true, nil
	}
	return false, t.openHole(ctx, info, markOf(&opening.Message))
}

// peek reads the stream's opening record and its state, and tells whether it is as
// it was decided.
func (t *term) peek(ctx context.Context) (opening stream.Opening, info stream.Info, matches bool, err error) {
	ctx, done := t.call(ctx, "reading the stream", streamTimeout)
	defer done()
	if opening, err = t.streams.Opening(ctx, t.lease.Sale); err == nil {
		info, matches, err = follow.Unchanged(ctx, t.stream, t.cursor())
	}
	return opening, info, matches, err
}

// cursor is the message that was decided last.
func (t *term) cursor() follow.Cursor {
	c := &t.at.Cursor
	return follow.Cursor{Sequence: c.Sequence, Time: c.PackTime, Hash: c.PackHash, Created: sale.InstantOf(t.at.StreamCreated)}
}

// markOf returns what tells a message from any other at its sequence.
func markOf(m *stream.Message) allocation.Mark {
	return allocation.Mark{Time: m.Time, Hash: m.Hash()}
}

// openHole finds the last message that is still as it was decided, by halving the
// stretch, for what is lost is a tail, and opens a new generation behind it. mark
// is that of message 1, the opening record, which matches.
func (t *term) openHole(ctx context.Context, info stream.Info, mark allocation.Mark) error {
	c := t.at.Cursor
	low, high := uint64(1), min(info.Last, c.Sequence)
	for low < high {
		middle := low + (high-low+1)/2
		found, same, err := t.compare(ctx, middle)
		switch {
		case err != nil:
			return err
		case same:
			low, mark = middle, found
		default:
			high = middle - 1
		}
	}
	hole := allocation.Hole{Generation: c.Generation + 1, Matching: low, Mark: mark, Lost: c, StreamCreated: sale.InstantOf(info.Created)}
	ctx, done := t.call(ctx, "recording a hole", ledgerTimeout)
	defer done()
	err := t.commits.OpenGeneration(ctx, t.lease.Sale, t.lease.Epoch, &hole)
	if errors.Is(err, ledger.ErrFenced) { // perhaps by our own try before, which the ledger knows
		return fmt.Errorf("opening a hole: %v", err) //nolint:errorlint // not the end of the lease
	}
	if err == nil {
		t.alarm("lost-tail", fmt.Errorf("%w: messages after %d of the sale's stream are not those that were decided, up to %d; what was sold stays sold, a hole is recorded", stream.ErrLost, low, c.Sequence))
	}
	return err
}

// compare tells whether a message is the one that was decided at its sequence.
func (t *term) compare(ctx context.Context, sequence uint64) (mark allocation.Mark, same bool, err error) {
	ctx, done := t.call(ctx, "comparing stream and ledger", streamTimeout+ledgerTimeout)
	defer done()
	m, err := t.stream.Message(ctx, sequence)
	if errors.Is(err, stream.ErrLost) {
		return mark, false, nil
	}
	if err != nil {
		return mark, false, err
	}
	mark = markOf(&m)
	same, err = t.commits.Applied(ctx, t.lease.Sale, sequence, mark)
	return mark, same, err
}

// open opens a follower at the cursor.
func (t *term) open(ctx context.Context) (*follow.Follower, error) {
	ctx, done := t.call(ctx, "reading the stream", streamTimeout)
	defer done()
	return follow.Open(ctx, t.stream, t.cursor())
}

// await waits for messages until it is time to look at the stream, and looks at the
// cache meanwhile.
func (t *term) await(ctx context.Context, f *follow.Follower) ([]stream.Message, error) {
	for patience := f.Patience(); ; {
		slice := min(patience, alignEvery)
		t.progress.waits(slice)
		messages, err := f.Next(ctx, stream.ReadAhead, slice)
		if patience -= slice; err != nil || len(messages) > 0 || patience <= 0 {
			return messages, err
		}
		t.align(ctx)
	}
}

// decide applies messages in batches. Each is committed, then told, in that order.
func (t *term) decide(ctx context.Context, messages []stream.Message) error {
	for len(messages) > 0 {
		if err := t.restore(ctx); err != nil {
			return err
		}
		batch, rest, newer := t.apply(messages)
		if !batch.Empty() {
			if err := t.commit(ctx, batch); err != nil {
				return err
			}
			t.tell(ctx, batch)
		}
		if newer != nil {
			return t.giveUp("newer-version", newer)
		}
		messages = rest
	}
	return nil
}

// apply decides messages up to the size of a batch. One of a newer version is not
// decided, nor is anything behind it.
func (t *term) apply(messages []stream.Message) (b *allocation.Batch, rest []stream.Message, newer error) {
	b = t.engine.Begin()
	for rest = messages; len(rest) > 0 && b.After.Position-b.Before.Position < int64(t.cfg.BatchRequests); rest = rest[1:] {
		p, err := wire.ReadPack(rest[0].Sequence, rest[0].Time, rest[0].Data)
		if err != nil {
			return b, nil, err
		}
		t.engine.Apply(p, b)
	}
	return b, rest, nil
}

// commit returns once the batch is known to be in the ledger.
func (t *term) commit(ctx context.Context, b *allocation.Batch) error {
	for doubt := false; ; doubt = true {
		err := t.write(ctx, b)
		if errors.Is(err, ledger.ErrFenced) && doubt { // perhaps by our own commit before
			err = t.settle(ctx, b)
		}
		switch {
		case err == nil:
			t.at.Cursor, t.failures, t.refused = b.After, 0, false
			return nil
		case ledger.Contradicts(err):
			return t.contradicted(err)
		case errors.Is(err, ledger.ErrFenced), errors.Is(context.Cause(ctx), ledger.ErrFenced):
			t.metrics.fenced.Inc()
			return ledger.ErrFenced
		case ctx.Err() != nil:
			return err
		}
		t.pause(ctx, err)
	}
}

func (t *term) write(ctx context.Context, b *allocation.Batch) error {
	ctx, done := t.call(ctx, "a commit", ledgerTimeout)
	defer done()
	started := t.host.Now()
	err := t.commits.Commit(ctx, t.lease.Sale, t.lease.Epoch, b)
	if err == nil {
		t.metrics.commits.Observe(t.host.Now().Sub(started).Seconds())
	}
	return err
}

// settle tells whether a batch whose commit is in doubt was committed, once nothing
// of it is under way any more: ledger.ErrFenced where it was not.
func (t *term) settle(ctx context.Context, b *allocation.Batch) error {
	for {
		at, err := t.settled(ctx)
		switch {
		case err == nil && at.Mine && at.Epoch == t.lease.Epoch && at.Cursor == b.After:
			return nil
		case err == nil:
			return ledger.ErrFenced
		case ctx.Err() != nil:
			return err
		}
		t.pause(ctx, err)
	}
}

func (t *term) settled(ctx context.Context) (ledger.Position, error) {
	ctx, done := t.call(ctx, "reading the ledger", ledgerTimeout)
	defer done()
	return t.commits.Settled(ctx, t.lease.Sale, t.lease.Epoch)
}

// contradicted has a batch decided once more that the ledger has refused whole,
// with an engine that is made of what it holds now. No earlier try of the batch was
// made: it would have moved the cursor, which the commit looks at first.
func (t *term) contradicted(err error) error {
	if t.refused {
		return t.giveUp("inconsistent-ledger", fmt.Errorf("what is decided does not fit what the ledger holds, `notsale audit --sale %d` names the rows: %w", t.lease.Sale, err))
	}
	t.engine, t.refused = nil, true
	return err
}

// tell tells what is committed: first the cache, then the edges.
func (t *term) tell(ctx context.Context, b *allocation.Batch) {
	t.metrics.committed(b, t.host.Now())
	t.progress.begin("telling what is committed", factsLimit)
	t.progress.well()
	if err := t.learn(ctx, b); err != nil {
		t.log.Debug("facts not cached", "error", err)
	}
	t.warned.about(t.log, "decisions are not told: shoppers wait, and are told to ask again", t.replies.send(b.Replies))
}

// look compares a silent stream with the cursor, and the cursor with the ledger,
// which may have been restored. An idle sale's engine is let go.
func (t *term) look(ctx context.Context, f *follow.Follower) error {
	at, idle, err := t.ends(ctx, f)
	if err != nil {
		return err
	}
	t.align(ctx)
	if c := &t.at.Cursor; at.Cursor != *c {
		return fmt.Errorf("%w: the ledger stands at %d, not at %d: it was restored", allocation.ErrHistory, at.Cursor.Sequence, c.Sequence)
	}
	if idle >= unloadAfter {
		t.engine = nil
	}
	return nil
}

// ends reads where stream and ledger end.
func (t *term) ends(ctx context.Context, f *follow.Follower) (at ledger.Position, idle int, err error) {
	t.progress.idle()
	ctx, done := t.call(ctx, "comparing stream and ledger", streamTimeout+ledgerTimeout)
	defer done()
	if idle, err = f.Look(ctx, t.cursor()); err == nil {
		at, err = t.history.Cursor(ctx, t.lease.Sale)
	}
	return at, idle, err
}

// pause waits because of an error, longer with each in a row.
func (t *term) pause(ctx context.Context, err error) {
	length := min(firstPause<<min(t.failures, 10), lastPause)
	t.progress.begin("a pause", length)
	t.failures++
	t.metrics.restarts.Inc()
	level := slog.LevelDebug // the first failure of a row was told
	if t.progress.fail(err) {
		level = slog.LevelWarn
	}
	t.log.Log(ctx, level, "something failed, going on after a pause", "error", err, "pause", length)
	t.host.Wait(ctx, length)
}

func (t *term) alarm(kind string, err error) {
	t.progress.begin("an alarm", 0)
	t.metrics.alarms.WithLabelValues(kind).Inc()
	t.log.Error("ALARM", "kind", kind, "error", err)
}

// giveUp raises an alarm and ends the term.
func (t *term) giveUp(kind string, err error) error {
	t.alarm(kind, err)
	return fmt.Errorf("%w: %w", ErrGiveUp, err)
}
