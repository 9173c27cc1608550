// Package pack is the coalescing queue that makes durable publishing
// affordable: while one pack is being published, the items that arrive form
// the next one (group commit).
//
//	Add ──▶ [open pack] ──▶ sending, one at a time ──▶ the ticket of the pack
//	          ▲   full: another opens behind it
//
// Purpose: one fsync serves all callers of a pack. An idle queue adds no wait:
// a lone item is sent at once, as a pack of one.
//
// Invariants: items are sent in the order in which they were added; at most one
// pack is in flight; every pack's ticket is resolved exactly once; a pack that
// may or may not be stored is sent again, unchanged, before any newer one.
//
// Failure behaviour: a full queue refuses at once with ErrFull, and has queued
// nothing. A send that certainly failed fails its pack only. One that fails with
// ErrAmbiguous is repeated, whatever the later tries return, until the pack is
// stored or Patience is over; then the ticket says ErrAmbiguous, and the items may
// still have been stored.
package pack
