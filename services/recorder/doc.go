// Package recorder brings checkout attempts from their streams into the
// ledger, in batches.
//
// Purpose: every checkout that was answered has its row in checkout_attempts,
// refused ones included, without an edge ever waiting for Postgres.
//
// Authority: a message is acknowledged only after the commit of its rows;
// rows are keyed by the attempt's id, so that what comes twice is stored once.
//
// Invariants: any number of recorders share the work through one durable
// consumer per stream; none of them keeps anything that the others need.
//
// Failure behaviour: with Postgres away messages stay in their streams and
// come again. A message of a newer version is left for a newer recorder, with
// an alarm; one that cannot be read is counted, logged and passed over. A sale
// that is archived was recorded to its end: its stream is left alone.
package recorder
