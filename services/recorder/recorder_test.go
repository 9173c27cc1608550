//go:build unix

package recorder_test

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"notsale/pkg/backends/backendstest"
	"notsale/pkg/code"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
	"notsale/services/recorder"
	"notsale/services/servicetest"
)

func TestMain(m *testing.M) { backendstest.Main(m) }

// till stands where an edge does: it publishes attempts.
type till struct {
	*servicetest.Stage

	t      *testing.T
	stream *stream.Client
	ledger *ledger.Ledger
	last   uint32
}

func newTill(t *testing.T, opts ...backendstest.Option) *till {
	t.Helper()
	stage := servicetest.New(t, opts...)
	tl := &till{Stage: stage, t: t, stream: stage.Stream("till"), ledger: stage.Ledger("till")}
	if err := tl.stream.CreateUnsold(t.Context(), 1); err != nil {
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
	servicetest.Eventually(tl.t, "the attempts are published", func() bool { return tl.stream.PublishAttempts(tl.t.Context(), id, data) == nil })
}

func (tl *till) send(id sale.ID, attempts []wire.Attempt) {
	tl.t.Helper()
	tl.publish(id, wire.AppendAttempts(nil, "edge-test", attempts))
}

func (tl *till) stored() int64 { return tl.Count(`SELECT count(*) FROM checkout_attempts`) }

// await waits for so many rows.
func (tl *till) await(n int64) {
	tl.t.Helper()
	servicetest.Eventually(tl.t, fmt.Sprintf("%d attempts are stored", n), func() bool { return tl.stored() >= n })
	if got := tl.stored(); got != n {
		tl.t.Errorf("%d attempts are stored, want %d", got, n)
	}
}

// recorded reports whether a stream is recorded to its end.
func (tl *till) recorded(of wire.AttemptStream) bool {
	info, err := tl.stream.AttemptInfo(tl.t.Context(), of)
	at, errAt := tl.ledger.AttemptCursor(tl.t.Context(), of)
	return err == nil && errAt == nil && info.Last == at.Sequence
}

// ofNone is the stream of no sale that a till publishes to.
var ofNone = wire.AttemptStream{Part: 1}

func metric(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "notsale_recorder_"+name {
			m := f.GetMetric()[0]
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
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
	servicetest.Eventually(t, "all is recorded", func() bool { return tl.recorded(ofNone) })
	stop()
	if n := tl.Count(`SELECT count(*) FROM checkout_attempts WHERE user_param <> 'ann'`); n != 0 {
		t.Errorf("%d attempts were changed by a repeat", n)
	}
	if recorded, repeated := metric(t, reg, "attempts_recorded_total"), metric(t, reg, "attempts_repeated_total"); recorded != 12 || repeated != 28 {
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
	servicetest.Eventually(t, "all is recorded", func() bool { return tl.recorded(ofNone) })
	if n := metric(t, reg, "messages_unreadable_total"); n != float64(len(garbage)) {
		t.Errorf("%v messages are counted as unreadable, want %d", n, len(garbage))
	}
}

// A message of a newer version stops its stream, and no other, until a newer
// recorder has taken it.
func TestNewerVersionStopsItsStream(t *testing.T) {
	t.Parallel()
	tl := newTill(t)
	of := tl.OpenSale(5, 10)
	tl.list(of)
	tl.send(0, tl.attempts(0, 1))
	tl.publish(0, []byte(`{"v":2,"kind":"attempts","edge":"edge-test","attempts":[]}`))
	tl.send(0, tl.attempts(0, 1))
	_, reg := tl.record("recorder-1")
	servicetest.Eventually(t, "the alarm is raised", func() bool { return metric(t, reg, "alarms_total") == 1 })
	tl.send(of.ID, tl.attempts(of.ID, 1))
	tl.await(2)
	at, err := tl.ledger.AttemptCursor(t.Context(), ofNone)
	if err != nil || at.Sequence != 1 {
		t.Fatalf("the stream is recorded up to %d, %v, want 1: before the message", at.Sequence, err)
	}
	m, err := tl.stream.AttemptMessage(t.Context(), ofNone, 2)
	if err != nil {
		t.Fatal(err)
	}
	to := ledger.AttemptCursor{Sequence: 2, Time: m.Time, Hash: m.Hash(), Created: at.Created}
	if _, err := tl.ledger.RecordAttempts(t.Context(), ofNone, at, to, nil); err != nil { // by the newer one
		t.Fatal(err)
	}
	tl.await(3)
	if n := metric(t, reg, "alarms_total"); n != 1 {
		t.Errorf("%v alarms, want 1", n)
	}
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
	servicetest.Eventually(t, "the recorder has failed", func() bool { return metric(t, reg, "failures_total") > 0 })
	if err := tl.Postgres.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	tl.DB.Reset()
	tl.await(105)
	servicetest.Eventually(t, "all is recorded", func() bool { return tl.recorded(ofNone) })
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
// by nobody; attempts since then are attempts of no sale.
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
	servicetest.Eventually(t, "all is recorded", func() bool { return tl.recorded(wire.AttemptStream{Sale: of.ID}) })
	tl.advance(of, sale.Archived)
	follows := func(who string, reg *prometheus.Registry, want float64) {
		t.Helper()
		servicetest.Eventually(t, fmt.Sprintf("%s follows %v streams", who, want), func() bool { return metric(t, reg, "streams") == want })
	}
	follows("the recorder that had it", had, 1) // that of no sale
	if err := tl.stream.Remove(t.Context(), of.ID); err != nil {
		t.Fatal(err)
	}
	_, fresh := tl.record("recorder-2")
	tl.send(0, tl.attempts(of.ID, 2)) // as edges keep the attempts of such a sale
	tl.await(9)
	for id, want := range map[sale.ID]int64{of.ID: 7, 0: 2} {
		if n := tl.Count(`SELECT count(*) FROM checkout_attempts WHERE sale_id = $1`, int64(id)); n != want {
			t.Errorf("sale %d has %d attempts, want %d", id, n, want)
		}
	}
	tl.list(tl.OpenSale(5, 10)) // of which they learn after the other
	for who, reg := range map[string]*prometheus.Registry{"the recorder that had it": had, "the new one": fresh} {
		follows(who, reg, 2)
		if n := metric(t, reg, "alarms_total"); n != 0 {
			t.Errorf("%s has raised %v alarms", who, n)
		}
	}
}

// Two recorders read the same streams: everything is stored once, and when one
// stops in the middle the other does what it has left.
func TestTwoRecordersReadTheSame(t *testing.T) {
	t.Parallel()
	tl := newTill(t)
	stop, one := tl.record("recorder-1")
	_, two := tl.record("recorder-2")
	sent := int64(0)
	send := func() {
		tl.send(0, tl.attempts(0, 10))
		sent += 10
	}
	for range 20 {
		send()
	}
	tl.await(sent)
	count := func(name string) float64 { return metric(t, one, name) + metric(t, two, name) }
	servicetest.Eventually(t, "all is counted", func() bool { return count("attempts_recorded_total") == float64(sent) })
	if n := count("attempts_repeated_total"); n != 0 {
		t.Errorf("%v attempts were recorded by both", n)
	}
	if n := count("failures_total"); n != 0 {
		t.Errorf("%v failures: that the other was quicker is none", n)
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
