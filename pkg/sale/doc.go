// Package sale holds the nouns of a flash sale.
//
// Purpose: one definition of what a valid user id, item id and sale is, shared
// by the edge that accepts them, the engine that decides on them and the
// ledger that stores them. What this package accepts, the ledger can store.
//
// Authority: the Sale record of a sale is written once, as message 1 of the
// sale's stream (its opening record), and never changes.
//
// Invariants: item ids are global and run on from sale to sale.
//
// Failure behaviour: parsing returns an error that names what is wrong and
// never echoes the hostile input. The package does no I/O and reads no clock.
package sale
