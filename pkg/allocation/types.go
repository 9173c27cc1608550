package allocation

import (
	"notsale/pkg/code"
	"notsale/pkg/sale"
)

// Hash is a SHA-256 value.
type Hash [32]byte

// Request is one purchase request in a pack.
type Request struct {
	Number  uint64       // the edge's own number for it, to route the reply
	Code    code.ID      // zero: the request could not be read
	Item    sale.ItemID  //
	User    sale.UserID  //
	Expires sale.Instant // of the code
}

// Pack is one message of the stream, read. A message that could not be
// decoded is a pack without edge and with one unreadable request.
type Pack struct {
	Sequence uint64       // in the stream, gapless
	Time     sale.Instant // the stream's timestamp
	Hash     Hash         // of the message's bytes
	Edge     string       // who waits for the replies
	Requests []Request    // in the order in which they are decided
}

// Decision is the outcome of a request, recorded once per code.
type Decision struct {
	Position int64        // of the request that was decided
	Code     code.ID      // zero for unreadable requests
	Item     sale.ItemID  // zero for unreadable requests
	User     sale.UserID  // empty for unreadable requests
	Reason   Reason       //
	At       sale.Instant // engine time
}

// Reply is a decision on its way back to the edge that asked. For a repeat it
// is the recorded decision.
type Reply struct {
	Edge     string
	Number   uint64
	Decision Decision
}

// Cursor says how far a sale is decided. It is committed with the decisions.
type Cursor struct {
	Generation int64        // of the stream between holes, from 1
	Sequence   uint64       // last applied message
	Position   int64        // last position given out
	Sold       int          // items with an owner
	Chain      Hash         //
	PackHash   Hash         // of the message at Sequence
	PackTime   sale.Instant // the stream's timestamp of that message
	Now        sale.Instant // engine time
}

// Facts are what the rejection cache may learn from a batch, after its commit.
// Each names the codes that were granted, so that nobody's own grant is refused.
type Facts struct {
	Owners  []Owner       // taken items
	AtLimit []UserAtLimit // users who may buy no more
	SoldOut bool          // every item has an owner
}

// Owner says that the item went to the holder of the code.
type Owner struct {
	Item sale.ItemID
	Code code.ID
}

// UserAtLimit names all codes that were granted to a user who has reached the
// limit.
type UserAtLimit struct {
	User  sale.UserID
	Codes []code.ID
}

// Batch is what is decided and committed together.
type Batch struct {
	Before    Cursor     // the state it applies to
	Packs     []Mark     // what it applied, in stream order
	After     Cursor     // the state it leads to
	Decisions []Decision // new ones, by position
	Replies   []Reply    // one per readable request, in stream order
	Facts     Facts      //
}

// Mark identifies a message: any other that may get the same sequence differs in it.
type Mark struct {
	Time sale.Instant // the stream's timestamp
	Hash Hash         // of the message's bytes
}

// Hole is a lost tail of a sale's stream: messages that were applied, and that
// the stream no longer has. A new generation begins after it.
type Hole struct {
	Generation int64  // the new one
	Matching   uint64 // last message that is still the one that was applied
	Mark       Mark   // of that message
	Lost       Cursor // the cursor when the hole was found
	// StreamCreated is when the stream was created, which a restore changes; 0: it has
	// not changed.
	StreamCreated sale.Instant
}

// Resume returns the first sequence of the new generation.
func (h *Hole) Resume() uint64 { return h.Matching + 1 }

// Empty reports whether the batch holds no pack.
func (b *Batch) Empty() bool { return b.Before.Sequence == b.After.Sequence }
