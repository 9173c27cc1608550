//go:build unix

package scheduler_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"notsale/pkg/host"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
	"notsale/services/scheduler"
	"notsale/services/servicetest"
)

// aged is NATS with streams that are older than they are, or fuller.
type aged struct {
	scheduler.Parts

	older time.Duration
	more  uint64 // bytes in the last one
}

func (a *aged) UnsoldPart(ctx context.Context, part int) (stream.Info, error) {
	p, err := a.Parts.UnsoldPart(ctx, part)
	p.Created = p.Created.Add(-a.older)
	p.Bytes += a.more
	return p, err
}

// till is a clockroom whose schedulers are driven turn by turn.
type till struct {
	*clockroom

	nats aged
}

func newTill(t *testing.T) *till {
	t.Helper()
	c := newClockroom(t)
	return &till{clockroom: c, nats: aged{Parts: c.stream}}
}

const horizon = 7 * 24 * time.Hour

// turn lets a scheduler that has just been started take two turns: what it makes
// in the first it takes for granted in the second.
func (c *till) turn() {
	c.t.Helper()
	reg := prometheus.NewRegistry()
	ports := scheduler.PortsOf(c.ledger, c.stream)
	ports.Parts = &c.nats
	s := c.on(ports, &host.Real{}, always, reg)
	for range 2 {
		if err := s.Turn(c.t.Context()); err != nil {
			c.t.Fatal(err)
		}
		c.nats.older, c.nats.more = 0, 0
	}
	if n := count(c.t, reg, "notsale_scheduler_failures_total"); n != 0 {
		c.t.Fatalf("%v failures", n)
	}
}

func (c *till) expect(what string, want ...int) {
	c.t.Helper()
	if parts, err := c.stream.UnsoldParts(c.t.Context()); err != nil || !slices.Equal(parts, want) {
		c.t.Fatalf("%s: parts %v, %v, want %v", what, parts, err, want)
	}
}

// checkOut keeps a bad checkout, in the part that is to take it.
func (c *till) checkOut(part int) {
	c.t.Helper()
	if err := c.stream.PublishAttempts(c.t.Context(), 0, []byte("bad")); err != nil {
		c.t.Fatal(err)
	}
	state, err := c.stream.UnsoldPart(c.t.Context(), part)
	if err != nil {
		c.t.Fatal(err)
	}
	m, err := c.stream.AttemptMessage(c.t.Context(), wire.AttemptStream{Part: part}, state.Last)
	if err != nil || string(m.Data) != "bad" {
		c.t.Fatalf("%q, %v: the checkout is not in part %d", m.Data, err, part)
	}
}

// record records the first message of a part.
func (c *till) record(part int) {
	c.t.Helper()
	of := wire.AttemptStream{Part: part}
	info, err := c.stream.AttemptInfo(c.t.Context(), of)
	if err != nil {
		c.t.Fatal(err)
	}
	m, err := c.stream.AttemptMessage(c.t.Context(), of, 1)
	if err != nil {
		c.t.Fatal(err)
	}
	from, err := c.ledger.AttemptCursor(c.t.Context(), of)
	to := ledger.AttemptCursor{Sequence: 1, Time: m.Time, Hash: m.Hash(), Created: sale.InstantOf(info.Created)}
	if err != nil {
		from.Created = to.Created
	}
	if _, err := c.ledger.RecordAttempts(c.t.Context(), of, from, to, nil); err != nil {
		c.t.Fatal(err)
	}
}

// longAgo makes what is recorded older.
func (c *till) longAgo(age time.Duration) {
	c.t.Helper()
	_, err := c.DB.Exec(c.t.Context(), `UPDATE attempt_cursors SET recorded_at = clock_timestamp() - $1::interval, message_time = clock_timestamp() - $1::interval`, age)
	if err != nil {
		c.t.Fatal(err)
	}
}

