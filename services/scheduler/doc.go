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
// change their sizes and replicas. Three loops, none of which waits for another
// once the first has found that NATS's store is ours: one opens the slot's sale,
// one repairs what is there (it finishes other sales, writes what the directory
// lacks, tends the streams of no sale), and the keeper looks often at the streams that may fill fast, now and then at all, and at once
// at one that a publisher found full.
//
// Invariants: no slot is opened twice (no two sales are dated within it); ids and item ids
// run on from the row before; every step may be repeated, so what one run could
// not finish another does. Missed slots are not made up. A sale that has a stream
// and no row, since the ledger was restored to before it opened, gets its row from
// its opening record before a number is given away; one whose stream cannot be read
// is waited for only where no sale of a higher number is there, and is told of.
//
// Attempts of no sale go to one stream after the other: the next is made when the
// last is a day old or nearly full, and one goes as a whole once it is recorded
// and older than any backup that may be restored (--backup-horizon).
//
// Failure behaviour: with a dependency away the step is tried again every
// second, and a minute after its time people are told of a sale that is not open.
// A stream that belongs to another installation is never written to, with an alarm
// that says what to do: the sale of its number does not open, and where all of NATS
// is another's, the scheduler ends. A row under rules that this program does not have
// is left to a newer scheduler, with an alarm. While the clocks differ nothing is
// opened, with an alarm, and a sale that was dated ahead stops no other. Streams
// grow while Postgres is away. A store that is short of room is divided: the next
// sale's opening first, then purchases, then checkouts.
//
// Read it from shell.go on: ports.go, scheduler.go (the loops), opening.go, adopt.go
// (what a restored ledger lacks), repair.go, unsold.go, keeper.go. All but the shell
// is sequential code over ports and a host, and the simulator runs it as it is.
package scheduler
