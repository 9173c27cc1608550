// Package ledger is the Postgres ledger: what was decided, for good.
//
// Purpose: the tables that hold the truth about decisions (sales, items,
// decisions, cursors, commits, holes, checkout_attempts), and the statements
// that the services run on them.
//
// A statement stands in queries/ and is called by its file's name, with its
// parameters by name; see params.
//
// Authority: the database's clock judges leases and slots. A decision is made
// when the statement of its batch has committed, and not before.
//
// Invariants: Commit is one statement that begins with the fenced update of
// the sale's cursor, so an allocator that has been replaced writes nothing; an
// item has one owner by primary key, a code one decision by unique index.
// Sessions are read back: one that has not what it was asked for, of a server
// without fsync, or that cannot write though it must, is refused. Through a pooler
// each transaction is asked instead, and no session keeps anything. A commit that a
// synchronous standby has not confirmed is an error, and is not read as granted.
// Renewals of leases have a session of their own and wait for no flush.
//
// Failure behaviour: ErrFenced means that nothing was written and another
// allocator has the sale. Any other error of Commit leaves its outcome
// unknown: read the cursor. All other calls may be repeated.
package ledger
