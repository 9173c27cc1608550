// Package recorder brings checkout attempts from their streams into the
// ledger, in batches.
//
// Purpose: every checkout that was answered has its row in checkout_attempts,
// refused ones included, without an edge ever waiting for Postgres.
//
// Authority: the ledger's cursor of each stream says how far it is recorded. It
// moves in the statement that stores the rows, and only from where this recorder
// last saw it. Rows are keyed by the attempt's id, so that what was
// published twice is stored once.
//
// Invariants: a stream is read in order, from its cursor on, and NATS does not know
// what was read: after a restore of the database the recorder reads again from there,
// and a copy of the database takes nothing from the original. Any number of recorders may read
// the same streams; whoever is quicker commits, the other yields for a moment.
// Before it reads on a recorder makes sure that the message at the cursor is the
// one that was recorded, by time and hash. A few streams are caught up with at a
// time; all are then followed at once.
//
// Failure behaviour: while Postgres is away, or refuses what is to be recorded (an
// alarm), messages stay in their streams. A message of a newer version stops its
// stream, with an alarm; one that cannot be read is counted, logged and skipped. That
// a stream has lost its tail is recorded (attempt_holes), with an alarm, and the
// stream is read from its beginning. An archived sale was recorded to its end: its
// stream is not read again. A stream that was read by a recorder of an earlier
// version, through a durable consumer, is read from message 1; then that consumer and
// its row in the ledger are deleted.
package recorder
