// Package scheduler opens a sale in every slot and repairs what an interrupted
// opening left behind.
//
//	row (preparing) ─▶ streams ─▶ opening record ─▶ first cursor, row open ─▶ directory
//
// Purpose: every hour, on the hour, a new sale; any number of schedulers may
// run side by side.
//
// Authority: Postgres's clock says which slot it is; the rows say what exists.
//
// Invariants: no slot is opened twice (its start is unique); ids and item ids
// run on from the row before; every step may be repeated, so each run first
// finishes what the last one could not. Missed slots are not made up.
//
// Failure behaviour: with a dependency away the step is tried again every
// second. A stream that belongs to another installation is never written to:
// the error says what to do. A row under rules that this program does not have
// is left to a newer scheduler, with an alarm.
package scheduler
