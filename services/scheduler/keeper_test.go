//go:build unix

package scheduler_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"notsale/pkg/backends"
	"notsale/pkg/backends/backendstest"
	"notsale/pkg/effort"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/services/scheduler"
	"notsale/services/servicetest"
)

// storeroom is a clockroom whose NATS has a store of a size that nobody tells.
type storeroom struct {
	*clockroom

	reg *prometheus.Registry
}

func newStoreroom(t *testing.T, size int64, opts ...backendstest.Option) *storeroom {
	t.Helper()
	n, err := backends.StartNATS(t.Context(), backends.Config{Data: t.TempDir(), Ephemeral: true, StreamStore: size}, servicetest.Logger(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	stage := servicetest.New(t, opts...)
	stage.NATSURL = n.URL()
	return &storeroom{
		clockroom: &clockroom{Stage: stage, t: t, ledger: stage.Ledger("looker"), stream: stage.Stream("looker")},
		reg:       prometheus.NewRegistry(),
	}
}

// keep runs a scheduler that opens one sale at once, and none later.
func (s *storeroom) keep(every time.Duration) {
	s.t.Helper()
	cfg := scheduler.Config{Every: every, Stock: stock, UserLimit: 2}
	one, err := scheduler.New(cfg, s.Ledger("keeper"), s.Stream("keeper"), s.Log, s.reg)
	if err != nil {
		s.t.Fatal(err)
	}
	s.Run(one.Run)
	servicetest.Eventually(s.t, "the first sale is open", func() bool {
		rows := s.rows()
		return len(rows) > 0 && rows[0].State == sale.Open
	})
}

// alarms is how often people were told of something.
func (s *storeroom) alarms(kind string) float64 {
	return count(s.t, s.reg, "notsale_scheduler_alarms_total", kind)
}

func (s *storeroom) size(name string) stream.Size {
	s.t.Helper()
	size, err := s.stream.Size(s.t.Context(), name)
	if err != nil {
		s.t.Fatal(err)
	}
	return size
}

// store publishes until so many bytes are stored, or a full stream refuses for
// good, as say tells.
func (s *storeroom) store(bytes int64, publish func(context.Context, sale.ID, []byte) error, id sale.ID, giveUp func() bool) (stored int64) {
	s.t.Helper()
	message := make([]byte, 256<<10)
	servicetest.Eventually(s.t, "the messages are stored", func() bool {
		for stored < bytes {
			if err := publish(s.t.Context(), id, message); errors.Is(err, stream.ErrFull) {
				return giveUp()
			} else if err != nil {
				s.t.Fatal(err)
			}
			stored += int64(len(message))
		}
		return true
	})
	return stored
}

func never() bool { return false }

// Unsold sales keep little: many times as many open as there would be room for
// if each kept what it opened with.
func TestUnsoldSalesDoNotStopTheNext(t *testing.T) {
	t.Parallel()
	sales, size := 50, int64(192<<20)
	if effort.Long() {
		sales, size = 1000, 20<<30
	}
	s := newStoreroom(t, size)
	s.keep(time.Hour)
	for range sales {
		s.openWhenThereIsRoom()
	}
	newest := s.rows()[0].Sale.ID
	if err := s.stream.PublishPack(t.Context(), newest, []byte("sells")); err != nil {
		t.Error(err)
	}
	for keeping := math.MaxInt; keeping > 0; { // however many: as long as it goes on
		before := keeping
		servicetest.Eventually(t, "fewer old sales keep more than a reserve", func() bool {
			sizes, err := s.stream.Sizes(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			keeping = 0
			for i := range sizes {
				if of := &sizes[i]; of.Kind != stream.Listing && of.Sale > 0 && of.Sale < newest && of.Free() > 2*stream.MinStreamBytes {
					keeping++
				}
			}
			return keeping < before
		})
	}
	space, err := s.stream.Space(t.Context())
	if err != nil || space.Reserved > int64(sales)*3*stream.MinStreamBytes+(128<<20) {
		t.Errorf("%d unsold sales reserve %d bytes, %v", sales, space.Reserved, err)
	}
	t.Logf("%d unsold sales reserve %d MiB of %d", sales, space.Reserved>>20, space.Limit>>20)
}

// openWhenThereIsRoom opens a sale as a scheduler does, which tries on.
func (s *storeroom) openWhenThereIsRoom() {
	s.t.Helper()
	made, err := s.ledger.OpenSlot(s.t.Context(), ledger.Template{Every: time.Millisecond, Stock: stock, UserLimit: 2, Seed: 1})
	if err != nil || !made {
		s.t.Fatalf("made %v, %v", made, err)
	}
	of := s.rows()[0].Sale
	servicetest.Eventually(s.t, "there is room for the next sale", func() bool {
		_, err := servicetest.CreateSale(s.t.Context(), s.stream, of)
		if err != nil && !errors.Is(err, stream.ErrNoRoom) {
			s.t.Fatal(err)
		}
		return err == nil
	})
}

// A flood of requests makes the stream grow as long as there is room, and what
// the next sale and other sales' purchases need is left.
func TestAFloodMakesTheStreamGrow(t *testing.T) {
	t.Parallel()
	s := newStoreroom(t, 256<<20)
	s.keep(time.Hour)
	start := s.size("SALE_1").MaxBytes
	if start > 64<<20 {
		t.Fatalf("the stream starts with %d bytes", start)
	}
	s.store(128<<20, s.stream.PublishPack, 1, never)
	if now := s.size("SALE_1"); now.MaxBytes <= start || now.Messages != 1+128*4 {
		t.Errorf("%+v", now)
	}
	s.openWhenThereIsRoom()
}

// Postgres hangs: a flood makes the stream grow all the same.
func TestStreamsGrowWhilePostgresHangs(t *testing.T) {
	t.Parallel()
	s := newStoreroom(t, 256<<20, backendstest.WithOwnPostgres)
	s.keep(time.Hour)
	next := s.rows()[0].Sale
	next.ID++
	if err := s.Postgres.Pause(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Postgres.Resume(); err != nil {
			t.Error(err)
		}
	}()
	// A new stream makes the keeper look at all, and so ask the ledger.
	if _, err := servicetest.CreateSale(t.Context(), s.stream, next); err != nil {
		t.Fatal(err)
	}
	s.store(64<<20, s.stream.PublishPack, 1, never)
}

// A flood of checkouts takes the room for checkouts, with an alarm before, and
// leaves that for purchases, and for the next sale.
func TestAFloodOfCheckoutsLeavesRoomForPurchases(t *testing.T) {
	t.Parallel()
	s := newStoreroom(t, 64<<20)
	s.keep(24 * time.Hour * 365)
	var refused atomic.Int64
	stored := s.store(64<<20, s.stream.PublishAttempts, 1, func() bool {
		full := s.size("CHECKOUTS_1")
		return s.alarms("stream-full") >= 1 && full.Free() < 256<<10 && refused.Add(1) > 20
	})
	if stored < 16<<20 || stored >= 60<<20 {
		t.Errorf("%d bytes of attempts found room", stored)
	}
	s.store(4<<20, s.stream.PublishPack, 1, never)
	s.openWhenThereIsRoom()
}

// People are told a week before the store is full, also where nobody says how
// large it is, and not months before.
func TestTheAlarmComesAWeekBeforeTheStoreIsFull(t *testing.T) {
	t.Parallel()
	s := newStoreroom(t, 265<<20)
	s.keep(time.Hour)
	servicetest.Eventually(t, "the alarm is raised", func() bool { return s.alarms("stream-store") == 1 })
	if space, err := s.stream.Space(t.Context()); err != nil || space.Share() > 0.6 {
		t.Errorf("%+v, %v: it is not full yet", space, err)
	}
	large := newStoreroom(t, 20<<30)
	large.keep(time.Hour)
	if n := large.alarms("stream-store"); n != 0 {
		t.Errorf("%v alarms with room for a year", n)
	}
}

func TestStreamsOfAnotherInstallationAreNotResized(t *testing.T) {
	t.Parallel()
	theirs := newClockroom(t)
	if err := theirs.scheduler("one", always).Turn(t.Context()); err != nil {
		t.Fatal(err)
	}
	before, err := theirs.stream.Sizes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ours := servicetest.New(t)
	ours.NATSURL = theirs.NATSURL
	c := &clockroom{Stage: ours, t: t, ledger: ours.Ledger("looker"), stream: ours.Stream("looker")}
	refusedAsForeign(t, c.scheduler("two", always).Run(t.Context()), "installation")
	after, err := theirs.stream.Sizes(t.Context())
	if err != nil || len(after) != len(before) {
		t.Fatalf("%d streams, then %d, %v", len(before), len(after), err)
	}
	for i := range after {
		if !strings.EqualFold(after[i].Name, before[i].Name) || after[i].MaxBytes != before[i].MaxBytes {
			t.Errorf("%+v became %+v", before[i], after[i])
		}
	}
}
