package term

import (
	"errors"
	"fmt"
	"time"

	"notsale/pkg/allocation"
	"notsale/pkg/ledger"
	"notsale/pkg/planted"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
)

// Term is one allocator's term on one sale. It has one owner.
type Term struct {
	id    sale.ID
	epoch int64
	limit int // requests per batch

	of     sale.Sale
	pos    ledger.Position    // as last read or committed
	engine *allocation.Engine // nil until a message needs it
	info   stream.Info

	pending []stream.Message  // arrived, not applied
	first   bool              // the next message to arrive is the one at the cursor
	batch   *allocation.Batch // applied, not known to be committed
	doubt   bool              // a commit of batch failed in an unknown way
	closed  bool              // the reader was closed by ReadLedger
	missing bool              // the stream was not there at the last ReadStream
	misfit  bool              // what the last Restore read was no history
	refused bool              // the last commit did not fit what the ledger holds
	poison  error             // a message that must not be decided stands next

	low, high uint64          // search for the last matching message
	mark      allocation.Mark // of the message at low

	failures int    // in a row, for pauses
	looks    int    // looks at the stream since anything arrived
	last     uint64 // end of the stream at the look before
	then     Effect // what follows a pause or an alarm
}

// Pauses of a term.
const (
	firstPause = 20 * time.Millisecond
	lastPause  = time.Second
	// quietFirst is when a silent stream is first looked at; then twice as
	// long each time, up to quietLast, so that a thousand idle sales cost little.
	quietFirst = time.Second
	quietLast  = 32 * time.Second
	// unloadAfter is after how many looks an idle sale's engine is let go.
	unloadAfter = 30
)

// ErrGiveUp is wrapped by a stop after which this process should leave the
// sale alone for a while: it needs a person, or a newer program.
var ErrGiveUp = errors.New("the sale cannot be decided here")

// New returns a term of at most limit requests per batch, whose first effect
// is ReadLedger. warm is an engine that a standby has kept, or nil.
func New(lease ledger.Lease, limit int, warm *allocation.Engine) *Term {
	return &Term{id: lease.Sale, epoch: lease.Epoch, limit: limit, engine: warm}
}

// Step takes what an effect led to and returns the next effect.
func (t *Term) Step(e Event) Effect {
	switch e := e.(type) {
	case LedgerRead:
		return t.onLedger(e)
	case StreamRead:
		return t.onStream(e)
	case Compared:
		return t.onCompared(e)
	case HoleOpened:
		return t.onHoleOpened(e)
	case ReaderOpened:
		return t.onReaderOpened(e)
	case Arrived:
		t.pending = append(t.pending, e.Messages...)
		t.failures, t.looks = 0, 0
		return t.advance()
	case Quiet:
		return t.onQuiet()
	case Peeked:
		return t.onPeeked(e)
	case ReaderFailed:
		return t.again(e.Err)
	case Restored:
		return t.onRestored(e)
	case Committed:
		return t.onCommitted(e)
	case Published:
		return t.onPublished()
	case Resumed:
		return t.then
	}
	panic(fmt.Sprintf("term: unknown event %T", e))
}

// again starts over from the ledger after a pause that grows with failures.
func (t *Term) again(err error) Effect {
	t.pending = nil
	t.then = ReadLedger{Settle: t.doubt}
	return t.backOff(err)
}

func (t *Term) backOff(err error) Effect {
	length := min(firstPause<<min(t.failures, 10), lastPause)
	t.failures++
	return Pause{length, err}
}

// giveUp raises an alarm and ends the term.
func (t *Term) giveUp(kind string, err error) Effect {
	t.then = Stop{fmt.Errorf("%w: %w", ErrGiveUp, err)}
	return Alarm{kind, err}
}

// Undecided reports whether the term holds a batch that it does not know to be
// committed.
func (t *Term) Undecided() bool { return t.batch != nil }

func (t *Term) onLedger(e LedgerRead) Effect {
	t.closed = true
	switch {
	case e.Err != nil:
		t.then = ReadLedger{Settle: t.doubt}
		return t.backOff(e.Err)
	case !e.Pos.Mine || e.Pos.Epoch != t.epoch:
		return Stop{ledger.ErrFenced}
	case t.batch != nil && e.Pos.Cursor == t.batch.After: // the commit in doubt was made
		t.pos = e.Pos
		return Publish{t.of.UUID, t.batch}
	case t.batch != nil:
		return Stop{ledger.ErrFenced}
	}
	t.of, t.pos = e.Row, e.Pos
	if e := t.engine; e != nil && (e.Cursor().Position > t.pos.Cursor.Position || e.Sale() != t.of) {
		t.engine = nil // the ledger went back: a restore of an older backup
	}
	return ReadStream{t.pos.Cursor.Sequence}
}