// CHECKOUTS_0 filled for the installation's life: bad checkouts go on in the next
// stream, and the old one goes as a whole once it is recorded and older than any
// backup, but not before.
func TestBadCheckoutsDoNotFillTheirStreamForGood(t *testing.T) {
	t.Parallel()
	c := newTill(t)
	if err := c.stream.CreateUnsold(t.Context(), 0); err != nil { // an earlier version's
		t.Fatal(err)
	}
	c.nats.older = 30 * 24 * time.Hour
	c.turn()
	c.expect("empty, however old", 0)
	c.checkOut(0)
	c.turn()
	c.expect("young", 0)
	c.nats.older = 25 * time.Hour
	c.turn()
	c.expect("a day old", 0, 1)
	c.checkOut(1)
	c.nats.more = stream.UnsoldBytes * 2 / 3
	c.turn()
	c.expect("nearly full", 0, 1, 2)
	c.checkOut(2)
	c.nats.older = -365 * 24 * time.Hour
	c.turn()
	c.expect("made while NATS's clock was a year ahead", 0, 1, 2, 3)
	c.checkOut(3)

	c.longAgo(horizon + time.Hour)
	c.turn()
	c.expect("old, and not recorded", 0, 1, 2, 3)
	c.record(1)
	c.turn()
	c.expect("recorded a moment ago: a backup of yesterday lacks it", 0, 1, 2, 3)
	c.longAgo(horizon - time.Hour)
	c.turn()
	c.expect("younger than the oldest backup", 0, 1, 2, 3)
	c.longAgo(horizon + time.Hour)
	c.turn()
	c.expect("recorded, and older than any backup", 0, 2, 3)
	c.turn()
	if n := c.Count(`SELECT count(*) FROM attempt_cursors WHERE part = 1 AND removed_at IS NOT NULL`); n != 1 {
		t.Error("the ledger does not say that it is removed")
	}
	c.checkOut(3)
	c.record(3)
	c.longAgo(horizon + time.Hour)
	c.turn()
	c.expect("the last one, which takes checkouts", 0, 2, 3)
}

// A database of yesterday does not know that a part was removed since: it is told
// so, and what is not old enough to have been removed stays missed.
func TestARestoredLedgerLearnsWhatWasRemoved(t *testing.T) {
	t.Parallel()
	c := newTill(t)
	c.turn()
	next := func(part int) {
		c.t.Helper()
		c.checkOut(part)
		c.record(part)
		c.nats.older = 25 * time.Hour
		c.turn()
	}
	next(1)
	c.longAgo(horizon + time.Hour)
	next(2)
	c.expect("the first is removed", 2, 3)
	if _, err := c.DB.Exec(t.Context(), `UPDATE attempt_cursors SET removed_at = NULL`); err != nil { // restored
		t.Fatal(err)
	}
	if err := c.stream.CloseUnsold(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	if err := c.stream.RemoveUnsold(t.Context(), 2); err != nil { // lost
		t.Fatal(err)
	}
	c.turn()
	known, err := c.ledger.UnsoldParts(t.Context())
	if want := []ledger.UnsoldPart{{Part: 1, Removed: true}, {Part: 2}}; err != nil || !slices.Equal(known, want) {
		t.Errorf("%+v, %v, want %+v", known, err, want)
	}
}

// Streams of NATS are emptied, and the ledger knows their numbers: they are never
// used again.
func TestNumbersOfPartsAreNeverUsedAgain(t *testing.T) {
	t.Parallel()
	c := newTill(t)
	c.turn()
	c.expect("the first", 1)
	c.checkOut(1)
	c.record(1)
	if err := c.stream.CloseUnsold(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := c.stream.RemoveUnsold(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	c.turn()
	c.expect("after a loss", 2)
}

// Checkouts of items that no sale has fill their room, which is bounded, and
// sales go on opening and selling.
func TestAFloodOfBadCheckoutsLeavesRoomForSales(t *testing.T) {
	t.Parallel()
	s := newStoreroom(t, 64<<20)
	s.keep(24 * time.Hour * 365)
	servicetest.Eventually(t, "bad checkouts are taken", func() bool {
		parts, err := s.stream.UnsoldParts(t.Context())
		return err == nil && len(parts) > 0
	})
	var refused atomic.Int64
	stored := s.store(64<<20, s.stream.PublishAttempts, 0, func() bool {
		return s.alarms("stream-full") >= 1 && refused.Add(1) > 20
	})
	if stored < 8<<20 || stored > 20<<20 {
		t.Errorf("%d bytes of bad checkouts found room", stored)
	}
	s.store(16<<20, s.stream.PublishPack, 1, never)
	for range 3 {
		s.openWhenThereIsRoom()
	}
	if err := s.stream.PublishAttempts(t.Context(), 1, []byte("a good one")); err != nil {
		t.Errorf("a checkout of a sale: %v", err)
	}
}
