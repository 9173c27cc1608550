// Package rejection is the rejection cache in Redis: it lets an edge refuse,
// without the stream, what the ledger has refused for good.
//
// Purpose: after an item, a user's limit or the sale is gone, further requests
// cost one coalesced round trip instead of a place in the queue.
//
// Authority: none. The cache is written after the commit and read as a hint
// that carries its own proof: an item's fact names the code that owns it, a
// user's fact all codes that were granted. A request whose code is among them
// has its decision in the ledger (Answer.Ours). One about which nothing is known
// is published, and the engine answers it. "Sold out" alone proves nothing about a
// code and refuses checkouts only.
//
//	notsale:{<sale UUID>}:items   hash: item id → owner's code id, 16 bytes
//	                              "mark" → up to which commit facts were learned
//	notsale:{<sale UUID>}:users   hash: user id → code ids of all grants
//	notsale:{<sale UUID>}:sold    "1": every item has an owner
//
// Invariants: within one history of a sale facts never change, so a stale,
// partial or emptied cache is never wrong. If a restore of Postgres or NATS loses
// commits, another history begins, whose ledger does not know the mark. So an
// allocator compares the mark with the ledger before it decides a sale, and calls
// Forget if the ledger does not know it. Learn adds facts only if the mark is still
// the one that the allocator has seen, and checks that in the script that stores
// them: if Redis is put back to an earlier state, its facts do not become valid by
// what is learned later. The allocator then compares again: at the next commit or,
// while the sale is idle, within 5 s. If only the ledger is put back, it finds that
// by the cursor, within 32 s. Edges do not compare marks, since only the ledger
// knows which are true, and a first purchase does without it; so until an allocator
// has compared, they may believe facts of a lost history. Without a mark, facts
// prove nothing.
//
// Failure behaviour: if Redis is down, slow, empty or refuses, edges publish
// more. After an error the cache is left alone for Pause, so that nobody waits
// for it; a Redis that only refuses to write is still read. A call never waits for
// a connection: those are made in the background, so that a distant Redis can be
// used as long as its answers come within the timeout. One warning tells of an
// outage; one line tells of its end, after ten seconds without a failure. Failures
// counts.
package rejection
