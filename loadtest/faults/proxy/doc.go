// Package proxy is a small TCP proxy between one process and one
// store, so that a test can cut or slow that one path and no other.
//
// Purpose: network faults for real processes without rights on the machine's
// network.
//
// Modes, for connections open and new:
//
//	Forward    bytes pass, after the delay that Slow has set
//	Blackhole  connections stay, or are accepted, but nothing passes; what was
//	           sent waits, as in a network that retransmits, and passes after
//	           the next Forward
//	Reset      connections are reset, new ones as soon as they are accepted
//
// Freeze stops the traffic of connections that are open, and of no others.
//
// Invariants: order is kept in each direction; a byte is forwarded once or,
// where its connection ends, never. The delays' jitter comes from the seed.
//
// Failure behaviour: a target that does not answer resets the client's
// connection, as no listener would.
package proxy
