// Package wire defines the messages between the services, as versioned JSON.
//
// Purpose: one encoding per message, readable with the stock `nats` command,
// that a replay in ten years still reads the same way.
//
//	opening   message 1 of SALE_<id>: the sale's description
//	pack      every other message of SALE_<id>: purchase requests of one edge
//	attempts  every message of CHECKOUTS_<id>, and of CHECKOUTS_0_<n> for those
//	          of no sale: checkout attempts of one edge
//	replies   allocator to edge, core NATS: decisions of one commit
//
// Authority: testdata holds golden messages; they are append-only.
//
// Decoding a pack has two parts. The canonical form, byte for byte what
// AppendPack writes, is read by a scanner of its own; anything else goes to
// encoding/json. Both give the same result where both apply, which a fuzz
// target checks.
//
// Failure behaviour: a message of an unknown version is ErrVersion and must
// not be decided by this program. Any other message that cannot be read is
// Malformed as a whole: one unreadable request. Inside a readable pack a bad
// request harms only itself.
package wire
