// Package edge is the HTTP front of a sale: it verifies codes, refuses what
// the rejection cache knows to be refused, publishes purchase requests and
// waits for their decisions.
//
//	checkout: parameters ─▶ directory ─▶ cache ─▶ (ledger) ─▶ code ─▶ attempt published ─▶ answer
//	purchase: code ─▶ directory ─▶ cache ─▶ (ledger) ─▶ pack published ─▶ reply ─▶ answer
//	                                                                └─▶ none in time: ledger ─▶ answer
//
// Purpose: true answers, however many edges run; correctness depends on nothing
// that is kept here.
//
// Authority: none. Users are not authenticated: user_id is believed, or, with a user
// header, what a trusted proxy says. Decisions come from the allocator, after their
// commit; refusals without one come from facts that prove themselves.
//
// Invariants: a checkout is answered only after its attempt is stored in its
// stream (I4); "sold" is said only on a decision (I5): a reply or the ledger's
// row; one subscription, one pack in flight per sale, and one request in flight per
// code. Gin lives only in this package, and no goroutine keeps a *gin.Context.
//
// A first purchase never needs Postgres. The ledger is read where a hint says
// that it has the answer: a fact of the cache that names the code, this edge's
// memory of decisions, a code that has expired, a sale that is listed as sold
// out; before 202 or 503 is said; and for sales that the directory does not
// have. All such reads are coalesced. What the ledger has decided is told without the
// stream; a hint that it does not confirm, as after a restore, is ignored. A code that
// was seen to be decided is never published again because the ledger is slow or away:
// its request waits, then is answered 503. Pages read the ledger a few at a time, so
// that a flood of page reads does not delay purchases.
//
// Failure behaviour: what is not known to be queued is answered 503 with
// Retry-After, what is queued but not decided in time 202; the same code may
// be sent again at any edge, at any time. Every queue and map has a limit,
// beyond which requests are refused early with 503, and one code takes only a small
// part of the places for waiting purchases. Every read of a connection has a
// deadline. The number of connections is limited so that the process keeps the file
// descriptors that it needs itself; in a crowd idle ones are closed. A stop waits for
// requests that have arrived, not for connections.
package edge
