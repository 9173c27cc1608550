// Package allocation is the engine that decides who gets which item.
//
// Purpose: given a sale's opening record and its packs in stream order, Apply
// says what was decided. It is a pure function of them: no I/O, no clock, no
// randomness, no goroutine. Effects are data (a Batch): the loop outside
// persists the decisions first and only then fills the cache and replies, as
// with etcd raft's Ready.
//
// Authority: the stream gives the order and the time, and its opening record
// the version of the rules. Engine time follows from the stream's timestamps;
// it alone decides expiry. Only stock closes a sale, never time.
//
// Under version 1 of the rules engine time is the maximum of the timestamps so
// far, so it never decreases: a clock that was a year ahead for one message
// expires every later code. Under version 2 it is the pack's own timestamp, so that
// a wrong clock spoils that pack alone; it may decrease along the positions. Version 2 also
// takes more user ids (sale.UserID.Rules); a request with a user id that the
// sale's rules do not take is not readable. In both, a request is checked in this
// order, and the first that holds decides:
//
//	recorded decision   the code was decided before: the same answer again
//	Malformed           not readable, or not for an item of this sale
//	CodeExpired         engine time is after the code's expiry
//	SoldOut             every item has an owner
//	LimitReached        the user owns as many items as the sale allows
//	ItemTaken           the item has an owner
//	(granted)           the user owns the item
//
// To change the rules, add a version and never edit one: a sale is decided,
// replayed and audited for ever under the version in its opening record.
//
//  1. Add the version to rulebooks in rules.go, with functions of its own for
//     what differs. What older versions use stays as it is.
//  2. Add its recordings, which TestEveryVersionIsRecorded asks for. The older
//     ones, in testdata/recorded, must come out as they are.
//  3. Release that. An allocator gives up a sale of rules that it does not
//     know, and an edge refuses what it does not know, so all of them are
//     upgraded before such a sale opens.
//  4. Raise sale.RulesVersion in a later release. Sales opened from then on
//     have the new version.
//
// No version may touch the invariants, the numbers of the reasons, the answer
// to a repeated code, or the form of the chain.
//
// Invariants, of every version: at most Stock grants, at most UserLimit per
// user, at most one per item and per code; the first decision of a code is
// never changed; every request, repeats included, takes the next position;
// cutting the packs into batches differently changes no decision, position or
// chain.
//
// The chain is a running hash that a replay must reproduce:
//
//	chain(opening) = SHA-256("notsale/chain/1" ‖ hash of the opening record)
//	chain(pack)    = SHA-256(chain before ‖ generation ‖ sequence ‖ stream time ‖
//	                 pack hash ‖ position after ‖ its new decisions)
//
//	chain(hole)    = SHA-256("notsale/hole/1" ‖ chain before ‖ generation opened ‖ last matching
//	                 sequence ‖ sequence before ‖ position before ‖ resume sequence)
//
// with integers as 8 bytes big endian and each decision as position, instant,
// item, reason (1 byte), code id (16 bytes, zero where none), length of the
// user id (1 byte), user id. It never covers epoch or batch bounds.
//
// Failure behaviour: a refusal is a value. Packs out of order are a broken
// invariant: Apply panics, because to go on would sell wrongly. Restore returns an
// error for a state to which no sequence of requests leads, because it reads what
// others wrote. New panics for rules that this program does not have, so call
// KnownRules before it; Restore returns ErrRules.
package allocation
