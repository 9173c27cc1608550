package allocator

import (
	"errors"
	"fmt"
	"time"

	"notsale/pkg/allocation"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
)

// term is the logic of one allocator's term on one sale, as a state machine:
// each step takes the event that an effect led to and returns the next effect.
// It does no I/O and reads no clock, so that a simulator can drive it. The loop
// carries the effects out.
//
//	readLedger ─▶ readStream ─┬─▶ openReader ─▶ await ⇄ (restore) commit ─▶ publish
//	     ▲                    │                   │
//	     │        compare… ─▶ openHole            ├─ quiet ─▶ peek
//	     └────────────────────┴── any doubt ──────┘
type term struct {
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
	poison  error             // a message that must not be decided stands next

	low, high uint64          // search for the last matching message
	mark      allocation.Mark // of the message at low

	failures int    // in a row, for pauses
	quiet    int    // looks at the stream since anything arrived
	last     uint64 // end of the stream at the look before
	then     effect // what follows a pause or an alarm
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

// The effects. Each leads to exactly one event.
type (
	effect     = any
	readLedger struct{}                         // ▶ ledgerRead
	readStream struct{ sequence uint64 }        // ▶ streamRead
	compare    struct{ sequence uint64 }        // ▶ compared
	openHole   struct{ hole allocation.Hole }   // ▶ holeOpened
	openReader struct{ from uint64 }            // ▶ readerOpened
	await      struct{ patience time.Duration } // ▶ arrived, quiet or readerFailed
	peek       struct{}                         // ▶ peeked
	restore    struct {
		engine *allocation.Engine
		of     sale.Sale
		to     allocation.Cursor
	} // ▶ restored
	commit  struct{ batch *allocation.Batch } // ▶ committed
	publish struct {
		of    sale.UUID
		batch *allocation.Batch
	} // ▶ published
	pause struct {
		length time.Duration
		err    error
	} // ▶ resumed
	alarm struct {
		kind string
		err  error
	} // ▶ resumed
	stop struct{ why error } // ends the term
)

// The events.
type (
	event      = any
	ledgerRead struct {
		row sale.Sale
		pos ledger.Position
		err error
	}
	streamRead struct {
		opening stream.Opening
		info    stream.Info
		message stream.Message // at the sequence asked for, if the stream goes so far
		err     error
	}
	compared struct {
		same bool
		mark allocation.Mark
		err  error
	}
	holeOpened   struct{ err error }
	readerOpened struct{ err error }
	arrived      struct{ messages []stream.Message }
	quiet        struct{}
	readerFailed struct{ err error }
	peeked       struct {
		info stream.Info
		err  error
	}
	restored struct {
		engine *allocation.Engine
		err    error
	}
	committed struct{ err error }
	published struct{}
	resumed   struct{}
)

// errGiveUp is wrapped by a stop after which this process should leave the
// sale alone for a while: it needs a person, or a newer program.
var errGiveUp = errors.New("the sale cannot be decided here")

// newTerm returns a term, whose first effect is readLedger. warm is an engine
// that a standby has kept, or nil.
func newTerm(lease ledger.Lease, limit int, warm *allocation.Engine) *term {
	return &term{id: lease.Sale, epoch: lease.Epoch, limit: limit, engine: warm}
}

// step takes what an effect led to and returns the next effect.
func (t *term) step(e event) effect {
	switch e := e.(type) {
	case ledgerRead:
		return t.onLedger(e)
	case streamRead:
		return t.onStream(e)
	case compared:
		return t.onCompared(e)
	case holeOpened:
		return t.onHoleOpened(e)
	case readerOpened:
		if e.err != nil {
			return t.again(e.err)
		}
		t.first, t.quiet = true, 0
		return await{quietFirst}
	case arrived:
		t.pending = append(t.pending, e.messages...)
		t.failures, t.quiet = 0, 0
		return t.advance()
	case quiet:
		return t.onQuiet()
	case peeked:
		return t.onPeeked(e)
	case readerFailed:
		return t.again(e.err)
	case restored:
		return t.onRestored(e)
	case committed:
		return t.onCommitted(e)
	case published:
		t.batch, t.doubt = nil, false
		return t.advance()
	case resumed:
		return t.then
	}
	panic(fmt.Sprintf("allocator: unknown event %T", e))
}

// again starts over from the ledger after a pause that grows with failures.
func (t *term) again(err error) effect {
	t.pending = nil
	t.then = readLedger{}
	return t.backOff(err)
}

func (t *term) backOff(err error) effect {
	length := min(firstPause<<min(t.failures, 10), lastPause)
	t.failures++
	return pause{length, err}
}

// giveUp raises an alarm and ends the term.
func (t *term) giveUp(kind string, err error) effect {
	t.then = stop{fmt.Errorf("%w: %w", errGiveUp, err)}
	return alarm{kind, err}
}

func (t *term) onLedger(e ledgerRead) effect {
	switch {
	case e.err != nil:
		t.then = readLedger{}
		return t.backOff(e.err)
	case !e.pos.Mine || e.pos.Epoch != t.epoch:
		return stop{ledger.ErrFenced}
	case t.batch != nil && e.pos.Cursor == t.batch.After: // the commit in doubt was made
		t.pos = e.pos
		return publish{t.of.UUID, t.batch}
	case t.batch != nil:
		return stop{ledger.ErrFenced}
	}
	t.of, t.pos = e.row, e.pos
	if t.engine != nil && t.engine.Cursor().Position > t.pos.Cursor.Position {
		t.engine = nil // the ledger went back: a restore of an older backup
	}
	return readStream{t.pos.Cursor.Sequence}
}

// onStream checks that the stream is still the one that was decided.
func (t *term) onStream(e streamRead) effect {
	c := &t.pos.Cursor
	switch {
	case errors.Is(e.err, wire.ErrVersion):
		return t.giveUp("newer-version", e.err)
	case errors.Is(e.err, wire.ErrMessage):
		return t.giveUp("foreign-stream", e.err)
	case errors.Is(e.err, stream.ErrLost):
		return t.giveUp("lost-stream", fmt.Errorf("%w: restore it from a backup; what was sold stays sold", e.err))
	case e.err != nil:
		return t.again(e.err)
	case e.opening.Sale != t.of:
		return t.giveUp("foreign-stream", stream.ErrForeign)
	case e.opening.Sale.Rules != sale.RulesVersion:
		return t.giveUp("newer-version", fmt.Errorf("%w: rules version %d", wire.ErrVersion, e.opening.Sale.Rules))
	case !e.info.Created.Truncate(time.Microsecond).Equal(t.pos.StreamCreated):
		return t.giveUp("lost-stream", fmt.Errorf("%w: the stream was made again at %v: restore it from a backup", stream.ErrLost, e.info.Created))
	}
	t.info = e.info
	if e.info.Last >= c.Sequence && markOf(&e.message) == (allocation.Mark{Time: c.PackTime, Hash: c.PackHash}) {
		return openReader{c.Sequence}
	}
	t.low, t.high = 1, min(e.info.Last, c.Sequence) // message 1 matches: it is the sale's opening record
	t.mark = markOf(&e.opening.Message)
	return t.search()
}

func markOf(m *stream.Message) allocation.Mark {
	return allocation.Mark{Time: m.Time, Hash: m.Hash()}
}

// search looks for the last message that is still as it was applied. What is
// lost is a tail, so halving the stretch finds it.
func (t *term) search() effect {
	if t.low < t.high {
		return compare{t.low + (t.high-t.low+1)/2}
	}
	c := t.pos.Cursor
	return openHole{allocation.Hole{Generation: c.Generation + 1, Matching: t.low, Mark: t.mark, Lost: c}}
}

func (t *term) onCompared(e compared) effect {
	middle := t.low + (t.high-t.low+1)/2
	switch {
	case e.err != nil:
		return t.again(e.err)
	case e.same:
		t.low, t.mark = middle, e.mark
	default:
		t.high = middle - 1
	}
	return t.search()
}

func (t *term) onHoleOpened(e holeOpened) effect {
	if errors.Is(e.err, ledger.ErrFenced) {
		t.then = readLedger{} // it may have been our own, in doubt
		return t.backOff(e.err)
	}
	if e.err != nil {
		return t.again(e.err)
	}
	t.then = readLedger{}
	return alarm{"lost-tail", fmt.Errorf("%w: messages after %d of the sale's stream are not those that were decided, up to %d; what was sold stays sold, a hole is recorded", stream.ErrLost, t.low, t.pos.Cursor.Sequence)}
}

// advance does what can be done with what has arrived.
func (t *term) advance() effect {
	if t.first && len(t.pending) > 0 {
		c := &t.pos.Cursor
		if t.pending[0].Sequence != c.Sequence || markOf(&t.pending[0]) != (allocation.Mark{Time: c.PackTime, Hash: c.PackHash}) {
			return t.again(fmt.Errorf("%w: message %d is not the one that was decided", stream.ErrLost, c.Sequence))
		}
		t.first, t.pending = false, t.pending[1:]
	}
	switch {
	case t.poison != nil:
		return t.giveUp("newer-version", t.poison)
	case len(t.pending) == 0:
		t.pending = nil
		return await{quietFirst}
	case t.engine == nil || t.engine.Cursor() != t.pos.Cursor:
		return restore{t.engine, t.of, t.pos.Cursor}
	}
	t.apply()
	if t.batch.Empty() {
		t.batch = nil
		return t.advance()
	}
	return commit{t.batch}
}

// apply decides pending messages up to the size of a batch. A message that is
// no pack counts as one unreadable request; one of a newer version is not
// decided, nor is anything behind it.
func (t *term) apply() {
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

func (t *term) onRestored(e restored) effect {
	switch {
	case e.err == nil:
		t.engine = e.engine
		return t.advance()
	case t.engine != nil: // a warm engine that does not fit: once more from nothing
		t.engine = nil
		return t.advance()
	case errors.Is(e.err, allocation.ErrHistory):
		return t.giveUp("inconsistent-ledger", e.err)
	}
	return t.again(e.err)
}

func (t *term) onCommitted(e committed) effect {
	switch {
	case e.err == nil:
		t.pos.Cursor, t.failures = t.batch.After, 0
		return publish{t.of.UUID, t.batch}
	case !errors.Is(e.err, ledger.ErrFenced):
		t.doubt = true
		t.then = commit{t.batch}
		return t.backOff(e.err)
	case t.doubt: // the fence may be our own commit, made before
		return readLedger{}
	}
	return stop{e.err}
}

func (t *term) onQuiet() effect {
	if t.first {
		return t.again(fmt.Errorf("%w: the message at the cursor did not come", stream.ErrGap))
	}
	return peek{}
}

// onPeeked compares the end of a silent stream with the cursor. A reader that
// does not deliver what is there, and a stream that has become shorter or
// another, are found here.
func (t *term) onPeeked(e peeked) effect {
	c := &t.pos.Cursor
	switch {
	case e.err != nil:
		return t.again(e.err)
	case e.info.Last < c.Sequence, e.info.Created != t.info.Created:
		return t.again(fmt.Errorf("%w: the stream ends at %d, the ledger at %d", stream.ErrLost, e.info.Last, c.Sequence))
	case e.info.Last > c.Sequence && t.last == e.info.Last:
		return t.again(fmt.Errorf("%w: the stream goes on to %d", stream.ErrGap, e.info.Last))
	}
	t.last = e.info.Last
	if t.last > c.Sequence { // it may be on its way: look once more
		return await{quietFirst}
	}
	if t.quiet++; t.quiet >= unloadAfter {
		t.engine = nil
	}
	return await{min(quietFirst<<min(t.quiet, 10), quietLast)}
}
