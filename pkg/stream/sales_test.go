package stream_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"notsale/pkg/backends"
	"notsale/pkg/backends/backendstest"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
)

func TestASaleIsCreatedOnce(t *testing.T) {
	t.Parallel()
	_, c := start(t)
	before := time.Now()
	first := open(t, c)
	if first.Sale != testSale(1) || first.Message.Sequence != 1 || string(first.Message.Data) != string(wire.EncodeOpening(testSale(1))) {
		t.Errorf("%+v", first)
	}
	for what, at := range map[string]time.Time{"stream": first.Created, "opening record": first.Message.Time.Time()} {
		if age := at.Sub(before); age < -time.Second || age > patience {
			t.Errorf("the %s is of %v, made after %v", what, at, before)
		}
	}
	publish(t, c, "pack")
	again := open(t, c)
	if again.Sale != first.Sale || again.Message.Hash() != first.Message.Hash() || again.Message.Time != first.Message.Time || !again.Created.Equal(first.Created) {
		t.Errorf("again %+v\nfirst %+v", again, first)
	}
	if got := last(t, c); got != 2 {
		t.Errorf("the stream ends at %d, want 2", got)
	}
}

func TestASaleIsCreatedOnceByMany(t *testing.T) {
	t.Parallel()
	test, c := start(t)
	openings, errs := make([]stream.Opening, 6), make([]error, 6)
	var wg sync.WaitGroup
	for i := range openings {
		scheduler := connect(t, config(test.NATSURL))
		wg.Go(func() { openings[i], errs[i] = createSale(t.Context(), scheduler, testSale(1)) })
	}
	wg.Wait()
	for i := range openings {
		if errs[i] != nil || openings[i].Message.Sequence != 1 || openings[i].Message.Time != openings[0].Message.Time {
			t.Errorf("scheduler %d: %+v, %v", i, openings[i], errs[i])
		}
	}
	if got := last(t, c); got != 1 {
		t.Errorf("the stream ends at %d, want 1", got)
	}
}

// Creating a sale completes an interrupted creation: the streams exist, the opening
// record does not.
func TestASaleIsCreatedAfterHalf(t *testing.T) {
	t.Parallel()
	test, c := start(t)
	if _, err := look(t, test.NATSURL).CreateStream(t.Context(), jetstream.StreamConfig{Name: "SALE_1", Subjects: []string{"purchases.1"}}); err != nil {
		t.Fatal(err)
	}
	if opening := open(t, c); opening.Sale != testSale(1) || opening.Message.Sequence != 1 {
		t.Errorf("%+v", opening)
	}
}

// A stream belongs to the sale that opened it, not to another with the same number.
func TestForeignStreams(t *testing.T) {
	t.Parallel()
	test, c := start(t)
	open(t, c)
	for name, change := range map[string]func(*sale.Sale){
		"another sale":         func(s *sale.Sale) { s.UUID = sale.UUID{9} },
		"another installation": func(s *sale.Sale) { s.Installation = sale.UUID{9} },
		"another stock":        func(s *sale.Sale) { s.Stock++ },
	} {
		s := testSale(1)
		change(&s)
		if _, err := createSale(t.Context(), c, s); !errors.Is(err, stream.ErrForeign) {
			t.Errorf("%s: %v, want ErrForeign", name, err)
		}
	}
	if opening, err := c.Opening(t.Context(), 1); err != nil || opening.Sale != testSale(1) || last(t, c) != 1 {
		t.Errorf("the stream was changed: %+v, %v", opening, err)
	}
	js := look(t, test.NATSURL)
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "SALE_2", Subjects: []string{"purchases.2"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "purchases.2", []byte("no opening record")); err != nil {
		t.Fatal(err)
	}
	if _, err := createSale(t.Context(), c, testSale(2)); !errors.Is(err, stream.ErrForeign) {
		t.Errorf("a stream that does not begin with an opening record: %v, want ErrForeign", err)
	}
}

