// Package edge is the HTTP front of a sale: it verifies codes, refuses what
// the rejection cache knows to be refused, publishes purchase requests and
// waits for their decisions.
//
//	checkout: parameters ─▶ directory ─▶ cache ─▶ (ledger) ─▶ code ─▶ attempt published ─▶ answer
//	purchase: code ─▶ directory ─▶ cache ─▶ (ledger) ─▶ pack published ─▶ reply ─▶ answer
//	                                                                └─▶ none in time: ledger ─▶ answer
//
// Purpose: answers that are true, however many edges run; nothing that
// correctness depends on lives here.
//
// Authority: none, and none over who asks: user_id is believed, or, with a user
// header, a trusted proxy is, and nobody else. Decisions come from the allocator, after their commit;
// refusals without one come from facts that prove themselves.
//
// Invariants: a checkout is answered only after its attempt is stored in its
// stream (I4); "sold" is said only on a decision (I5): a reply or the ledger's
// row, and no status that no code wrote is ever sent; one subscription, one pack
// in flight per sale, and one request in flight per code. Gin lives only in this
// package, and no goroutine keeps a *gin.Context.
//
// A first purchase never needs Postgres. The ledger is read where a hint says
// that it has the answer: a fact of the cache that names the code, this edge's
// memory of decisions, a code that has expired, a sale that is listed as sold
// out; before 202 or 503 is said; and for sales that the directory does not
// have. All such reads are coalesced. What it knows for good is told without the
// stream; a hint that it does not confirm, as after a restore, is none. A code that
// was seen to be decided is not published because the ledger is slow or away: it
// waits, and is told to come again. Pages read the ledger in turns, few at a time:
// whoever floods them keeps no look-up waiting.
//
// Failure behaviour: what is not known to be queued is answered 503 with
// Retry-After, what is queued but not decided in time 202; the same code may
// be sent again at any edge, at any time. Every queue and map has a limit,
// beyond which requests are refused early with 503, and one code has a small part
// of the places in which purchases wait. Every read of a connection
// has a deadline, also that of a body, which is ignored; connections leave the
// process the descriptors that it needs itself, and idle ones give way to new
// ones; a stop waits for requests that have arrived, and for no connection.
package edge
