// Package edge is the HTTP front of a sale: it verifies codes, refuses what
// the rejection cache knows to be refused, publishes purchase requests and
// waits for their decisions.
//
//	checkout: parameters ─▶ directory ─▶ cache ─▶ code ─▶ attempt published ─▶ answer
//	purchase: code ─▶ directory ─▶ cache ─▶ pack published ─▶ reply ─▶ answer
//	                                    └─▶ ledger ─▶ answer (the sale's streams are archived)
//
// Purpose: answers that are true, however many edges run; nothing that
// correctness depends on lives here.
//
// Authority: none. Decisions come from the allocator, after their commit;
// refusals without one come from facts that prove themselves.
//
// Invariants: a checkout is answered only after its attempt is stored in its
// stream (I4); "sold" is said only on a decision (I5); one subscription and
// one pack in flight per sale. Gin lives only in this package, and no
// goroutine keeps a *gin.Context. The purchase path of a sale that is not being
// archived never touches Postgres.
//
// Failure behaviour: what is not known to be queued is answered 503 with
// Retry-After, what is queued but not decided in time 202; the same code may
// be sent again at any edge, at any time. Every queue and map has a limit,
// beyond which requests are refused early with 503. Every read of a connection
// has a deadline, also that of a body, which is ignored; a stop waits for
// requests that have arrived, and for no connection.
package edge
