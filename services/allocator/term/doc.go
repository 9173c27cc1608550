// Package term is the logic of one allocator's term on one sale, as a state
// machine: each step takes the event that an effect led to and returns the next
// effect.
//
//	ReadLedger ─▶ ReadStream ─┬─▶ OpenReader ─▶ Await ⇄ (Restore) Commit ─▶ Publish
//	     ▲                    │                   │
//	     │        Compare… ─▶ OpenHole            ├─ Quiet ─▶ Peek
//	     └────────────────────┴── any doubt ──────┘
//
// Purpose: what an allocator does, apart from how: it does no I/O, starts no
// goroutine and reads no clock, so that the simulator drives the very logic
// that runs in production.
//
// Authority: the ledger's cursor and the stream's messages, as the events
// report them. Memory is a copy of both.
//
// Invariants: Publish follows only a commit that is known to have been made; no
// message is applied before the one at the cursor was found to be the one that
// was decided; a batch whose commit is in doubt is committed again or found in
// the ledger, never decided anew; a message of a newer version is not decided,
// nor is anything behind it; nor is anything of a sale whose rules this program
// does not have.
//
// Failure behaviour: any doubt leads back to ReadLedger, after a pause that
// grows. Stop with ledger.ErrFenced: another allocator has the sale. Stop with
// ErrGiveUp, after an alarm: it needs a person or a newer program. A stream is
// lost only if it is missing still after the ledger was read again: a sale that
// was archived meanwhile is fenced there, before its streams are removed.
package term
