// Package archiver knows where the evidence about a sale is, and moves it: it
// audits a sale, explains what became of a code, signs a statement, writes a page
// or an archive, and moves the streams of sold-out sales into archives.
//
//	audit ─▶ row archiving ─▶ streams sealed ─▶ all decided and recorded
//	      ─▶ exported ─▶ verified ─▶ row archived ─▶ streams removed
//
// Purpose: room in NATS for the sales to come. Archive moves one sale, as
// `notsale sale archive` asks; an Archiver moves each sale that was sold out long
// enough ago, where the operator has named a folder.
//
// Authority: the sale's row says how far its archiving has come; the ledger has
// the archive's manifest before anything is removed.
//
// Invariants: streams are removed only once a verified archive ends where they
// end; a sale with findings keeps its streams; one sale at a time, by the archiver
// that holds the lease, and not while purchases come fast, unless they do so for
// long: a full store is worse.
//
// Failure behaviour: every step can be repeated, by any archiver that has the
// folder. One that dies leaves a sale that is answered from the ledger; once its
// lease has ended another goes on from the closed streams. After a restore of the
// ledger a sold-out sale without streams is completed from its archive, with the
// checkouts that the ledger lacks. A sale that failed because a store was away is
// tried again after another's turn; one that a person must look at, a slot later:
// findings raise an alarm, a bad file or folder a warning in the log.
//
// Read it from archiver.go (which sale, when) to archival.go (its steps); evidence.go
// is what they and the commands of `notsale audit` work on.
package archiver
