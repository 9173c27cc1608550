// Package follow reads a stream from a cursor on, for allocators and recorders.
//
// Purpose: a stream can lose its tail, be removed and made again, or deliver
// nothing though it has more, and a ledger can be restored. Whoever reads on from
// a cursor must notice each of these, and does so through this package.
//
// Authority: none. The caller's cursor says where to go on.
//
// Invariants: nothing behind the cursor is delivered before the message at the
// cursor was checked to be the one that was handled; messages come in order and
// without a gap.
//
// Failure behaviour: any doubt is an error, after which the caller starts again
// from its cursor.
package follow
