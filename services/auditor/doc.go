// Package auditor replays a sale's stream against the ledger and says where the
// two do not agree.
//
//	opening record ─▶ engine ─▶ decisions, positions, chain ═?═ ledger's rows
//	attempts' stream ─────────▶ attempts                    ═?═ checkout_attempts
//
// Purpose: anyone with read access can show that a sale was right. A replay
// takes no parameter from anywhere but the stream's opening record.
//
// Authority: the engine (pkg/allocation), which is the one that decided. Packs
// carry a code's claims, not its tag: the audit trusts the edges to have
// verified the codes.
//
// Invariants: the audit writes nothing. It covers the sale up to the cursor
// that it read first, so a running sale can be audited. What lies in a hole
// cannot be proved from the stream; its rows are taken from the ledger, checked
// against the rules of the sale, and counted as unproved.
//
// Failure behaviour: what does not agree is a Finding, never an error; an error
// means that the audit could not be carried out.
package auditor
