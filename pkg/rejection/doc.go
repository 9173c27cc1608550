// Package rejection is the rejection cache in Redis: it lets an edge refuse,
// without the stream, what the ledger has refused for good.
//
// Purpose: after an item, a user's limit or the sale is gone, further requests
// cost one coalesced round trip instead of a place in the queue.
//
// Authority: none. The cache is written after the commit and read as a hint
// that carries its own proof: an item's fact names the code that owns it, a
// user's fact all codes that were granted. A request whose code is among them
// has its decision in the ledger (Answer.Ours); one about which nothing is known
// is published and the engine answers. "Sold out" alone proves nothing about a
// code and refuses checkouts only.
//
//	notsale:{<sale UUID>}:items   hash: item id → owner's code id, 16 bytes
//	                              "mark" → up to which commit facts were learned
//	notsale:{<sale UUID>}:users   hash: user id → code ids of all grants
//	notsale:{<sale UUID>}:sold    "1": every item has an owner
//
// Invariants: within one history of a sale facts never change, so a stale,
// partial or emptied cache is never wrong. After a restore of Postgres or NATS
// that lost commits the history is another one, in which the mark is unknown:
// whoever begins to decide a sale compares the mark with the ledger, and calls
// Forget if the ledger does not know it. Facts are only added to those whose mark
// was looked at: Learn compares it in the same script that stores them, so an
// earlier state of Redis that is brought back later does not become valid by what
// is learned after it; it is looked at anew, at the next commit or, by an
// allocator of an idle sale, 5 s later. That the ledger alone was put back, such an
// allocator finds by the cursor, up to 32 s later. Edges do not compare marks: only
// the ledger knows which are true, and a first purchase does without it. Until an
// allocator has looked they may believe facts of a lost history. Without a mark,
// facts prove nothing.
//
// Failure behaviour: Redis down, slow, empty or refusing makes edges publish
// more. After an error the cache is left alone for Pause, so that nobody waits
// for it; a Redis that only refuses to write is still read. Nobody waits for a
// connection longer than for an answer: it is made in the background, so that a
// Redis is used whose answers come within the timeout, however far it is. One
// warning tells of an outage, a line of its end, ten seconds without a failure;
// Failures counts.
package rejection
