// Package stream is the adapter to NATS JetStream: what was asked, in order.
//
//	SALE_<id>       subject purchases.<id>   opening record, then packs
//	CHECKOUTS_<id>  subject checkouts.<id>   attempts; id 0: no or unknown sale
//	KV bucket SALES                          directory of sales
//	full.<subject>  core NATS                whose stream was found full
//	ROOM                                     empty; asks how large the store is
//	replies.<edge>  core NATS                decisions on their way back
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
// Failure behaviour: a publish ends after PublishTimeout or on disconnect. An
// error that wraps ErrAmbiguous leaves open whether the message was stored;
// any other means that it was not. A Reader ends with an error at the first
// gap, missed heartbeat or reconnect: open another and check the tail again.
package stream
