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

// Limits of calls, after which a dead connection is given up.
const (
	// ledgerTimeout is more than the server allows a statement, and making a session.
	// A healthy ledger commits in milliseconds; one whose disk takes 3 s for a flush
	// commits in six.
	ledgerTimeout = ledger.DefaultPatience + 5*time.Second
	// streamTimeout is for up to three calls to NATS.
	streamTimeout = 15 * time.Second
)

// Pauses of a term after errors.
const (
	firstPause = 20 * time.Millisecond
	lastPause  = time.Second
)

// unloadAfter is after how many looks at a silent stream the sale's engine is
// dropped.
const unloadAfter = 30

// ErrGiveUp is wrapped by the end of a term after which this process should leave
// the sale alone for a while: it needs a person, or a newer program.
var ErrGiveUp = errors.New("the sale cannot be decided here")

// term decides one sale during one lease. It has one owner.
type term struct {
	lease    ledger.Lease
	cancel   context.CancelCauseFunc // ends it
	cfg      Config
	ports    Ports
	stream   follow.Stream // the sale's
	turns    host.Inbox    // one token for each restore that may run
	host     host.Host
	progress *progress
	metrics  *metrics
	log      *slog.Logger

	sale     sale.Sale
	at       ledger.Position    // as last read or committed
	engine   *allocation.Engine // nil until a message needs it
	pages    pages
	facts    facts
	replies  replies
	warned   warnOnce
	failures int  // in a row, for pauses
	missing  bool // the stream was not there at the last look
	misfit   bool // the decisions read last cannot have led to the cursor
	refused  bool // the ledger refused the last batch as contradicting what it holds
}

// newTerm returns the term of a lease.
func (a *Allocator) newTerm(lease ledger.Lease) *term {
	return &term{
		lease: lease, cfg: a.cfg, ports: a.ports, stream: a.ports.Streams.Of(lease.Sale), turns: a.turns, host: a.host,
		progress: newProgress(a.host, &a.attended), metrics: a.metrics, log: a.log.With("sale", lease.Sale, "epoch", lease.Epoch),
		pages: pages{history: a.ports.History, host: a.host, size: a.cfg.RestorePage}, replies: replies{edges: a.ports.Edges, byEdge: map[string][]wire.Reply{}},
	}
}

// run decides the sale until ctx ends, the lease is lost (ledger.ErrFenced), or a
// person is needed (ErrGiveUp). After any other error it starts over from the
// ledger.
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

// follow checks ledger and stream, then decides what arrives, until something
// fails or it has recorded a hole.
func (t *term) follow(ctx context.Context) error {
	if err := t.load(ctx); err != nil {
		return err
	}
	matches, err := t.verify(ctx)
	if err != nil || !matches {
		return err
	}
	var f *follow.Follower
	err = t.call(ctx, "reading the stream", streamTimeout, func(ctx context.Context) (err error) {
		f, err = follow.Open(ctx, t.stream, t.cursor())
		return err
	})
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

// call makes calls that take no longer than the limit. They count as under way
// until the next ones begin.
func (t *term) call(ctx context.Context, what string, limit time.Duration, do func(context.Context) error) error {
	t.progress.begin(what, limit)
	ctx, cancel := t.host.WithTimeout(ctx, limit)
	defer cancel()
	return do(ctx)
}

// load reads the sale and its cursor from the ledger.
func (t *term) load(ctx context.Context) error {
	var at ledger.Position
	var row ledger.SaleRow
	err := t.call(ctx, "reading the ledger", ledgerTimeout, func(ctx context.Context) (err error) {
		if at, err = t.ports.History.Cursor(ctx, t.lease.Sale); err == nil {
			row, err = t.ports.History.Sale(ctx, t.lease.Sale)
		}
		return err
	})
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
		t.engine = nil // an older backup of the ledger was restored
	}
	return nil
}

// cursor is the message that was decided last.
func (t *term) cursor() follow.Cursor {
	c := &t.at.Cursor
	return follow.Cursor{Sequence: c.Sequence, Time: c.PackTime, Hash: c.PackHash, Created: sale.InstantOf(t.at.StreamCreated)}
}