// onStream checks that the stream is still the one that was decided.
func (t *Term) onStream(e StreamRead) Effect {
	c := &t.pos.Cursor
	switch {
	case errors.Is(e.Err, wire.ErrVersion):
		return t.giveUp("newer-version", e.Err)
	case errors.Is(e.Err, wire.ErrMessage):
		return t.giveUp("foreign-stream", e.Err)
	case errors.Is(e.Err, stream.ErrLost) && !t.missing:
		t.missing = true // perhaps archived meanwhile, which the ledger knows
		return t.again(e.Err)
	case errors.Is(e.Err, stream.ErrLost):
		return t.giveUp("lost-stream", fmt.Errorf("%w: restore it from a backup, mend it where NATS says that checksums do not match, see README, or give its archive to notsale sale archive; what was sold stays sold", e.Err))
	case e.Err != nil:
		return t.again(e.Err)
	case e.Opening.Sale != t.of:
		return t.giveUp("foreign-stream", stream.ErrForeign)
	case !allocation.KnownRules(t.of.Rules):
		return t.giveUp("newer-version", fmt.Errorf("%w: the sale has version %d; upgrade this allocator", allocation.ErrRules, t.of.Rules))
	}
	t.info, t.missing = e.Info, false
	if planted.Bug == planted.StandbyAfterCursor && e.Info.Last >= c.Sequence {
		return OpenReader{c.Sequence + 1}
	}
	same := e.Info.Created.Truncate(time.Microsecond).Equal(t.pos.StreamCreated) // not after a restore from a backup
	if planted.Bug == planted.TailCheckSkipped || same && e.Info.Last >= c.Sequence && t.decided(&e.Message) {
		return OpenReader{c.Sequence}
	}
	t.low, t.high = 1, min(e.Info.Last, c.Sequence) // message 1 matches: it is the sale's opening record
	t.mark = MarkOf(&e.Opening.Message)
	return t.search()
}

// MarkOf returns what tells a message from any other at its sequence.
func MarkOf(m *stream.Message) allocation.Mark {
	return allocation.Mark{Time: m.Time, Hash: m.Hash()}
}

// decided reports whether the message is the one that the cursor speaks of.
func (t *Term) decided(m *stream.Message) bool {
	c := &t.pos.Cursor
	return planted.Bug == planted.TailCheckSkipped || MarkOf(m) == allocation.Mark{Time: c.PackTime, Hash: c.PackHash}
}

// search looks for the last message that is still as it was applied. What is
// lost is a tail, so halving the stretch finds it.
func (t *Term) search() Effect {
	if t.low < t.high {
		return Compare{t.low + (t.high-t.low+1)/2}
	}
	c := t.pos.Cursor
	return OpenHole{allocation.Hole{Generation: c.Generation + 1, Matching: t.low, Mark: t.mark, Lost: c, StreamCreated: sale.InstantOf(t.info.Created)}}
}

func (t *Term) onCompared(e Compared) Effect {
	middle := t.low + (t.high-t.low+1)/2
	switch {
	case e.Err != nil:
		return t.again(e.Err)
	case e.Same:
		t.low, t.mark = middle, e.Mark
	default:
		t.high = middle - 1
	}
	return t.search()
}

func (t *Term) onHoleOpened(e HoleOpened) Effect {
	if errors.Is(e.Err, ledger.ErrFenced) {
		t.then = ReadLedger{} // it may have been our own, in doubt
		return t.backOff(e.Err)
	}
	if e.Err != nil {
		return t.again(e.Err)
	}
	t.then = ReadLedger{}
	return Alarm{"lost-tail", fmt.Errorf("%w: messages after %d of the sale's stream are not those that were decided, up to %d; what was sold stays sold, a hole is recorded", stream.ErrLost, t.low, t.pos.Cursor.Sequence)}
}

func (t *Term) onReaderOpened(e ReaderOpened) Effect {
	if e.Err != nil {
		return t.again(e.Err)
	}
	t.first, t.closed, t.looks = planted.Bug != planted.StandbyAfterCursor, false, 0
	return Await{quietFirst}
}

// advance does what can be done with what has arrived.
func (t *Term) advance() Effect {
	if t.first && len(t.pending) > 0 {
		c := &t.pos.Cursor
		if t.pending[0].Sequence != c.Sequence || !t.decided(&t.pending[0]) {
			return t.again(fmt.Errorf("%w: message %d is not the one that was decided", stream.ErrLost, c.Sequence))
		}
		t.first, t.pending = false, t.pending[1:]
	}
	switch {
	case t.poison != nil:
		return t.giveUp("newer-version", t.poison)
	case len(t.pending) == 0:
		t.pending = nil
		return Await{quietFirst}
	case t.engine == nil || t.engine.Cursor() != t.pos.Cursor:
		return Restore{t.engine, t.of, t.pos.Cursor}
	}
	t.apply()
	if t.batch.Empty() {
		t.batch = nil
		return t.advance()
	}
	if early() {
		return Publish{t.of.UUID, tellEarly(t.batch)}
	}
	return Commit{t.batch}
}

