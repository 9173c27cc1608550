// Package follow reads a stream on from a cursor, as allocators and recorders do.
//
// Purpose: a stream can lose its tail, be removed and made anew, or deliver nothing
// though it has more, and a ledger can be restored: whoever goes on from a cursor
// finds each of these out, in the one way that stands here.
//
// Authority: none. The caller's cursor says where to go on.
//
// Invariants: nothing behind the cursor is delivered before the message at the
// cursor was seen to be the one that was dealt with; messages come in order and
// without a gap.
//
// Failure behaviour: any doubt is an error, after which the caller begins anew from
// his cursor.
package follow
