// Package report makes one self-contained HTML page of an audited sale.
//
//	audit ──▶ Collector (sums, bounded) ──▶ Render ──▶ page.html with inline SVG
//
// Purpose: what happened in a sale, for people: the verdict with the chain, how
// fast it sold, who was refused why, how long a decision took, what failed on
// the way, and the race for the most wanted items.
//
// Authority: none. The verdict is the audit's; every figure is a sum over what
// the audit replayed. Times of commits and terms of allocators are the ledger's
// word: no message proves them, and the page says so.
//
// Invariants: memory is bounded by the sale's stock, not by its requests. The
// page asks for nothing from anywhere, runs no script, and is the same bytes for
// the same evidence. All text in it is escaped, cut and printable: findings hold
// strings that somebody may have planted. It has user ids only if
// Collector.WithUsers is set.
//
// Failure behaviour: Render fails as its writer fails. Figures that are not
// known are shown as such, never as zero.
package report
