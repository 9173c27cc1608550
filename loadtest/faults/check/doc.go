// Package check judges a finished run from two records: the history, every
// operation that the clients sent with its times and its answer, and the
// ledger as it stood after the run. It does no I/O, and reads the clock only
// to end in time.
//
// Authority: none over the system, and none is taken from it. Whatever an
// answer or the ledger says is a claim that the other record must bear out.
//
// # Positions
//
// Positions are a total order that the system itself claims. It is checked in
// O(n log n) that this order explains every answer:
//
//	Rules  replaying the decisions by position with a naive engine gives each
//	       recorded reason (positions without a decision are repeats)
//	I1 I2  stock, one owner per item, limit: in the ledger, and over the 200s
//	I3     one outcome per code; its 200s are the same bytes
//	I4     attempts rows per checkout
//	I5     each 200 is in the ledger; nothing decided is unknown to a lookup
//	       that was sent after somebody was told
//	I6     each refusal names a fact of the ledger, and no code refused is sold
//	I7     real time
//	Ack    a request answered 202 is decided in the end (unless there are holes)
//	Input  the records make sense at all
//
// Real time (I7) needs care with repeats: the recorded position is that of the
// first request of a code that reached the stream, which need not be the one
// that was answered. So for the decision at position p let
//
//	sent(p)   be the earliest start of a request of its code that may have been
//	          published: one refused by the edge alone was not, all others may
//	since(p)  be the maximum of sent(q) over all q ≤ p: the stream held p's
//	          predecessors when p was decided, so p was not decided before it
//	told(p)   be the earliest end of an answer that proves p decided, or queued:
//	          200, a refusal with a position, 202, and for the grant that makes
//	          a refusal from the cache true, that refusal
//
// The order is right if since(p) ≤ told(p) for every p. That is I7 for all
// pairs at once (A answered before B was sent, yet behind B: sent(B) ≤
// since(A)), and for the cache it is "no only after the ledger did" (I6).
// No clocks are compared. A 202 counts only in a sale without holes: a lost
// tail may take what it promised. In the other direction a lookup that says
// "no decision yet" must have begun before the earliest proof of its own or of
// any later position (I5): the ledger commits in order of position.
//
// So the positions are a linearization: put decision p at the earliest proof of
// its own or of any later position that it is committed (at the end of time, if
// there is none). These points follow the positions; each lies at or after
// since(p), so after its request was sent, because since(p) ≤ since(q) ≤ told(q)
// for every later q; and none lies after an answer that tells it. Put a repeat,
// or a refusal from the cache, between that point and its end, and a lookup that
// found nothing at its start. Every one of these places is verified to exist,
// and the sequence to follow the rules of the sale; hence the purchases and
// lookups as a whole are linearizable. Requests without a known outcome are put
// where the ledger has them, or nowhere.
//
// # Porcupine
//
// Porcupine cannot take that order as a hint, and a sale is one object: items,
// users and the stock hang together. But each of these is implied by it, and is
// checked without looking at any position:
//
//	item   a register: no owner → the owner's code. 409 needs another owner; 410
//	       needs one for every item of the sale, so the first 410 to be answered
//	       is part of every item's history (sold out means: all items owned)
//	user   a set of at most limit codes; limit-reached needs it full of others
//	code   undecided → granted with these bytes, or refused with this decision;
//	       a refusal from the cache bars a grant for ever; lookups read
//
// An operation whose outcome is not known (no answer, 202, 503) takes the
// ledger's and may take effect at any time after its start; where the ledger
// has no decision it took none. A last operation reads the ledger. These
// projections are necessary conditions, not sufficient together; they are there
// because they have only the reading of an answer in common with the check of positions.
//
// Each item's, user's and code's history goes to porcupine whole if it is
// small; one that is long, or that porcupine does not finish, goes in reduced
// form, which is equivalent: what the reads of the models ask for, once true,
// stays true (or, for "no decision yet", once false stays false), so that among
// equal reads the first to end (the last to start) implies the others; and the
// requests of one code act as one, from the first start to the first answer.
// What is unknown after that is a failure.
//
// # Failure behaviour
//
// Check never panics on what it reads: nonsense in the records is a finding of
// its own (Input). A report with findings is not OK.
package check
