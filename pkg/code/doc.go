// Package code makes and verifies checkout codes: signed, self-contained
// proofs that a user checked out an item.
//
// Purpose: any edge that holds the keys can verify a code without a look-up,
// and nobody without a key can make one.
//
// A code is the unpadded base64url form (RFC 4648 section 5) of
//
//	offset  bytes  field
//	0       1      version, 1
//	1       4      key id, big endian
//	5       16     sale UUID
//	21      8      item id, big endian
//	29      8      expiry, microseconds since the Unix epoch, big endian
//	37      12     nonce, random, chosen by the caller
//	49      1..128 user id
//	end-16  16     tag: HMAC-SHA-256 (RFC 2104) of all before, its first 128 bits
//
// The tag's truncation to half the hash keeps RFC 2104 section 5's minimum:
// one forgery in 2^128 guesses.
//
// Invariants: every code has exactly one spelling, so flipping any bit of it
// makes it invalid; a code's ID (SHA-256 of the signed part, first 128 bits)
// reveals nothing that lets its holder buy, so IDs may be stored and shown
// where the code may not.
//
// Failure behaviour: Verify returns ErrInvalid for everything that is not a
// valid code, without saying why: malformed, forged and foreign codes are
// indistinguishable. Expiry is not judged here: only the engine's stream time
// decides it, because a granted code must be answerable for ever.
//
// The package is pure: nonce and time are passed in.
package code
