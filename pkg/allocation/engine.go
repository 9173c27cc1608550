package allocation

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"notsale/pkg/code"
	"notsale/pkg/sale"
)

// Engine decides one sale. It is not safe for concurrent use: it has one
// owner, the sale's loop.
type Engine struct {
	sale    sale.Sale
	rules   rulebook // of the sale's version
	cursor  Cursor
	decided map[code.ID]record
	owners  map[sale.ItemID]code.ID
	grants  map[sale.UserID][]code.ID
	scratch []byte // encoding of a pack's decisions, reused
}

// record is what the engine keeps of a decision. Item and user are in every repeat of
// the code, whose ID covers them.
type record struct {
	position int64
	at       sale.Instant
	reason   Reason
}

const (
	chainLabel = "notsale/chain/1"
	holeLabel  = "notsale/hole/1"
)

// New returns the engine of a sale whose opening record, message 1 of its
// stream, has the given hash and timestamp. The sale must be valid and its
// rules known; New panics where they are not.
func New(s sale.Sale, opening Hash, at sale.Instant) *Engine {
	rules, err := rulesOf(&s)
	if err != nil {
		panic(err)
	}
	return newEngine(s, rules, Genesis(opening, at), 0)
}

// Genesis returns the cursor of a sale of which only the opening record was
// applied.
func Genesis(opening Hash, at sale.Instant) Cursor {
	return Cursor{
		Generation: 1, Sequence: 1, Chain: sha256.Sum256(append([]byte(chainLabel), opening[:]...)),
		PackHash: opening, PackTime: at, Now: at,
	}
}

func newEngine(s sale.Sale, rules rulebook, c Cursor, decisions int) *Engine {
	return &Engine{
		sale: s, rules: rules, cursor: c,
		decided: make(map[code.ID]record, decisions),
		owners:  make(map[sale.ItemID]code.ID, min(decisions, s.Stock)),
		grants:  make(map[sale.UserID][]code.ID),
	}
}

// Sale returns the sale that the engine decides.
func (e *Engine) Sale() sale.Sale { return e.sale }

// Cursor returns how far the sale is decided.
func (e *Engine) Cursor() Cursor { return e.cursor }

// Begin returns an empty batch that starts at the engine's state.
func (e *Engine) Begin() *Batch { return &Batch{Before: e.cursor, After: e.cursor} }

// Apply decides a pack and adds what follows from it to the batch, which must
// be the one last begun. The pack must be the next of the stream.
func (e *Engine) Apply(p Pack, b *Batch) {
	if p.Sequence != e.cursor.Sequence+1 || b.After.Sequence != e.cursor.Sequence {
		panic(fmt.Sprintf("allocation: pack %d applied at %d, batch at %d", p.Sequence, e.cursor.Sequence, b.After.Sequence))
	}
	e.cursor.Now = e.rules.clock(e.cursor.Now, p.Time)
	first := len(b.Decisions)
	for i := range p.Requests {
		e.cursor.Position++
		d, repeat := e.decide(&p.Requests[i], b)
		if !repeat {
			b.Decisions = append(b.Decisions, d)
		}
		if p.Edge != "" {
			b.Replies = append(b.Replies, Reply{Edge: p.Edge, Number: p.Requests[i].Number, Decision: d})
		}
	}
	e.cursor.Sequence = p.Sequence
	e.cursor.PackHash = p.Hash
	e.cursor.PackTime = p.Time
	b.Packs = append(b.Packs, Mark{Time: p.Time, Hash: p.Hash})
	e.cursor.Chain = e.link(b.Decisions[first:])
	b.After = e.cursor
}

// Reopen returns the cursor with which a sale continues after a hole: positions,
// engine time and the number of items sold continue, the stream is read again from
// the first message that has changed, and the chain includes the hole.
func (h *Hole) Reopen() Cursor {
	c := h.Lost
	buf := append([]byte(holeLabel), c.Chain[:]...)
	for _, n := range []uint64{uint64(h.Generation), h.Matching, c.Sequence, uint64(c.Position), h.Resume()} {
		buf = binary.BigEndian.AppendUint64(buf, n)
	}
	c.Generation, c.Sequence, c.Chain = h.Generation, h.Matching, sha256.Sum256(buf)
	c.PackHash, c.PackTime = h.Mark.Hash, h.Mark.Time
	return c
}

