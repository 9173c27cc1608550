//go:build unix

package recorder_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"notsale/pkg/backends/backendstest"
	"notsale/pkg/code"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
	"notsale/services/notsale/notsaletest"
	"notsale/services/recorder"
)

func TestMain(m *testing.M) { backendstest.Main(m) }

// till stands where an edge does: it publishes attempts.
type till struct {
	*notsaletest.Stage

	t      *testing.T
	stream *stream.Client
	last   uint32
}

func newTill(t *testing.T, opts ...backendstest.Option) *till {
	t.Helper()
	stage := notsaletest.New(t, opts...)
	tl := &till{Stage: stage, t: t, stream: stage.Stream("till")}
	if err := tl.stream.CreateUnsold(t.Context()); err != nil {
		t.Fatal(err)
	}
	return tl
}

func (tl *till) record(name string) (stop func(), reg *prometheus.Registry) {
	tl.t.Helper()
	reg = prometheus.NewRegistry()
	r, err := recorder.New(recorder.DefaultConfig(), tl.Ledger(name), tl.Stream(name), tl.Log, reg)
	if err != nil {
		tl.t.Fatal(err)
	}
	return tl.Run(r.Run), reg
}

// list puts a sale into the directory, where recorders find it.
func (tl *till) list(of sale.Sale) {
	tl.t.Helper()
	tl.advance(of, sale.Open)
}

// advance says in the directory how far a sale has come.
func (tl *till) advance(of sale.Sale, to sale.State) {
	tl.t.Helper()
	d, err := tl.stream.Directory(tl.t.Context())
	if err == nil {
		err = d.Put(tl.t.Context(), wire.Entry{Sale: of, State: to})
	}
	if err != nil {
		tl.t.Fatal(err)
	}
}

// attempts makes n attempts with ids of their own.
func (tl *till) attempts(id sale.ID, n int) []wire.Attempt {
	list := make([]wire.Attempt, n)
	for i := range list {
		tl.last++
		a := wire.Attempt{At: sale.InstantOf(time.Now()), Sale: id, User: "ann", Item: "1", Outcome: wire.Issued, Expires: 5}
		binary.BigEndian.PutUint32(a.ID[:], tl.last)
		binary.BigEndian.PutUint32(a.Code[:], tl.last)
		a.ID[15], a.Code[15] = 1, 1
		if id == 0 {
			a.Outcome, a.Code, a.Expires = wire.UnknownItem, code.ID{}, 0
		}
		list[i] = a
	}
	return list
}

func (tl *till) publish(id sale.ID, data []byte) {
	tl.t.Helper()
	notsaletest.Eventually(tl.t, "the attempts are published", func() bool { return tl.stream.PublishAttempts(tl.t.Context(), id, data) == nil })
}

func (tl *till) send(id sale.ID, attempts []wire.Attempt) {
	tl.t.Helper()
	tl.publish(id, wire.AppendAttempts(nil, "edge-test", attempts))
}

func (tl *till) stored() int64 { return tl.Count(`SELECT count(*) FROM checkout_attempts`) }

// await waits for so many rows.
func (tl *till) await(n int64) {
	tl.t.Helper()
	notsaletest.Eventually(tl.t, fmt.Sprintf("%d attempts are stored", n), func() bool { return tl.stored() >= n })
	if got := tl.stored(); got != n {
		tl.t.Errorf("%d attempts are stored, want %d", got, n)
	}
}

