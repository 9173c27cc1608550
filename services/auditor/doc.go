// Package auditor replays a sale's stream against the ledger and says where the
// two do not agree.
//
//	opening record ─▶ engine ─▶ decisions, positions, chain ═?═ ledger's rows
//	attempts' stream ─────────▶ attempts                    ═?═ checkout_attempts
//	                            chain on its way            ═?═ published statement
//
// Purpose: anyone with read access can show that a sale was right, and say what
// became of one code (Explain). A replay takes no parameter from anywhere but
// the stream's opening record. Package report makes a page of what an audit
// replays, package archive a file from which it can be carried out offline,
// package statement a signed note of what it came to.
//
// Authority: the engine (pkg/allocation), which is the one that decided, under
// the rules of the version in the opening record. Packs carry a code's claims,
// not its tag: the audit trusts the edges to have verified the codes. Whoever
// rewrites stream and ledger together, or makes up a hole in the ledger, leaves
// no finding (though the hole's decisions count as unproved); that can only be
// detected against a statement published before (Options.Against), which
// nothing in a hole can confirm.
//
// Invariants: the audit writes nothing. It covers the sale up to the cursor
// that it read first, in one snapshot with all that may still change, so a
// running sale can be audited; while the sale sells, it works OpenShare of the
// time. What lies in a hole cannot be proved from the stream; its rows are taken
// from the ledger, compared with the rules of the sale, the attempts and each other,
// and counted as unproved. Where they do not agree, findings name the hole, and one
// says after which position nothing was audited: which row is wrong, and what
// follows from it, nobody can tell. What lies before is compared all the same. A
// wrong row outside a hole is one finding, which names row and field.
// Attempts that no recorder has come to are counted as unrecorded, rows whose
// messages went with an old stream of no sale, or with a tail that a stream of
// attempts has lost, as unproved. Findings come in the order of the stream.
//
// Failure behaviour: what does not agree is a Finding, never an error; an error
// means that the audit could not be carried out. An audit during which a hole
// is found begins anew.
package auditor
