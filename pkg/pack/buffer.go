package pack

// Buffer is what a Queue decides, without its goroutine: which items form a
// pack, and what becomes of their tickets. At most one pack is out at a time.
// It is not safe for concurrent use.
type Buffer[T any] struct {
	limits Limits
	packs  []*batch[T] // oldest first; the last may still grow
	out    *batch[T]   // given out by Next and not yet settled
	queued int
}

type batch[T any] struct {
	items  []T
	bytes  int
	ticket *Ticket
}

// Ticket is the future of all items of one pack.
type Ticket struct {
	done chan struct{}
	err  error // written once by the sending goroutine, before done is closed
}

// Done is closed when the pack's fate is known.
func (t *Ticket) Done() <-chan struct{} { return t.done }

// Err returns what became of the pack, nil when it is stored. It may be called
// only after Done is closed.
func (t *Ticket) Err() error { return t.err }

// NewBuffer returns an empty buffer. It has no use for the limits' Patience.
func NewBuffer[T any](limits Limits) *Buffer[T] { return &Buffer[T]{limits: limits} }

// Add puts an item of the given size in bytes into the newest pack that has
// room and returns its ticket, or ErrFull.
func (b *Buffer[T]) Add(item T, size int) (*Ticket, error) {
	if b.queued >= b.limits.Queued {
		return nil, ErrFull
	}
	b.queued++
	p := b.open(size)
	p.items = append(p.items, item)
	p.bytes += size
	return p.ticket, nil
}

// open returns a pack that has room for one more item of the size.
func (b *Buffer[T]) open(size int) *batch[T] {
	if n := len(b.packs); n > 0 {
		p := b.packs[n-1]
		if len(p.items) < b.limits.Items && p.bytes+size <= b.limits.Bytes {
			return p
		}
	}
	p := &batch[T]{ticket: &Ticket{done: make(chan struct{})}}
	b.packs = append(b.packs, p)
	return p
}

// Next gives out the oldest pack, which grows no more, or nil if there is none.
// The pack given out before must have been settled.
func (b *Buffer[T]) Next() []T {
	if b.out != nil {
		panic("pack: a second pack is given out")
	}
	if len(b.packs) == 0 {
		b.packs = nil
		return nil
	}
	b.out = b.packs[0]
	b.packs[0] = nil
	b.packs = b.packs[1:]
	return b.out.items
}

// Settle resolves the tickets of the pack that is out. Its room is given back
// before, because their holders may come again at once.
func (b *Buffer[T]) Settle(err error) {
	out := b.out
	b.out = nil
	b.queued -= len(out.items)
	out.ticket.err = err
	close(out.ticket.done)
}

// Queued returns how many items wait, those of the pack that is out included.
func (b *Buffer[T]) Queued() int { return b.queued }
