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
// asked. Memory is a copy of both and is thrown away at any doubt; an engine is
// brought on only from a place that the ledger still knows.
//
// What an allocator holds is what the ledger says, as its answers come in:
// renewals have a session and a goroutine of their own, a takeover has as long
// as it takes, and one whose answer was lost is adopted. A lease vouches for the
// sale's loop, not for the process.
//
// Invariants: nothing is told before it is committed (I5); a sale whose lease
// went to another is decided no further, and the fence in the commit makes
// sure (I9); before it goes on, an allocator checks that the message at the
// cursor is still the one that it applied.
//
// Failure behaviour: a lost connection makes the sale's loop start over from
// the ledger. A loop that makes no progress, whatever it is blocked in, is left
// behind and its lease given back; where the whole process makes none, its leases
// expire. A stream that does not match the cursor stops the sale with an
// alarm: the metric notsale_allocator_alarms_total and an error in the log.
package allocator
