// Package shop is what an edge does, apart from HTTP: it gives codes for items,
// queues purchases, and waits for their decisions.
//
//	Checkout: look (cache, perhaps ledger) ─▶ sign ─▶ store the attempt ─▶ answer
//	Purchase: look (cache, perhaps ledger) ─▶ queue ─▶ wait ─▶ Decided
//	                                                     └─▶ look (ledger) ─▶ Decided | Refused | Pending | Unqueued
//
// Purpose: sequential code over a host and ports, so that the simulator runs the
// very logic that runs in production.
//
// Authority: none. The cache and this shop's memory are hints; the ledger's rows
// and the allocator's replies, which come after its commit, are answers.
//
// Invariants: "sold" follows only a decision (I5): a reply, or the ledger's
// row; a checkout is answered only after its attempt is stored (I4); a request
// that timed out is Pending only if it is known to be stored, and neither outcome
// is a refusal; neither is given before the ledger was asked for this code. One
// that was seen to be decided is queued only if the ledger says otherwise. What
// the ledger refuses without a decision can never be granted, even if a request
// waits in the stream (I6): see ledger.Verdict.
//
// Failure behaviour: without the cache, and where the ledger does not answer in a
// second, requests go the way that needs neither. A queue that is full refuses at
// once.
package shop
