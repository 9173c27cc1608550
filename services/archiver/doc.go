// Package archiver moves the streams of sold-out sales into archives.
//
//	audit ─▶ row archiving ─▶ streams sealed ─▶ all decided and recorded
//	      ─▶ exported ─▶ verified ─▶ row archived ─▶ streams removed
//
// Purpose: space in NATS for the sales to come. Archive does it to one sale, as
// `notsale sale archive` asks; an Archiver to each sale that was sold out long
// enough ago, where the operator has named a folder.
//
// Authority: the ledger's row says how far a sale's archiving is; the manifest of
// the archive stands in it before anything is removed.
//
// Invariants: nothing is removed that is not in a verified archive whose end is
// the end of the streams; a sale with findings keeps its streams; one sale at a
// time, by whoever holds the lease, and not while purchases come fast, unless
// they do so for long: a full store is worse.
//
// Failure behaviour: every step can be repeated, by any archiver that has the
// folder; one that dies leaves a sale that is answered from the ledger, and that
// the next one finishes, from where its streams were closed, once the lease has
// ended. So is a sold-out sale without streams whose archive is given, after a
// restore: what the ledger lacks of its checkouts is recorded from there. A sale
// whose archiving failed because a store was away is tried again when another has
// had its turn; one that somebody must look at, a slot later: findings raise an
// alarm, a file or folder that is not as it must be is told of in the log.
//
// Pace: lease, looks and waits follow the length of a slot.
package archiver
