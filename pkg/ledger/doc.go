// Package ledger is the Postgres ledger: what was decided, for good.
//
// Purpose: the tables that hold the truth about decisions (sales, items,
// decisions, cursors, commits, holes, checkout_attempts), and the statements
// that the services run on them.
//
// Each statement is a file in queries/. It is called by the file's name, with
// parameters by name; see params.
//
// Authority: the database's clock decides about leases and slots. A decision is
// made when the statement of its batch has committed, and not before.
//
// Invariants: Commit is one statement that begins with the fenced update of
// the sale's cursor, so an allocator that has been replaced writes nothing. An
// item has one owner by primary key, a code one decision by unique index.
// The settings of every new session are read back: a session is refused if it did
// not get what it asked for, if its server runs without fsync, or if it cannot
// write though it must. Behind a pooler, each transaction sets them itself, and a
// session keeps nothing. A commit that a synchronous standby has not confirmed is
// an error, and a grant is confirmed before it is read. Renewals of leases have a
// session of their own and wait for no flush.
//
// Failure behaviour: ErrFenced means that nothing was written and another
// allocator has the sale. After any other error of Commit it is unknown whether it
// was committed: read the cursor. All other calls may be repeated.
package ledger
