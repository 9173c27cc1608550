// Package stream is the adapter to NATS JetStream: what was asked, in order.
//
//	SALE_<id>        subject purchases.<id>  opening record, then packs
//	CHECKOUTS_<id>   subject checkouts.<id>  attempts to check out of a sale
//	CHECKOUTS_0_<n>  subject checkouts.0.<n> attempts of no or an unknown sale,
//	                                         part by part; CHECKOUTS_0 is part 0
//	KV bucket SALES                          directory of sales
//	full.<subject>   core NATS               whose stream was found full
//	ROOM                                     empty; asks how large the store is
//	replies.<edge>   core NATS               decisions on their way back
//
// Purpose: the one place that knows stream names, limits and error meanings.
//
// Authority: the stream's leader. Info and Message ask it and never a
// follower, which may lag (streams are made without AllowDirect), and what a
// member says while there is no leader is not believed.
//
// Invariants: a sale's stream is gapless, append-only (DenyDelete, DenyPurge)
// and refuses new messages when full (DiscardNew) instead of dropping old
// ones; message 1 is the opening record, published with expect-last-sequence
// 0. Publish returns nil only after the server has stored the message
// durably: the server must run with sync_interval always.
//
// Which part takes the attempts of no sale stands nowhere: it is the last one.
// The next is made before the one before it is closed, for ever; whoever is
// refused by a part looks for the last one, so no publish falls in between. What
// was stored in both, because it was published again, is one attempt all the same.
//
// Failure behaviour: a publish ends with its context or on disconnect, and by
// nothing else: an acknowledgement may be slow, which is logged once. An error that wraps ErrAmbiguous leaves open whether the message was stored;
// any other means that it was not. A Reader ends with an error at the first
// gap, missed heartbeat or reconnect: open another and check the tail again.
//
// The library makes every call under one lock, which it holds while it writes to
// the connection or makes one. A connection that takes no bytes is therefore given
// up after a second or two, and what must not wait asks no library: Connected and
// Unusable; Ping, Close and publishes end by their own bounds.
package stream
