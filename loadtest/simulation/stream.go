package simulation

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
)

// broker is the model of NATS: streams that can lose acknowledgements, deliver
// late, be away and lose their tail, and the directory of sales.
type broker struct {
	service
	lossy    int
	skew     sale.Instant // of its clock
	sales    map[sale.ID]*streamOf
	attempts map[sale.ID]*streamOf
	listed   map[sale.ID]wire.Entry
	owner    sale.UUID
	session  int      // of its clients; ends when it goes away
	watchers []func() // of the directory
}

type streamOf struct {
	created  time.Time
	room     int64            // bytes that it reserves
	messages []stream.Message // sequence is index + 1
	waiting  []func()         // readers that wait for a message
}

func newBroker(w *world, lossy int) *broker {
	return &broker{
		service: service{w: w, name: "stream"}, lossy: lossy, sales: map[sale.ID]*streamOf{},
		attempts: map[sale.ID]*streamOf{0: {created: w.now.Time(), room: stream.MinStreamBytes}}, listed: map[sale.ID]wire.Entry{},
	}
}

// sessionEnds is when a publish that lost its message or its acknowledgement ends,
// which only a connection that breaks loses.
const sessionEnds = time.Second

var errBroker = errors.New("simulated: NATS does not answer")

// append stores a message.
func (b *broker) append(s *streamOf, data []byte) {
	s.messages = append(s.messages, stream.Message{Sequence: uint64(len(s.messages)) + 1, Time: b.w.now + b.skew, Data: data})
	s.wake()
}

// changed tells those who watch the directory.
func (b *broker) changed() {
	for _, tell := range b.watchers {
		tell()
	}
}

// wake wakes who waits for a message.
func (s *streamOf) wake() {
	waiting := s.waiting
	s.waiting = nil
	for _, wake := range waiting {
		wake()
	}
}

// answers reports whether the broker does.
func (b *broker) answers() error {
	if !b.up() {
		return errBroker
	}
	return nil
}

// goAway ends all sessions: whoever reads finds out.
func (b *broker) goAway(until sale.Instant) {
	b.down = max(b.down, until)
	b.session++
	for id := sale.ID(1); int(id) <= len(b.sales); id++ {
		b.sales[id].wake()
	}
	for _, id := range slices.Sorted(maps.Keys(b.attempts)) {
		b.attempts[id].wake()
	}
	b.changed()
}

// publish sends a message to be stored, if there is a stream for it: nil, or an error
// as a publisher's. Messages and acknowledgements can be lost or late.
func (b *broker) publish(ctx context.Context, store func() bool) error {
	if !b.up() && b.w.oneIn(2) { // the client knows that it is disconnected
		return stream.ErrUnavailable
	}
	stored, missing, over := false, false, false
	wake := func() {}
	if !b.w.oneIn(b.lossy) {
		travel := b.w.between(50*time.Microsecond, 2*time.Millisecond)
		if b.w.oneIn(b.lossy) {
			travel += b.w.between(0, 3*time.Second) // late: perhaps after it was sent again
		}
		b.w.in(travel, func() {
			if !b.up() {
				return
			}
			if over {
				b.w.hit(LatePack)
			}
			if missing = !store(); missing || !b.w.oneIn(b.lossy) {
				stored = true
				wake()
			}
		})
	}
	defer func() { over = true }()
	for until := b.w.until(sessionEnds); !stored; {
		if ctx.Err() != nil || b.w.now >= until {
			return stream.ErrAmbiguous
		}
		b.w.await(ctx, until, func(w func()) { wake = w })
	}
	if missing {
		return stream.ErrUnavailable
	}
	return nil
}

// loseTail forgets the newest messages of every sale, as a power cut would.
func (b *broker) loseTail(amount int) {
	for id := sale.ID(1); int(id) <= len(b.sales); id++ {
		s := b.sales[id]
		keep := max(min(1, len(s.messages)), len(s.messages)-amount)
		b.w.note("tail lost", int64(id), int64(keep), int64(len(s.messages)))
		s.messages = s.messages[:keep:keep]
	}
}
