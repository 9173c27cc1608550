// Package rejection is the rejection cache in Redis: it lets an edge refuse,
// without the stream, what the ledger has refused for good.
//
// Purpose: after an item, a user's limit or the sale is gone, further requests
// cost one coalesced round trip instead of a place in the queue.
//
// Authority: none. The cache is written after the commit and read as a hint
// that carries its own proof: an item's fact names the code that owns it, a
// user's fact all codes that were granted. A request whose code is among them,
// or about which nothing is known, is published and the engine answers. "Sold
// out" alone proves nothing about a code and refuses checkouts only.
//
//	notsale:{<sale UUID>}:items   hash: item id → owner's code id, 16 bytes
//	notsale:{<sale UUID>}:users   hash: user id → code ids of all grants
//	notsale:{<sale UUID>}:sold    "1": every item has an owner
//
// Invariants: facts never change, because a restore that lost commits gives
// the sale a new UUID; so a stale, partial or emptied cache is never wrong.
//
// Failure behaviour: Redis down, slow or empty makes edges publish more. After
// an error the cache is left alone for Pause, so that nobody waits for it.
package rejection
