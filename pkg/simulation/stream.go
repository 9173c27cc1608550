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
	"notsale/services/scheduler"
)

// broker is the model of NATS: streams that can lose acknowledgements, deliver
// late, be away and lose their tail, and the directory of sales.
type broker struct {
	service
	lossy     int
	skew      sale.Instant // of its clock
	sales     map[sale.ID]*streamOf
	attempts  map[sale.ID]*streamOf
	listed    map[sale.ID]wire.Entry
	owner     sale.UUID
	session   int          // of its clients; ends when it goes away
	watchers  []func()     // of the directory
	interrupt func()       // called between the steps of an opening; may panic
	point     func(string) // of the scheduler, which may die there by a panic
}

type streamOf struct {
	created  time.Time
	messages []stream.Message // sequence is index + 1
	waiting  []func()         // readers that wait for a message
}

func newBroker(w *world, lossy int) *broker {
	return &broker{
		service: service{w: w, name: "stream"}, lossy: lossy, sales: map[sale.ID]*streamOf{},
		attempts: map[sale.ID]*streamOf{0: {created: w.now.Time()}}, listed: map[sale.ID]wire.Entry{}, interrupt: func() {},
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

// publish sends a message to be stored: nil, or an error as a publisher's. Messages
// and acknowledgements can be lost or late.
func (b *broker) publish(ctx context.Context, store func()) error {
	if !b.up() && b.w.oneIn(2) { // the client knows that it is disconnected
		return stream.ErrUnavailable
	}
	stored, over := false, false
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
			store()
			if !b.w.oneIn(b.lossy) {
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

// The scheduler's calls.

func (b *broker) UnsoldParts(context.Context) ([]int, error) { return []int{0}, b.reach() }

func (b *broker) UnsoldPart(context.Context, int) (stream.UnsoldPart, error) {
	return stream.UnsoldPart{}, b.reach()
}

func (b *broker) CreateUnsold(context.Context, int) error { return b.reach() }
func (b *broker) CloseUnsold(context.Context, int) error  { return b.reach() }
func (b *broker) RemoveUnsold(context.Context, int) error { return b.reach() }

func (b *broker) reach() error {
	b.interrupt()
	if !b.up() {
		return errBroker
	}
	return nil
}

func (b *broker) CreateSale(_ context.Context, s sale.Sale) (stream.Opening, error) {
	if err := b.reach(); err != nil {
		return stream.Opening{}, err
	}
	if b.attempts[s.ID] == nil {
		b.attempts[s.ID] = &streamOf{created: b.w.now.Time()}
	}
	b.point("scheduler/between-streams")
	of, ok := b.sales[s.ID]
	if !ok {
		of = &streamOf{created: b.w.now.Time()}
		b.sales[s.ID] = of
	}
	if err := b.reach(); err != nil {
		return stream.Opening{}, err
	}
	b.point("scheduler/before-opening-record")
	if len(of.messages) == 0 {
		b.append(of, wire.EncodeOpening(s))
	}
	b.point("scheduler/after-opening-record")
	if err := b.reach(); err != nil {
		return stream.Opening{}, err
	}
	return b.opening(s.ID)
}

func (b *broker) Sales(context.Context) ([]sale.ID, error) {
	return slices.Sorted(maps.Keys(b.sales)), b.reach()
}

func (b *broker) Opening(_ context.Context, id sale.ID) (stream.Opening, error) {
	if err := b.reach(); err != nil {
		return stream.Opening{}, err
	}
	return b.opening(id)
}

func (b *broker) opening(id sale.ID) (stream.Opening, error) {
	of := b.sales[id]
	if of == nil || len(of.messages) == 0 {
		return stream.Opening{}, stream.ErrLost
	}
	s, err := wire.DecodeOpening(of.messages[0].Data)
	return stream.Opening{Sale: s, Message: of.messages[0], Created: of.created}, err
}

func (b *broker) Directory(context.Context) (scheduler.Directory, error) { return b, b.reach() }

func (b *broker) Claim(_ context.Context, id sale.UUID) error {
	if err := b.reach(); err != nil {
		return err
	}
	if b.owner.IsZero() {
		b.owner = id
	}
	return nil
}

func (b *broker) Count(context.Context) (int, error) { return len(b.listed), b.reach() }

func (b *broker) Entries(context.Context) (map[sale.ID]wire.Entry, error) {
	return maps.Clone(b.listed), b.reach()
}

func (b *broker) ServerTime(context.Context) (server, local time.Time, err error) {
	return b.w.now.Time(), time.Time{}, b.reach()
}

func (b *broker) Put(_ context.Context, e wire.Entry) error {
	if err := b.reach(); err != nil {
		return err
	}
	b.listed[e.Sale.ID] = e
	b.changed()
	b.point("scheduler/after-directory")
	return nil
}
