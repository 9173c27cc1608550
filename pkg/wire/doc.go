// Package wire defines the messages between the services, as versioned JSON.
//
// Purpose: one encoding per message, readable with the stock `nats` command, which
// a replay in ten years still reads in the same way.
//
//	opening   message 1 of SALE_<id>: the sale's description
//	pack      every other message of SALE_<id>: purchase requests of one edge
//	attempts  every message of CHECKOUTS_<id>, and of CHECKOUTS_0_<n> for those
//	          of no sale: checkout attempts of one edge
//	replies   allocator to edge, core NATS: decisions of one commit
//
// Authority: testdata holds golden messages; they are append-only.
//
// Packs, attempts and replies are decoded in one of two ways. Their canonical form,
// byte for byte what the Append functions write, is read by a scanner, which is fast;
// anything else by encoding/json. Fuzz targets check that both give the same result
// where both apply.
//
// Failure behaviour: a message of an unknown version is ErrVersion, and this program
// must not decide it. Any other message that cannot be read counts as one Malformed
// request. In a readable pack a bad request harms only itself.
package wire