// Reopen moves the engine into the generation after a hole. The engine must be at the
// cursor at which the hole was found.
func (e *Engine) Reopen(h *Hole) {
	if e.cursor != h.Lost {
		panic(fmt.Sprintf("allocation: hole found at %d, engine at %d", h.Lost.Sequence, e.cursor.Sequence))
	}
	e.cursor = h.Reopen()
}

// decide returns the request's decision and whether it was recorded before.
func (e *Engine) decide(r *Request, b *Batch) (d Decision, repeat bool) {
	if r.Code.IsZero() || e.sale.Takes(r.User) != nil {
		return Decision{Position: e.cursor.Position, Reason: Malformed, At: e.cursor.Now}, false
	}
	d = Decision{Position: e.cursor.Position, Code: r.Code, Item: r.Item, User: r.User, At: e.cursor.Now}
	if known, ok := e.decided[r.Code]; ok {
		d.Position, d.At, d.Reason = known.position, known.at, known.reason
		e.remind(&d, b)
		return d, true
	}
	d.Reason = e.rules.judge(e, r)
	e.decided[d.Code] = record{position: d.Position, at: d.At, reason: d.Reason}
	if d.Reason == Granted {
		e.grant(&d, b)
	} else {
		e.remind(&d, b)
	}
	return d, false
}

// What the rules ask about. All versions ask the same questions, whose meaning must
// not change.

func (e *Engine) soldOut() bool { return e.cursor.Sold == e.sale.Stock }

func (e *Engine) atLimit(user sale.UserID) bool { return len(e.grants[user]) >= e.sale.UserLimit }

func (e *Engine) taken(item sale.ItemID) bool {
	_, taken := e.owners[item]
	return taken
}

func (e *Engine) grant(d *Decision, b *Batch) {
	e.own(d)
	b.Facts.Owners = append(b.Facts.Owners, Owner{Item: d.Item, Code: d.Code})
	if codes := e.grants[d.User]; len(codes) == e.sale.UserLimit {
		b.Facts.AtLimit = append(b.Facts.AtLimit, UserAtLimit{User: d.User, Codes: codes})
	}
	b.Facts.SoldOut = b.Facts.SoldOut || e.soldOut()
}

func (e *Engine) own(d *Decision) {
	e.owners[d.Item] = d.Code
	e.grants[d.User] = append(e.grants[d.User], d.Code)
	e.cursor.Sold++
}

// remind repeats the fact behind a refusal: the cache must have lost it, or the
// request would not have come here.
func (e *Engine) remind(d *Decision, b *Batch) {
	if owner, taken := e.owners[d.Item]; taken && owner != d.Code {
		b.Facts.Owners = append(b.Facts.Owners, Owner{Item: d.Item, Code: owner})
	}
	if d.Reason == LimitReached {
		b.Facts.AtLimit = append(b.Facts.AtLimit, UserAtLimit{User: d.User, Codes: e.grants[d.User]})
	}
	b.Facts.SoldOut = b.Facts.SoldOut || e.soldOut()
}

// link returns the chain after the pack that the cursor has just passed.
func (e *Engine) link(decisions []Decision) Hash {
	c := &e.cursor
	buf := e.scratch[:0]
	buf = append(buf, c.Chain[:]...)
	buf = binary.BigEndian.AppendUint64(buf, uint64(c.Generation))
	buf = binary.BigEndian.AppendUint64(buf, c.Sequence)
	buf = binary.BigEndian.AppendUint64(buf, uint64(c.PackTime))
	buf = append(buf, c.PackHash[:]...)
	buf = binary.BigEndian.AppendUint64(buf, uint64(c.Position))
	for i := range decisions {
		buf = appendDecision(buf, &decisions[i])
	}
	e.scratch = buf
	return sha256.Sum256(buf)
}

func appendDecision(buf []byte, d *Decision) []byte {
	buf = binary.BigEndian.AppendUint64(buf, uint64(d.Position))
	buf = binary.BigEndian.AppendUint64(buf, uint64(d.At))
	buf = binary.BigEndian.AppendUint64(buf, uint64(d.Item))
	buf = append(buf, byte(d.Reason))
	buf = append(buf, d.Code[:]...)
	buf = append(buf, byte(len(d.User)))
	return append(buf, d.User...)
}
