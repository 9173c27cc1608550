// Package stream is the adapter to NATS JetStream: what was asked, in order.
//
//	SALE_<id>        subject purchases.<id>   a sale's opening record, then packs
//	CHECKOUTS_<id>   subject checkouts.<id>   attempts to check out of a sale
//	CHECKOUTS_0_<n>  subject checkouts.0.<n>  attempts of no or an unknown sale,
//	                                          in parts; CHECKOUTS_0 is part 0
//	SALES            KV bucket                directory of sales
//	ROOM             empty stream             there while the store is measured
//	full.<subject>   core NATS                says that a subject's stream is full
//	replies.<edge>   core NATS                decisions on their way back
//
// Purpose: the one place that knows stream names, limits and error meanings.
//
// Authority: a stream's leader. Info and Message ask it and never a follower,
// which may lag (streams are made without AllowDirect). While a stream has no
// leader, its state is an error.
//
// Invariants: a sale's stream is gapless, append-only (DenyDelete, DenyPurge)
// and refuses new messages when full (DiscardNew) instead of dropping old
// ones; message 1 is the opening record, published with expect-last-sequence
// 0. Publish returns nil only after the server has stored the message
// durably: the server must run with sync_interval always.
//
// Of the parts that hold attempts of no sale, the last one takes messages. The
// next part is always made before the current one is closed, and a client that a
// part refuses looks for the last one, so every attempt finds a part that takes
// it. An attempt that was published again may be in two parts; it has one id.
//
// Failure behaviour: a publish waits for its acknowledgement until its context ends or
// NATS disconnects; a slow acknowledgement is logged once. An error that wraps
// ErrAmbiguous leaves open whether the message was stored; any other means that it
// was not. A Reader ends with an error at the first gap, missed heartbeat or
// reconnect: open another, and check first that the stream kept its tail.
//
// The NATS library takes one lock for every call, and holds it while it dials and
// writes. So a connection that takes no bytes is closed after a second or two, and
// Connected and Unusable, which must not wait, do not call the library.
package stream
