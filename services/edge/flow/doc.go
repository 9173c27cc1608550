// Package flow is the logic of a checkout and of a purchase at an edge, as
// state machines: each step takes what happened and returns what to do next.
//
//	purchase: Ask ─▶ (Refused) (Look) ─▶ Submit ─▶ Wait ─▶ Decided
//	                                                  └─▶ Look ─▶ Decided | Refused | Pending | Unqueued
//	checkout: Ask ─▶ (Look) ─▶ Store ─▶ Wait ─▶ Answer | Unqueued
//
// Purpose: what an edge decides, apart from HTTP, goroutines and clocks, so
// that the simulator drives the very logic that runs in production.
//
// Authority: none; see package edge.
//
// Invariants: "sold" follows only a decision (I5): a reply, or the ledger's
// row; a checkout is answered only after its attempt is stored (I4); a request
// that timed out is Pending only if it is known to be stored, and neither outcome
// is a refusal; neither is given before the ledger was asked for this code. One
// that was seen to be decided is queued only if the ledger says otherwise. What
// the ledger refuses without a decision can never be granted, even if a request
// waits in the stream (I6): see ledger.Verdict.
package flow
