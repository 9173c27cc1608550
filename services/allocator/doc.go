// Package allocator decides the purchase requests of each sale, in stream
// order, one allocator per sale at a time.
//
//	           lease ─┐
//	cursor, decisions ▼                      one statement      then
//	ledger ──▶ recover ──▶ read ──▶ apply ──▶ commit ──▶ cache ──▶ replies
//	              ▲                              │
//	              └──────── any error ───────────┘
//
// Purpose: carry out what pkg/allocation decides, in the order that makes it
// true: commit first, then the rejection cache, then the replies.
//
// Authority: the ledger's cursor says where to go on; the stream says what was
// asked. Memory is a copy of both and is thrown away when in doubt; an engine is
// extended only from a commit that the ledger still has.
//
// An allocator holds the leases that the ledger says it holds. Renewals have a
// database session of their own, so that they are not held up by a takeover, which
// may take long. A takeover whose answer was lost is noticed at the next renewal. A
// lease stands for the sale's loop, not for the process.
//
// Invariants: nothing is told before it is committed (I5). A sale whose lease
// went to another is not decided any further, and the fence in the commit makes
// sure of it (I9). Before it goes on, an allocator checks that the message at the
// cursor is still the one that it applied.
//
// Failure behaviour: after a lost connection the sale's loop starts over from the
// ledger. A loop that makes no progress, whatever blocks it, is abandoned and its
// lease given back; if the whole process makes none, its leases expire. What needs
// a person stops the sale with an alarm: the metric
// notsale_allocator_alarms_total and an error in the log.
package allocator
