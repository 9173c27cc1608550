package term

import (
	"time"

	"notsale/pkg/allocation"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
)

// Effect is what a term wants done. Each leads to exactly one event, which the
// comment names; Stop leads to none.
type Effect any

// The effects.
type (
	// ReadLedger reads the sale's row and cursor, after closing the reader; Settle
	// first makes what stands there durable, and waits for what is under way:
	// a commit is in doubt. LedgerRead.
	ReadLedger struct{ Settle bool }
	// ReadStream reads the stream's opening record, its state and the message
	// at the sequence, where the stream goes so far. StreamRead.
	ReadStream struct{ Sequence uint64 }
	// Compare reads a message and asks the ledger whether it applied it. Compared.
	Compare struct{ Sequence uint64 }
	// OpenHole records a hole, fenced. HoleOpened.
	OpenHole struct{ Hole allocation.Hole }
	// OpenReader opens a reader at the sequence. ReaderOpened.
	OpenReader struct{ From uint64 }
	// Await waits for messages for so long. Arrived, Quiet or ReaderFailed.
	Await struct{ Patience time.Duration }
	// Peek reads the stream's state, and the cursor. Peeked.
	Peek struct{}
	// Restore brings the engine to the cursor from the ledger's decisions, or
	// nearer to it; a new one where it is nil, or where the ledger does not know
	// what it comes from: they were restored. Restored.
	Restore struct {
		Engine *allocation.Engine
		Of     sale.Sale
		To     allocation.Cursor
	}
	// Commit commits the batch, fenced. Committed.
	Commit struct{ Batch *allocation.Batch }
	// Publish tells what is committed: first the cache, then the edges. Published.
	Publish struct {
		Of    sale.UUID
		Batch *allocation.Batch
	}
	// Pause waits because of an error. Resumed.
	Pause struct {
		Length time.Duration
		Err    error
	}
	// Alarm tells people about what needs one. Resumed.
	Alarm struct {
		Kind string
		Err  error
	}
	// Stop ends the term.
	Stop struct{ Why error }
)

// Event is what an effect led to.
type Event any

// The events.
type (
	// LedgerRead holds what ReadLedger found.
	LedgerRead struct {
		Row sale.Sale
		Pos ledger.Position
		Err error
	}
	// StreamRead holds what ReadStream found; the message is empty where the
	// stream ends before it.
	StreamRead struct {
		Opening stream.Opening
		Info    stream.Info
		Message stream.Message
		Err     error
	}
	// Compared says whether the message at the sequence is the one applied.
	Compared struct {
		Same bool
		Mark allocation.Mark
		Err  error
	}
	// HoleOpened says whether the hole is recorded; ledger.ErrFenced: it is not.
	HoleOpened struct{ Err error }
	// ReaderOpened says whether the reader is open.
	ReaderOpened struct{ Err error }
	// Arrived brings the next messages of the stream.
	Arrived struct{ Messages []stream.Message }
	// Quiet says that nothing arrived in time.
	Quiet struct{}
	// ReaderFailed says that the reader has ended.
	ReaderFailed struct{ Err error }
	// Peeked holds the stream's state, and the cursor.
	Peeked struct {
		Info stream.Info
		Pos  ledger.Position
		Err  error
	}
	// Restored brings the engine at the cursor asked for; with an error, as near
	// to it as it came, from where the next Restore goes on. No engine:
	// allocation.ErrHistory, or nothing was read.
	Restored struct {
		Engine *allocation.Engine
		Err    error
	}
	// Committed says whether the batch is committed; ledger.ErrFenced: it is
	// not; any other error: perhaps.
	Committed struct{ Err error }
	// Published says that the edges were told.
	Published struct{}
	// Resumed follows a pause or an alarm.
	Resumed struct{}
)
