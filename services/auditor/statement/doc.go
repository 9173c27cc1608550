// Package statement writes and reads short signed statements about a sale's
// chain, for publication.
//
//	notsale/statement/1
//	installation 10000000-0000-0000-0000-000000000001
//	sale 7
//	uuid 20000000-0000-0000-0000-000000000002
//	generation 1
//	sequence 4711
//	position 39017
//	stock 10000
//	sold 10000
//	holes 0
//	unproved 0
//	attempts 41200
//	attempts-sequence 5032
//	chain 5f0e…
//	final true
//
//	— notsale-10000000 rhqgIxGY…
//
// Purpose: whoever has a statement can tell later that the sale's history is
// still the one that stood when it was published. It is a signed note (see
// golang.org/x/mod/sumdb/note and c2sp.org/signed-note) with an Ed25519
// signature, so tools for transparency logs read, store and co-sign it.
//
// What it proves: the holder of the key vouched for this chain. The chain
// covers the opening record, and with it stock and limit; the bytes, order and
// stream time of every pack; every decision; every hole. So a replay that
// reaches another chain at the same generation and sequence has met another
// history. A final statement says that nothing is left to buy: refusals may
// still be added after it, sales may not.
//
// What it does not prove:
//   - Stream and ledger are checked against each other by an audit. Rewriting
//     both together can only be detected against a statement published before.
//   - Whoever holds the key can sign anything, also two statements that
//     contradict each other. Publish a statement where it cannot be taken back
//     and where others see it; only that fixes what it says. Two statements of
//     one sale with the same generation and sequence but another position,
//     number sold, or chain convict their signer.
//   - Packs carry a code's claims, not its tag: the edges are trusted to have
//     verified the codes.
//   - Decisions whose messages a hole has swallowed (unproved) are taken from
//     the ledger.
//   - Attempts are counted, not chained.
//
// There is no time of publication in it: a time would be one more claim of the
// signer. The place of publication dates it, generation and sequence order it,
// and without a time the same state always gives the same bytes.
//
// Authority: the text, in the one spelling that Encode writes. testdata holds
// golden statements; they are append-only, because published statements must
// stay readable.
//
// A note may carry signatures by others. They sign the text, not each other:
// taking one away, or breaking it, does not touch the rest.
//
// Failure behaviour: what cannot be trusted is refused with one of the errors
// of Verify, and no part of it is returned.
package statement