// unacknowledged is how many messages of no sale no recorder has finished.
func (tl *till) unacknowledged() int {
	tl.t.Helper()
	nc, err := nats.Connect(tl.NATSURL)
	if err != nil {
		tl.t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		tl.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(tl.t.Context(), notsaletest.Patience)
	defer cancel()
	consumer, err := js.Consumer(ctx, "CHECKOUTS_0", "recorder")
	if err != nil {
		tl.t.Fatal(err)
	}
	info, err := consumer.Info(ctx)
	if err != nil {
		tl.t.Fatal(err)
	}
	return info.NumAckPending + int(info.NumPending)
}

func counter(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "notsale_recorder_"+name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

func TestAttemptsOfEverySaleAreStored(t *testing.T) {
	t.Parallel()
	tl := newTill(t)
	first, second := tl.OpenSale(5, 10), tl.OpenSale(5, 10)
	tl.list(first)
	tl.send(0, tl.attempts(0, 3))
	tl.send(first.ID, tl.attempts(first.ID, 1000))
	tl.record("recorder-1")
	tl.await(1003)
	tl.send(second.ID, tl.attempts(second.ID, 7))
	tl.list(second) // listed after its first attempts came
	tl.await(1010)
	for id, want := range map[sale.ID]int64{0: 3, first.ID: 1000, second.ID: 7} {
		if n := tl.Count(`SELECT count(*) FROM checkout_attempts WHERE sale_id = $1 AND edge = 'edge-test'`, int64(id)); n != want {
			t.Errorf("sale %d has %d attempts, want %d", id, n, want)
		}
	}
	if n := tl.Count(`SELECT count(*) FROM checkout_attempts WHERE (outcome = 'issued') = (code_id IS NULL OR expires_at IS NULL)`); n != 0 {
		t.Errorf("%d attempts have a code without being issued, or none though they are", n)
	}
}

func TestRepeatedAttemptsAreStoredOnce(t *testing.T) {
	t.Parallel()
	tl := newTill(t)
	attempts := tl.attempts(0, 10)
	tl.send(0, attempts)
	tl.send(0, attempts) // an ambiguous publish, sent again
	changed := append([]wire.Attempt(nil), attempts...)
	for i := range changed {
		changed[i].User = "mallory"
	}
	stop, reg := tl.record("recorder-1")
	tl.await(10)
	tl.send(0, changed)           // what is stored stays as it is
	tl.send(0, attempts[3:])      // a part of it
	tl.send(0, tl.attempts(0, 1)) // after it, something new
	twice := tl.attempts(0, 1)    // and twice in one message
	tl.send(0, append(twice, twice...))
	tl.await(12)
	notsaletest.Eventually(t, "all is acknowledged", func() bool { return tl.unacknowledged() == 0 })
	stop()
	if n := tl.Count(`SELECT count(*) FROM checkout_attempts WHERE user_param <> 'ann'`); n != 0 {
		t.Errorf("%d attempts were changed by a repeat", n)
	}
	if recorded, repeated := counter(t, reg, "attempts_recorded_total"), counter(t, reg, "attempts_repeated_total"); recorded != 12 || repeated != 28 {
		t.Errorf("%v recorded and %v repeated, want 12 and 28", recorded, repeated)
	}
}

func TestUnreadableMessagesArePassedOver(t *testing.T) {
	t.Parallel()
	tl := newTill(t)
	tl.send(0, tl.attempts(0, 1))
	garbage := [][]byte{
		[]byte("\x00\xff"),
		{},
		[]byte("null"), []byte(`{"v":1,"kind":"pack"}`),
		[]byte(`{"v":1,"kind":"attempts","edge":"e","attempts":[{"id":"00000000-0000-0000-0000-000000000001","user":"\u0000"}]}`),
	}
	for _, data := range garbage {
		tl.publish(0, data)
	}
	tl.send(0, tl.attempts(0, 1))
	_, reg := tl.record("recorder-1")
	tl.await(2)
	notsaletest.Eventually(t, "all is acknowledged", func() bool { return tl.unacknowledged() == 0 })
	if n := counter(t, reg, "messages_unreadable_total"); n != float64(len(garbage)) {
		t.Errorf("%v messages are counted as unreadable, want %d", n, len(garbage))
	}
}

// A message of a newer version waits for a newer recorder, and holds up nothing.
func TestNewerVersionIsLeft(t *testing.T) {
	t.Parallel()
	tl := newTill(t)
	tl.publish(0, []byte(`{"v":2,"kind":"attempts","edge":"edge-test","attempts":[]}`))
	tl.send(0, tl.attempts(0, 1))
	_, reg := tl.record("recorder-1")
	tl.await(1)
	notsaletest.Eventually(t, "the alarm is raised", func() bool { return counter(t, reg, "alarms_total") >= 1 })
	tl.send(0, tl.attempts(0, 1))
	tl.await(2)
	notsaletest.Eventually(t, "only that message is left", func() bool { return tl.unacknowledged() == 1 })
}

func TestDatabaseAwayLosesNothing(t *testing.T) {
	t.Parallel()
	tl := newTill(t, backendstest.WithOwnPostgres)
	_, reg := tl.record("recorder-1")
	tl.send(0, tl.attempts(0, 5))
	tl.await(5)
	if err := tl.Postgres.Kill(); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		tl.send(0, tl.attempts(0, 5))
	}
	notsaletest.Eventually(t, "the recorder has failed", func() bool { return counter(t, reg, "failures_total") > 0 })
	if err := tl.Postgres.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	tl.DB.Reset()
	tl.await(105)
	notsaletest.Eventually(t, "all is acknowledged", func() bool { return tl.unacknowledged() == 0 })
}

func TestNATSAwayLosesNothing(t *testing.T) {
	t.Parallel()
	tl := newTill(t)
	tl.record("recorder-1")
	for round := range int64(3) {
		tl.send(0, tl.attempts(0, 5))
		if round < 2 {
			tl.StopNATS()
			tl.StartNATS()
		}
	}
	tl.await(15)
}

// A sale that is being archived is recorded to its end. Once it is archived its
// stream is left alone, by recorders that had it and by new ones, and is missed
// by nobody.
func TestArchivedSalesAreLeftAlone(t *testing.T) {
	t.Parallel()
	tl := newTill(t)
	of := tl.OpenSale(5, 10)
	tl.list(of)
	_, had := tl.record("recorder-1")
	tl.send(of.ID, tl.attempts(of.ID, 3))
	tl.await(3)
	tl.advance(of, sale.Archiving)
	tl.send(of.ID, tl.attempts(of.ID, 4)) // by an edge that does not know it yet
	if err := tl.stream.Seal(t.Context(), of.ID); err != nil {
		t.Fatal(err)
	}
	tl.await(7)
	notsaletest.Eventually(t, "all is acknowledged", func() bool {
		floor, last, err := tl.stream.AttemptFloor(t.Context(), of.ID)
		return err == nil && floor == 2 && last == 2
	})
	tl.advance(of, sale.Archived)
	if err := tl.stream.Remove(t.Context(), of.ID); err != nil {
		t.Fatal(err)
	}
	_, fresh := tl.record("recorder-2")
	tl.send(0, tl.attempts(of.ID, 2)) // as edges keep the attempts of such a sale
	tl.await(9)
	if n := tl.Count(`SELECT count(*) FROM checkout_attempts WHERE sale_id = $1`, int64(of.ID)); n != 9 {
		t.Errorf("sale %d has %d attempts, want 9", of.ID, n)
	}
	<-time.After(2 * time.Second) // in which a loop that is still there fails several times
	for i, reg := range []*prometheus.Registry{had, fresh} {
		if n := counter(t, reg, "failures_total"); n != 0 {
			t.Errorf("recorder %d has failed %v times", i+1, n)
		}
	}
}

// Two recorders share the work; when one stops in the middle the other does
// what it has left.
func TestTwoRecordersShare(t *testing.T) {
	t.Parallel()
	tl := newTill(t)
	stop, one := tl.record("recorder-1")
	_, two := tl.record("recorder-2")
	sent := int64(0)
	send := func() {
		tl.send(0, tl.attempts(0, 10))
		sent += 10
	}
	recorded := func() (a, b float64) {
		return counter(t, one, "attempts_recorded_total"), counter(t, two, "attempts_recorded_total")
	}
	notsaletest.Eventually(t, "both have recorded", func() bool {
		send()
		a, b := recorded()
		return a > 0 && b > 0
	})
	tl.await(sent)
	notsaletest.Eventually(t, "all is counted", func() bool { a, b := recorded(); return a+b == float64(sent) })
	if a, b := counter(t, one, "attempts_repeated_total"), counter(t, two, "attempts_repeated_total"); a+b != 0 {
		t.Errorf("%v attempts were recorded by both", a+b)
	}
	for range 20 {
		send()
	}
	stop()
	for range 20 {
		send()
	}
	tl.await(sent)
}
