// Package scheduler opens a sale in every slot and repairs what an interrupted
// opening left behind.
//
//	row (preparing) ─▶ streams ─▶ opening record ─▶ first cursor, row open ─▶ directory
//
// Purpose: every hour, on the hour, a new sale; any number of schedulers may
// run side by side.
//
// Authority: Postgres's clock says which slot it is, where NATS's agrees with it;
// the rows say what exists. Only schedulers make streams and the directory, and
// change their sizes and replicas. Three loops, which do not wait for each other once
// the first has found that NATS's store belongs to this installation: one opens the
// slot's sale; one repairs (it finishes other sales, writes what the directory lacks,
// tends the streams of no sale); and the keeper sets the streams' sizes: it looks often
// at those that may fill fast, now and then at all, and at once at one that a
// publisher found full.
//
// Invariants: no slot is opened twice (no two sales are dated within it); ids and
// item ids continue those of the row before; every step may be repeated, so that
// another run finishes what one could not. Missed slots are not made up. A sale that
// has a stream but no row, since the ledger was restored to before it opened, gets its
// row from its opening record before a new number is used. Where its stream cannot be
// read, and no sale has a higher number, nothing opens until it can; else other sales
// open, and an alarm names it.
//
// Attempts of no sale go to one stream after the other: the next is made when the
// last is a day old or nearly full, and one goes as a whole once it is recorded
// and older than any backup that may be restored (--backup-horizon).
//
// Failure behaviour: while a store is away the step is tried again every second; a
// sale that is not open a minute after its time is an alarm. A stream of another
// installation is never written to: an alarm, and the sale of its number does not
// open; where all of NATS is another's, the scheduler ends. A row whose rules this
// program does not have is left to a newer scheduler, with an alarm. While the clocks
// differ nothing opens, with an alarm, and a sale that was dated ahead stops no other.
// Streams grow while Postgres is away. When the store is short of room, the next
// sale's opening comes first, then purchases, then checkouts.
//
// Read it from shell.go on: ports.go, scheduler.go (the loops), opening.go, adopt.go
// (what a restored ledger lacks), repair.go, unsold.go, keeper.go. All but the shell
// is sequential code over ports and a host, and the simulator runs it as it is.
package scheduler
