package simulation

import (
	"context"
	"errors"
	"fmt"
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
	waiting  waiters          // readers that wait for a message
}

func newBroker(w *world, lossy int) *broker {
	return &broker{
		service: service{w: w, away: errors.New("simulated: NATS does not answer")}, lossy: lossy, sales: map[sale.ID]*streamOf{},
		attempts: map[sale.ID]*streamOf{0: {created: w.now.Time(), room: stream.MinStreamBytes}}, listed: map[sale.ID]wire.Entry{},
	}
}

// sessionEnds is when a publish that lost its message or its acknowledgement ends,
// which only a connection that breaks loses.
const sessionEnds = time.Second

// append stores a message.
func (b *broker) append(s *streamOf, data []byte) {
	s.messages = append(s.messages, stream.Message{Sequence: uint64(len(s.messages)) + 1, Time: b.w.now + b.skew, Data: data})
	s.waiting.wake()
}

// changed tells those who watch the directory.
func (b *broker) changed() {
	for _, tell := range b.watchers {
		tell()
	}
}

// goAway ends all sessions: whoever reads finds out.
func (b *broker) goAway(until sale.Instant) {
	b.down = max(b.down, until)
	b.session++
	for id := sale.ID(1); int(id) <= len(b.sales); id++ {
		b.sales[id].waiting.wake()
	}
	for _, id := range slices.Sorted(maps.Keys(b.attempts)) {
		b.attempts[id].waiting.wake()
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

func (b *broker) opening(id sale.ID) (stream.Opening, error) {
	of := b.sales[id]
	if of == nil || len(of.messages) == 0 {
		return stream.Opening{}, stream.ErrLost
	}
	s, err := wire.DecodeOpening(of.messages[0].Data)
	return stream.Opening{Sale: s, Message: of.messages[0], Created: of.created}, err
}

// messageBytes is what a message takes of the model's room: much, so that small sales
// need streams that grow.
const messageBytes = 32 << 10

// sizes are those of all streams, in order.
func (b *broker) sizes() (list []stream.Size) {
	add := func(kind stream.Kind, name, subject string, of map[sale.ID]*streamOf) {
		for _, id := range slices.Sorted(maps.Keys(of)) {
			s := of[id]
			list = append(list, stream.Size{
				Name: fmt.Sprintf("%s_%d", name, id), Subject: fmt.Sprintf("%s.%d", subject, id), Kind: kind, Sale: id,
				Bytes: int64(len(s.messages)) * messageBytes, MaxBytes: s.room, Messages: uint64(len(s.messages)), Replicas: 1, Created: s.created,
			})
		}
	}
	add(stream.Attempts, "CHECKOUTS", "checkouts", b.attempts)
	add(stream.Purchases, "SALE", "purchases", b.sales)
	return list
}