// early is planted: batches are published before they are committed, too.
func early() bool {
	return planted.Bug == planted.ReplyBeforeCommit || planted.Bug == planted.CacheBeforeLedger
}

// tellEarly returns what is published of a batch that is not committed.
func tellEarly(b *allocation.Batch) *allocation.Batch {
	if planted.Bug == planted.CacheBeforeLedger {
		return &allocation.Batch{Before: b.Before, After: b.After, Facts: b.Facts}
	}
	return &allocation.Batch{Before: b.Before, After: b.After, Replies: b.Replies}
}

// apply decides pending messages up to the size of a batch. A message that is
// no pack counts as one unreadable request; one of a newer version is not
// decided, nor is anything behind it.
func (t *Term) apply() {
	t.batch = t.engine.Begin()
	for len(t.pending) > 0 && t.batch.After.Position-t.batch.Before.Position < int64(t.limit) {
		m := &t.pending[0]
		edge, requests, err := wire.DecodePack(m.Data)
		if errors.Is(err, wire.ErrVersion) {
			t.poison = err
			return
		}
		if err != nil {
			edge, requests = "", []allocation.Request{{}}
		}
		t.engine.Apply(allocation.Pack{Sequence: m.Sequence, Time: m.Time, Hash: m.Hash(), Edge: edge, Requests: requests}, t.batch)
		t.pending = t.pending[1:]
	}
}

// onRestored keeps what an engine has learned when the next page cannot be read.
// One that no history gives is restored once more from nothing, after the ledger
// was read again: it may be of a server that lost commits, as this lease's.
func (t *Term) onRestored(e Restored) Effect {
	t.engine = e.Engine
	switch {
	case e.Err == nil:
		t.misfit = false
		return t.advance()
	case !errors.Is(e.Err, allocation.ErrHistory):
		return t.again(e.Err)
	case t.misfit:
		return t.giveUp("inconsistent-ledger", e.Err)
	}
	t.engine, t.misfit = nil, true
	return t.again(e.Err)
}

func (t *Term) onCommitted(e Committed) Effect {
	switch {
	case e.Err == nil:
		t.pos.Cursor, t.failures, t.refused = t.batch.After, 0, false
		return Publish{t.of.UUID, t.batch}
	case ledger.Contradicts(e.Err):
		return t.onRefused(e.Err)
	case !errors.Is(e.Err, ledger.ErrFenced):
		t.doubt = true
		t.then = Commit{t.batch}
		return t.backOff(e.Err)
	case t.doubt: // the fence may be our own commit, made before
		return ReadLedger{Settle: true}
	}
	return Stop{e.Err}
}

// onRefused decides once more what the ledger has refused whole, with an engine that
// is made of what it holds now. No earlier try of the batch was made: it would have
// moved the cursor, which the commit looks at first.
func (t *Term) onRefused(err error) Effect {
	if t.refused {
		return t.giveUp("inconsistent-ledger", fmt.Errorf("what is decided does not fit what the ledger holds, `notsale audit --sale %d` names the rows: %w", t.id, err))
	}
	t.engine, t.batch, t.doubt, t.refused = nil, nil, false, true
	return t.again(err)
}

func (t *Term) onPublished() Effect {
	if early() && t.pos.Cursor != t.batch.After {
		return Commit{t.batch}
	}
	t.batch, t.doubt = nil, false
	if t.closed {
		t.pending = nil
		return ReadStream{t.pos.Cursor.Sequence}
	}
	return t.advance()
}

func (t *Term) onQuiet() Effect {
	if t.first {
		return t.again(fmt.Errorf("%w: the message at the cursor did not come", stream.ErrGap))
	}
	return Peek{}
}

// onPeeked compares the end of a silent stream with the cursor. A reader that
// does not deliver what is there, and a stream that has become shorter or
// another, are found here.
func (t *Term) onPeeked(e Peeked) Effect {
	c := &t.pos.Cursor
	switch {
	case e.Err != nil:
		return t.again(e.Err)
	case e.Pos.Cursor != *c:
		return t.again(fmt.Errorf("%w: the ledger stands at %d, not at %d: it was restored", allocation.ErrHistory, e.Pos.Cursor.Sequence, c.Sequence))
	case e.Info.Last < c.Sequence, e.Info.Created != t.info.Created:
		return t.again(fmt.Errorf("%w: the stream ends at %d, the ledger at %d", stream.ErrLost, e.Info.Last, c.Sequence))
	case e.Info.Last > c.Sequence && t.last == e.Info.Last:
		return t.again(fmt.Errorf("%w: the stream goes on to %d", stream.ErrGap, e.Info.Last))
	}
	t.last = e.Info.Last
	if t.last > c.Sequence { // it may be on its way: look once more
		return Await{quietFirst}
	}
	if t.looks++; t.looks >= unloadAfter {
		t.engine = nil
	}
	return Await{min(quietFirst<<min(t.looks, 10), quietLast)}
}
