// Package archive keeps all evidence of one sale in one file: its two streams,
// and the rows of the ledger that speak of it.
//
//	README.txt                    what this is, and how to check it by hand
//	sale/000001.zst               rows of sales, cursors, holes, items
//	commits/000001.zst …          rows of commits
//	decisions/000001.zst …        rows of decisions
//	attempts/000001.zst …         rows of checkout_attempts
//	stream/000001.zst …           the messages that were decided
//	attempts-stream/000001.zst …  the messages of checkout attempts
//	manifest.json                 size and SHA-256 of all of the above
//	manifest.sha256               SHA-256 of manifest.json
//
// Purpose: a sale can be audited when its streams are long gone, without a
// server, by whoever has the file. An Archive is both the ledger and the streams
// to the auditor.
//
// Authority: readme.txt in this folder is the format's description and a part
// of it. What is written in one version of the format never changes:
// testdata holds archives that every later version must read.
//
// Invariants: the same content gives the same bytes: no time of export, no host,
// one fixed order, one fixed compressor. So an export of an archive is that
// archive, which is how Verify looks at every byte. Memory stays bounded: a member
// holds at most about 4 MiB of records.
//
// What it proves: no more than an audit of the stores does. Whoever can rewrite
// an archive whole can rewrite its sums too; the SHA-256 of its manifest, kept
// or published elsewhere, is what fixes it.
//
// Order: of a sale under way, what is read first is what later reading must
// cover. The snapshot comes first, and how far attempts are recorded before the rows of
// attempts, and these before their stream is read to its end.
//
// Failure behaviour: a damaged archive can be opened and verified; its records
// are then refused with ErrDamaged, and no part of a damaged member is returned.
package archive