// What is stored cannot be deleted, nor dropped for newer messages.
func TestStreamsAreAppendOnly(t *testing.T) {
	t.Parallel()
	test, c := start(t)
	open(t, c)
	if err := c.CreateUnsold(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if err := c.CreateUnsold(t.Context(), 0); err != nil {
		t.Errorf("again: %v", err)
	}
	js := look(t, test.NATSURL)
	for name, subject := range map[string]string{"SALE_1": "purchases.1", "CHECKOUTS_1": "checkouts.1", "CHECKOUTS_0": "checkouts.0"} {
		s, err := js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		cfg := s.CachedInfo().Config
		if len(cfg.Subjects) != 1 || cfg.Subjects[0] != subject {
			t.Errorf("%s: subjects %v", name, cfg.Subjects)
		}
		if cfg.Storage != jetstream.FileStorage || cfg.Retention != jetstream.LimitsPolicy || cfg.Discard != jetstream.DiscardNew ||
			!cfg.DenyDelete || !cfg.DenyPurge || cfg.AllowDirect || cfg.Replicas != 1 || cfg.MaxBytes != 16<<20 ||
			cfg.MaxAge != 0 || cfg.MaxMsgs != -1 || cfg.MaxMsgSize < wire.MaxMessage {
			t.Errorf("%s: %+v", name, cfg)
		}
		if _, err := js.Publish(t.Context(), subject, []byte("kept")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := s.DeleteMsg(t.Context(), 1); err == nil {
			t.Errorf("%s: a message was deleted", name)
		}
		if err := s.Purge(t.Context()); err == nil {
			t.Errorf("%s: the stream was emptied", name)
		}
	}
}

func TestInfoAndMessage(t *testing.T) {
	t.Parallel()
	_, c := start(t)
	opening := open(t, c)
	publish(t, c, "two", "three")
	info, err := c.Info(t.Context(), 1)
	if err != nil || info.Last != 3 || !info.Created.Equal(opening.Created) || info.Bytes == 0 {
		t.Errorf("%+v, %v", info, err)
	}
	m, err := c.Message(t.Context(), 1, 3)
	if err != nil || m.Sequence != 3 || string(m.Data) != "three" || m.Time < opening.Message.Time {
		t.Errorf("%+v, %v", m, err)
	}
	lost := map[string]error{}
	_, lost["a message beyond the end"] = c.Message(t.Context(), 1, 4)
	_, lost["a message of no stream"] = c.Message(t.Context(), 2, 1)
	_, lost["the state of no stream"] = c.Info(t.Context(), 2)
	_, lost["the opening of no stream"] = c.Opening(t.Context(), 2)
	_, lost["reading no stream"] = c.Read(t.Context(), 2, 1)
	_, lost["attempts of no stream"] = c.ReadAttempts(t.Context(), wire.AttemptStream{Sale: 2}, 1)
	for what, err := range lost {
		if !errors.Is(err, stream.ErrLost) {
			t.Errorf("%s: %v, want ErrLost", what, err)
		}
	}
}

// Without NATS the error is not ErrLost.
func TestAwayIsNotLost(t *testing.T) {
	t.Parallel()
	test, c := start(t)
	open(t, c)
	test.StopNATS()
	away := map[string]error{}
	_, away["message"] = c.Message(t.Context(), 1, 1)
	_, away["info"] = c.Info(t.Context(), 1)
	_, away["opening"] = c.Opening(t.Context(), 1)
	_, away["read"] = c.Read(t.Context(), 1, 1)
	_, away["attempts"] = c.ReadAttempts(t.Context(), ofOne, 1)
	_, away["create"] = createSale(t.Context(), c, testSale(1))
	_, away["directory"] = c.Directory(t.Context())
	_, away["space"] = c.Space(t.Context())
	_, away["sizes"] = c.Sizes(t.Context())
	_, away["size"] = c.Size(t.Context(), "SALE_1")
	for what, err := range away {
		if err == nil || errors.Is(err, stream.ErrLost) || errors.Is(err, stream.ErrForeign) || errors.Is(err, stream.ErrNoRoom) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// short gives a client of a NATS with a store of that many bytes; the client is not told
// its size.
func short(t *testing.T, size int64) *stream.Client {
	t.Helper()
	cfg := patient()
	cfg.URL = shortStore(t, size)
	return connect(t, cfg)
}

// shortStore starts a NATS whose store has that many bytes, and returns its URL.
func shortStore(t *testing.T, size int64) string {
	t.Helper()
	return shortStoreIn(t, t.TempDir(), size)
}

// shortStoreIn is shortStore, in that folder.
func shortStoreIn(t *testing.T, data string, size int64) string {
	t.Helper()
	n, err := backends.StartNATS(t.Context(), backends.Config{Data: data, Ephemeral: true, StreamStore: size}, quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return n.URL()
}

// In a store that is smaller than a sale's usual reservation, the sale opens all the
// same, and the next ones too, each with less.
func TestASmallStoreOpensItsSale(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int64{"24MB": 24 << 20, "265MB": 265 << 20} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := short(t, size)
			if err := c.CreateUnsold(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
			id, err := sale.ID(0), error(nil)
			for err == nil && id < 200 {
				id++
				_, err = createSale(t.Context(), c, testSale(id))
			}
			if !errors.Is(err, stream.ErrNoRoom) || id < 5 {
				t.Fatalf("sale %d: %v, want ErrNoRoom after some sales", id, err)
			}
			full, err := c.Space(t.Context())
			if err != nil || full.Reserved > size || full.Room() > 2*stream.MinStreamBytes {
				t.Fatalf("%+v, %v", full, err)
			}
			if full.Limit > size || full.Limit < size-size/16 {
				t.Errorf("the store was found to have %d bytes, it has %d", full.Limit, size)
			}
			first, err := c.Size(t.Context(), "SALE_1")
			if err != nil || first.Free() < stream.MinStreamBytes {
				t.Fatalf("%+v, %v", first, err)
			}
			for range 2 { // the second time changes nothing
				if err := c.Resize(t.Context(), first, first.Bytes+4096); err != nil {
					t.Fatal(err)
				}
			}
			freed, err := c.Space(t.Context())
			if want := full.Reserved - first.MaxBytes + first.Bytes + 4096; err != nil || freed.Reserved != want {
				t.Errorf("%d bytes are reserved, want %d, %v", freed.Reserved, want, err)
			}
			if err := c.Resize(t.Context(), first, size); !errors.Is(err, stream.ErrNoRoom) {
				t.Errorf("more than there is: %v, want ErrNoRoom", err)
			}
		})
	}
}

// A client that finds a stream full reports it, and goes on once the stream is larger.
func TestAFullStreamIsTold(t *testing.T) {
	t.Parallel()
	test, c := start(t)
	open(t, c)
	told := make(chan string, 1)
	stop, err := c.Full(func(subject string) {
		select {
		case told <- subject:
		default:
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	s, err := c.Size(t.Context(), "SALE_1")
	if err == nil {
		err = c.Resize(t.Context(), s, s.Bytes+1024)
	}
	if err != nil {
		t.Fatal(err)
	}
	pack := make([]byte, 2048)
	if err := connect(t, config(test.NATSURL)).PublishPack(t.Context(), 1, pack); !errors.Is(err, stream.ErrFull) {
		t.Fatalf("%v, want ErrFull", err)
	}
	if subject := receive(t, "who is full", told); subject != s.Subject {
		t.Errorf("told of %q, want %q", subject, s.Subject)
	}
	if err := c.Resize(t.Context(), s, 1<<20); err != nil {
		t.Fatal(err)
	}
	publish(t, c, string(pack))
}

// A stream's state is an error while the stream has no leader: a follower may lack the
// last messages.
func TestAStreamWithoutALeaderIsNotBelieved(t *testing.T) {
	t.Parallel()
	cluster := backendstest.NewCluster(t)
	cfg := config(cluster.URL())
	cfg.Replicas = 3
	cfg.RequestTimeout = stream.DefaultConfig().RequestTimeout // a server that does not lead may not answer
	c := connect(t, cfg)
	eventually(t, "the cluster has peers for the streams", func() error {
		_, err := createSale(t.Context(), c, testSale(1))
		return err
	})
	leader := cluster.Holder("SALE_1")
	cluster.Stop(leader)
	cluster.Stop((leader + 1) % 3)
	eventually(t, "a member says that it has no leader", func() error {
		info, err := c.Info(t.Context(), 1)
		switch {
		case err == nil: // it was elected leader before the second was stopped, and has not noticed
			return fmt.Errorf("%+v is believed", info)
		case errors.Is(err, stream.ErrLost):
			t.Fatal(err)
		case !strings.Contains(err.Error(), "no leader"):
			return err
		}
		return nil
	})
}

// Several clients that measure the store and make streams at the same time leave as
// much room as one does, also if one of them dies meanwhile.
func TestManyFindOutTheSizeOfTheStoreAtOnce(t *testing.T) {
	t.Parallel()
	const size = 265 << 20
	cfg := patient()
	cfg.URL = shortStore(t, size)
	clients := []*stream.Client{connect(t, cfg), connect(t, cfg), connect(t, cfg)}
	c := clients[0]
	_, err := look(t, cfg.URL).CreateStream(t.Context(), jetstream.StreamConfig{Name: "ROOM", Subjects: []string{"room.none"}, MaxBytes: size - 1<<10})
	if err != nil {
		t.Fatal(err)
	}
	var looking sync.WaitGroup
	for n := range 24 {
		looking.Go(func() {
			if _, err := clients[n%len(clients)].Space(t.Context()); err != nil {
				t.Error(err)
			}
			_ = clients[n%len(clients)].CreateUnsold(t.Context(), 0)
		})
	}
	looking.Wait()
	eventually(t, "a sale opens, and the store has room", func() error {
		if _, err := createSale(t.Context(), c, testSale(1)); err != nil {
			return err
		}
		space, err := c.Space(t.Context())
		if err == nil && (space.Limit > size+size/16 || space.Room() < size/4) {
			err = fmt.Errorf("%+v", space)
		}
		return err
	})
}

// After its last stream was removed, a server fails for a moment to make a stream, and
// then releases space that it never reserved. It does not grant more than it has
// afterwards.
func TestAStreamThatFailsIsNotReleased(t *testing.T) {
	t.Parallel()
	const size = 265 << 20
	data, cfg := t.TempDir(), patient()
	cfg.URL = shortStoreIn(t, data, size)
	c := connect(t, cfg)
	if _, err := c.Space(t.Context()); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(data, "nats", "jetstream", "$G", "streams")
	eventually(t, "no stream can be made, until the server has removed this", func() error {
		return errors.Join(os.RemoveAll(folder), os.MkdirAll(filepath.Dir(folder), 0o700), os.WriteFile(folder, nil, 0o600))
	})
	if err := c.CreateUnsold(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	for id, err := sale.ID(1), error(nil); err == nil; id++ {
		_, err = createSale(t.Context(), c, testSale(id))
	}
	if full, err := c.Space(t.Context()); err != nil || full.Reserved > size {
		t.Errorf("%+v, %v: more is promised than there is", full, err)
	}
}

// While the store is measured, the probe does not count as a stream.
func TestTheProbeIsNotTakenForStreams(t *testing.T) {
	t.Parallel()
	const size = 265 << 20
	cfg := patient()
	cfg.URL = shortStore(t, size)
	for range 5 {
		c := connect(t, cfg)
		ask := func() {
			if space, err := c.Space(t.Context()); err != nil || space.Reserved > 1<<20 {
				t.Errorf("%+v, %v: there are no streams", space, err)
			}
		}
		var looking sync.WaitGroup
		found := make(chan struct{})
		looking.Go(func() {
			defer close(found)
			ask()
		})
		for range 32 { // some of them during the measurement
			select {
			case <-found:
			case <-time.After(time.Millisecond):
				looking.Go(ask)
			}
		}
		looking.Wait()
	}
}

// A stream that grows at the wrong moment does not stop a measurement.
func TestTheSizeIsFoundOutWhileStreamsGrow(t *testing.T) {
	t.Parallel()
	const size = 265 << 20
	cfg := patient()
	cfg.URL = shortStore(t, size)
	js := look(t, cfg.URL)
	ctx, stop := context.WithCancel(t.Context())
	var growing sync.WaitGroup
	for n := range 4 {
		growing.Go(func() {
			one := jetstream.StreamConfig{Name: fmt.Sprint("GROWS_", n), Subjects: []string{fmt.Sprint("grows.", n)}, MaxBytes: 1 << 20}
			for ctx.Err() == nil {
				one.MaxBytes = 34<<20 - one.MaxBytes // refused where there is no room
				_, _ = js.CreateOrUpdateStream(ctx, one)
			}
		})
	}
	for range 30 {
		if _, err := connect(t, cfg).Space(t.Context()); err != nil {
			t.Error(err)
		}
	}
	stop()
	growing.Wait()
}

// The room that a scheduler held when it died during a measurement is freed as soon as
// another scheduler needs it, even if that one does not measure again for an hour.
func TestADeadSchedulerHoldsNoRoom(t *testing.T) {
	t.Parallel()
	const size = 265 << 20
	cfg := patient()
	cfg.URL = shortStore(t, size)
	c := connect(t, cfg)
	open(t, c)
	dies := func() {
		t.Helper()
		js := look(t, cfg.URL)
		probing := jetstream.StreamConfig{Name: "ROOM", Subjects: []string{"room.none"}, MaxBytes: size}
		for ; ; probing.MaxBytes -= 1 << 20 {
			if _, err := js.CreateStream(t.Context(), probing); err == nil {
				return
			}
		}
	}
	before, err := c.Space(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dies()
	if now, err := c.Space(t.Context()); err != nil || now.Limit != before.Limit || now.Room() < before.Room()-1<<20 {
		t.Errorf("%+v, %v, want %+v", now, err, before)
	}
	if _, err := createSale(t.Context(), c, testSale(2)); err != nil {
		t.Fatal(err)
	}
	second, err := c.Size(t.Context(), "SALE_2")
	if err != nil || second.MaxBytes < 16<<20 {
		t.Errorf("%+v, %v", second, err)
	}
	dies()
	if err := c.Resize(t.Context(), second, 100<<20); err != nil {
		t.Error(err)
	}
}

// Changing a stream that does not exist any more does not make it again, empty.
func TestWhatIsGoneIsNotMadeByAChange(t *testing.T) {
	t.Parallel()
	test, c := start(t)
	open(t, c)
	gone, err := c.Size(t.Context(), "SALE_1")
	if err == nil {
		err = look(t, test.NATSURL).DeleteStream(t.Context(), "SALE_1")
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Resize(t.Context(), gone, 1<<20); !errors.Is(err, stream.ErrLost) {
		t.Errorf("resized: %v, want ErrLost", err)
	}
	gone.Replicas = 0
	if _, err := c.Replicate(t.Context(), &gone); !errors.Is(err, stream.ErrLost) {
		t.Errorf("replicated: %v, want ErrLost", err)
	}
	if _, err := c.Info(t.Context(), 1); !errors.Is(err, stream.ErrLost) {
		t.Errorf("%v, want ErrLost", err)
	}
}

// Streams of attempts of no sale, however many, leave enough room for the next sale to
// open.
func TestStreamsOfNoSaleLeaveRoomForTheNextSale(t *testing.T) {
	t.Parallel()
	c := short(t, 8<<20)
	part, err := 0, error(nil)
	for ; err == nil && part < 20; part++ {
		err = c.CreateUnsold(t.Context(), part)
	}
	if !errors.Is(err, stream.ErrNoRoom) || part < 3 {
		t.Fatalf("part %d: %v, want ErrNoRoom after some", part, err)
	}
	open(t, c)
}