// verify checks that the stream is still the one that was decided. If it has lost
// its tail, verify records a hole, and the sale is to be loaded again.
func (t *term) verify(ctx context.Context) (matches bool, err error) {
	var opening stream.Opening
	var info stream.Info
	err = t.call(ctx, "reading the stream", streamTimeout, func(ctx context.Context) (err error) {
		if opening, err = t.ports.Streams.Opening(ctx, t.lease.Sale); err == nil {
			info, matches, err = follow.Unchanged(ctx, t.stream, t.cursor())
		}
		return err
	})
	lost := errors.Is(err, stream.ErrLost)
	switch {
	case errors.Is(err, wire.ErrVersion):
		return false, t.giveUp("newer-version", err)
	case errors.Is(err, wire.ErrMessage):
		return false, t.giveUp("foreign-stream", err)
	case lost && t.missing: // and the ledger, read in between, does not say that the sale was archived
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
	return false, t.openHole(ctx, info, fingerprint(&opening.Message))
}

// fingerprint tells a message from any other at its sequence.
func fingerprint(m *stream.Message) allocation.Mark {
	return allocation.Mark{Time: m.Time, Hash: m.Hash()}
}

// openHole finds the last message that is still the one that was decided, and
// records a hole behind it, with which a new generation begins. What is lost is a
// tail, so it searches by halving, from message 1, the opening record, which still
// is what it was.
func (t *term) openHole(ctx context.Context, info stream.Info, opening allocation.Mark) error {
	c := t.at.Cursor
	low, high, last := uint64(1), min(info.Last, c.Sequence), opening
	for low < high {
		middle := low + (high-low+1)/2
		found, same, err := t.compare(ctx, middle)
		switch {
		case err != nil:
			return err
		case same:
			low, last = middle, found
		default:
			high = middle - 1
		}
	}
	hole := allocation.Hole{Generation: c.Generation + 1, Matching: low, Mark: last, Lost: c, StreamCreated: sale.InstantOf(info.Created)}
	err := t.call(ctx, "recording a hole", ledgerTimeout, func(ctx context.Context) error {
		return t.ports.Commits.OpenGeneration(ctx, t.lease.Sale, t.lease.Epoch, &hole)
	})
	if errors.Is(err, ledger.ErrFenced) { // perhaps an earlier try of ours succeeded, which the ledger knows
		return fmt.Errorf("opening a hole: %v", err) //nolint:errorlint // not the end of the lease
	}
	if err == nil {
		t.alarm("lost-tail", fmt.Errorf("%w: messages after %d of the sale's stream are not those that were decided, up to %d; what was sold stays sold, a hole is recorded", stream.ErrLost, low, c.Sequence))
	}
	return err
}

// compare reports whether a message is the one that was decided at its sequence.
func (t *term) compare(ctx context.Context, sequence uint64) (found allocation.Mark, same bool, err error) {
	err = t.call(ctx, "comparing stream and ledger", streamTimeout+ledgerTimeout, func(ctx context.Context) error {
		m, err := t.stream.Message(ctx, sequence)
		if errors.Is(err, stream.ErrLost) {
			return nil
		}
		if err == nil {
			found = fingerprint(&m)
			same, err = t.ports.Commits.Applied(ctx, t.lease.Sale, sequence, found)
		}
		return err
	})
	return found, same, err
}

// await waits for messages until it is time to look at a silent stream. Meanwhile
// it looks at the cache.
func (t *term) await(ctx context.Context, f *follow.Follower) ([]stream.Message, error) {
	for patience := f.Patience(); ; {
		slice := min(patience, alignEvery)
		t.progress.begin(waiting, slice)
		t.progress.well()
		messages, err := f.Next(ctx, stream.ReadAhead, slice)
		if patience -= slice; err != nil || len(messages) > 0 || patience <= 0 {
			return messages, err
		}
		t.align(ctx)
	}
}

// decide decides messages in batches. Each is committed, and only then told.
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

// apply lets the engine decide messages, up to the size of a batch. It stops at a
// message of a newer version: neither that nor any later one may be decided here.
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

// commit returns nil once the batch is known to be in the ledger.
func (t *term) commit(ctx context.Context, b *allocation.Batch) error {
	for inDoubt := false; ; inDoubt = true {
		err := t.write(ctx, b)
		if errors.Is(err, ledger.ErrFenced) && inDoubt { // perhaps our own earlier try has moved the cursor
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
	started := t.host.Now()
	err := t.call(ctx, "a commit", ledgerTimeout, func(ctx context.Context) error {
		return t.ports.Commits.Commit(ctx, t.lease.Sale, t.lease.Epoch, b)
	})
	if err == nil {
		t.metrics.commits.Observe(t.host.Now().Sub(started).Seconds())
	}
	return err
}

// settle waits until no try of a commit is under way any more, and returns nil if
// one has succeeded, else ledger.ErrFenced.
func (t *term) settle(ctx context.Context, b *allocation.Batch) error {
	for {
		var at ledger.Position
		err := t.call(ctx, "reading the ledger", ledgerTimeout, func(ctx context.Context) (err error) {
			at, err = t.ports.Commits.Settled(ctx, t.lease.Sale, t.lease.Epoch)
			return err
		})
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

// contradicted handles a batch that the ledger refuses because it contradicts what
// the ledger holds: the engine was wrong, or somebody has changed the ledger. The
// batch is decided once more, by an engine made from what the ledger holds now. No
// earlier try of the batch can have succeeded: the commit checks the cursor first.
func (t *term) contradicted(err error) error {
	if t.refused {
		return t.giveUp("inconsistent-ledger", fmt.Errorf("what is decided does not fit what the ledger holds, `notsale audit --sale %d` names the rows: %w", t.lease.Sale, err))
	}
	t.engine, t.refused = nil, true
	return err
}

// look compares a silent stream with the cursor, and the cursor with the ledger,
// which may have been restored. The engine of an idle sale is dropped.
func (t *term) look(ctx context.Context, f *follow.Follower) error {
	t.progress.restored() // nothing waits for one
	var at ledger.Position
	var idle int
	err := t.call(ctx, "comparing stream and ledger", streamTimeout+ledgerTimeout, func(ctx context.Context) (err error) {
		if idle, err = f.Look(ctx, t.cursor()); err == nil {
			at, err = t.ports.History.Cursor(ctx, t.lease.Sale)
		}
		return err
	})
	if err != nil {
		return err
	}
	t.align(ctx)
	if c := &t.at.Cursor; at.Cursor != *c {
		return fmt.Errorf("%w: the ledger's cursor is at %d, not at %d: the ledger was restored", allocation.ErrHistory, at.Cursor.Sequence, c.Sequence)
	}
	if idle >= unloadAfter {
		t.engine = nil
	}
	return nil
}

// pause waits after an error, longer with each in a row.
func (t *term) pause(ctx context.Context, err error) {
	length := min(firstPause<<min(t.failures, 10), lastPause)
	t.progress.begin("a pause", length)
	t.failures++
	t.metrics.restarts.Inc()
	level := slog.LevelDebug
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
