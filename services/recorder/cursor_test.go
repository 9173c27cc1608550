//go:build unix

package recorder_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"notsale/pkg/backends/backendstest/testlog"
	"notsale/pkg/ledger"
	"notsale/pkg/wire"
	"notsale/services/recorder"
	"notsale/services/servicetest"
)

func (tl *till) exec(statement string) {
	tl.t.Helper()
	if _, err := tl.DB.Exec(tl.t.Context(), statement); err != nil {
		tl.t.Fatalf("%s: %v", statement, err)
	}
}

func (tl *till) jetstream() jetstream.JetStream {
	tl.t.Helper()
	nc, err := nats.Connect(tl.NATSURL)
	if err != nil {
		tl.t.Fatal(err)
	}
	tl.t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		tl.t.Fatal(err)
	}
	return js
}

// A database is put back to before attempts were recorded, under a recorder that
// runs, while nothing comes: they are recorded again by themselves.
func TestARestoredDatabaseIsRecordedAgain(t *testing.T) {
	t.Parallel()
	tl := newTill(t)
	tl.record("recorder-1")
	tl.send(0, tl.attempts(0, 3))
	tl.await(3)
	tl.exec(`CREATE TABLE saved AS SELECT sequence, message_time, message_hash, ids FROM attempt_cursors, (SELECT array_agg(attempt_id) AS ids FROM checkout_attempts) AS kept`)
	tl.send(0, tl.attempts(0, 4))
	tl.send(0, tl.attempts(0, 5))
	tl.await(12)
	tl.exec(`WITH lost AS (DELETE FROM checkout_attempts USING saved WHERE attempt_id <> ALL (saved.ids))
		UPDATE attempt_cursors AS c SET sequence = s.sequence, message_time = s.message_time, message_hash = s.message_hash FROM saved AS s`)
	tl.await(12)
	tl.exec(`WITH lost AS (DELETE FROM checkout_attempts) DELETE FROM attempt_cursors`) // to before the first
	tl.await(12)
	if n := tl.Count(`SELECT count(*) FROM attempt_holes`); n != 0 {
		t.Errorf("%d streams are said to have lost their tail", n)
	}
}

// A copy of the ledger with a recorder of its own, beside the first: each has all
// attempts, whoever was quicker.
func TestACopyOfTheLedgerTakesNothingFromIt(t *testing.T) {
	t.Parallel()
	tl, other := newTill(t), servicetest.New(t)
	tl.record("recorder-1")
	tl.send(0, tl.attempts(0, 5))
	tl.await(5)
	r, err := recorder.New(recorder.DefaultConfig(), other.Ledger("recorder-of-copy"), tl.Stream("recorder-of-copy"), tl.Log, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	tl.Run(r.Run)
	for range 30 {
		tl.send(0, tl.attempts(0, 10))
	}
	tl.await(305)
	servicetest.Eventually(t, "the copy has all too", func() bool { return other.Count(`SELECT count(*) FROM checkout_attempts`) == 305 })
}

// What recorders of an earlier version have recorded, or have acknowledged and a
// restored database has lost, is read from message 1; then their consumer and
// their mark go.
func TestAFirstStartReadsFromMessageOne(t *testing.T) {
	t.Parallel()
	tl := newTill(t)
	old := wire.AttemptStream{} // CHECKOUTS_0
	if err := tl.stream.CreateUnsold(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	js := tl.jetstream()
	for range 4 {
		if _, err := js.Publish(t.Context(), "checkouts.0", wire.AppendAttempts(nil, "edge-test", tl.attempts(0, 1))); err != nil {
			t.Fatal(err)
		}
	}
	consumer, err := js.CreateConsumer(t.Context(), "CHECKOUTS_0", jetstream.ConsumerConfig{Durable: "recorder", AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 { // acknowledged, and not in this database
		m, err := consumer.Next()
		if err == nil {
			err = m.DoubleAck(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	tl.exec(`INSERT INTO recorded (sale_id, sequence) VALUES (0, 3)`)
	tl.record("recorder-1")
	tl.await(4)
	servicetest.Eventually(t, "the old mark is gone", func() bool { return tl.Count(`SELECT count(*) FROM recorded`) == 0 })
	if _, err := js.Consumer(t.Context(), "CHECKOUTS_0", "recorder"); !errors.Is(err, jetstream.ErrConsumerNotFound) {
		t.Errorf("the old consumer: %v", err)
	}
	if !tl.recorded(old) {
		t.Error("the stream is not recorded to its end")
	}
}

// A stream of attempts loses its tail and gives its sequences to other messages:
// all of these are recorded, what was recorded stays, and people are told.
func TestAStreamThatLostItsTailIsReadAgain(t *testing.T) {
	t.Parallel()
	tl := newTill(t)
	_, reg := tl.record("recorder-1")
	tl.send(0, tl.attempts(0, 1))
	tl.await(1)
	store := filepath.Join(tl.NATS.Dir(), "jetstream", "$G", "streams", ofNone.String())
	saved := filepath.Join(t.TempDir(), "saved")
	stopped := func(do func() error) {
		t.Helper()
		tl.StopNATS()
		err := do()
		tl.StartNATS()
		if err != nil {
			t.Fatal(err)
		}
	}
	stopped(func() error { return exec.Command("cp", "-a", store, saved).Run() })
	tl.send(0, tl.attempts(0, 1))
	tl.send(0, tl.attempts(0, 1))
	tl.await(3)
	stopped(func() error {
		if err := os.RemoveAll(store); err != nil {
			return err
		}
		return exec.Command("cp", "-a", saved, store).Run()
	})
	for range 5 { // 2 and 3 once more, and three beyond
		tl.send(0, tl.attempts(0, 1))
	}
	tl.await(8)
	if n := metric(t, reg, "alarms_total"); n != 1 {
		t.Errorf("%v alarms, want 1", n)
	}
	if n := tl.Count(`SELECT count(*) FROM attempt_holes WHERE sale_id = 0 AND part = 1 AND sequence = 3`); n != 1 {
		t.Errorf("%d holes are recorded, want 1 that says where it stood", n)
	}
	servicetest.Eventually(t, "all is recorded", func() bool { return tl.recorded(ofNone) })
}

// A stream that was recorded and is not there is told to people; one that the
// ledger says is removed is not, nor one of which a restored ledger may not know
// yet that it was.
func TestALostStreamIsTold(t *testing.T) {
	t.Parallel()
	tl := newTill(t)
	_, reg := tl.record("recorder-1")
	tl.send(0, tl.attempts(0, 1))
	tl.await(1)
	if err := tl.stream.CreateUnsold(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	js := tl.jetstream()
	if err := js.DeleteStream(t.Context(), ofNone.String()); err != nil {
		t.Fatal(err)
	}
	for n := range int64(20) { // into part 2
		tl.send(0, tl.attempts(0, 1))
		tl.await(2 + n)
	}
	tl.exec(`UPDATE attempt_cursors SET removed_at = clock_timestamp() WHERE part = 1`)
	tl.send(0, tl.attempts(0, 1))
	tl.await(22)
	if n := metric(t, reg, "alarms_total"); n != 0 {
		t.Errorf("%v alarms by a stream that was removed", n)
	}
	if err := js.DeleteStream(t.Context(), "CHECKOUTS_0_2"); err != nil {
		t.Fatal(err)
	}
	servicetest.Eventually(t, "the alarm is raised", func() bool { return metric(t, reg, "alarms_total") == 1 })
}

// The ledger refuses a row, for good: people are told once, nothing is passed over,
// and all is recorded when it takes it.
func TestWhatTheLedgerRefusesIsTold(t *testing.T) {
	t.Parallel()
	tl := newTill(t)
	_, reg := tl.record("recorder-1")
	tl.exec(`ALTER TABLE checkout_attempts ADD CONSTRAINT no_ann CHECK (user_param <> 'ann')`)
	tl.send(0, tl.attempts(0, 3))
	servicetest.Eventually(t, "the alarm is raised", func() bool { return metric(t, reg, "alarms_total") == 1 })
	tl.exec(`ALTER TABLE checkout_attempts DROP CONSTRAINT no_ann`)
	tl.await(3)
	if n := metric(t, reg, "alarms_total"); n != 1 {
		t.Errorf("%v alarms, want 1", n)
	}
}

// After an upgrade a recorder reads every old stream from its beginning: a few at
// a time, so that it neither floods the stores nor holds all their messages.
func TestOldStreamsAreReadAFewAtATime(t *testing.T) {
	t.Parallel()
	tl := newTill(t)
	js := tl.jetstream()
	const parts = 20
	for part := 1; part <= parts; part++ {
		if err := tl.stream.CreateUnsold(t.Context(), part); err != nil {
			t.Fatal(err)
		}
		if _, err := js.Publish(t.Context(), fmt.Sprintf("checkouts.0.%d", part), wire.AppendAttempts(nil, "edge-test", tl.attempts(0, 1))); err != nil {
			t.Fatal(err)
		}
	}
	tx, err := tl.DB.Begin(t.Context())
	if err == nil {
		_, err = tx.Exec(t.Context(), `LOCK TABLE checkout_attempts IN EXCLUSIVE MODE`)
	}
	if err != nil {
		t.Fatal(err)
	}
	tl.record("recorder-1")
	readers := func() (n int) {
		list := js.ListStreams(t.Context(), jetstream.WithStreamListSubject("checkouts.0.*"))
		for info := range list.Info() {
			n += info.State.Consumers
		}
		if err := list.Err(); err != nil {
			t.Fatal(err)
		}
		return n
	}
	servicetest.Eventually(t, "some streams are read, and wait for the ledger", func() bool {
		return readers() >= 4 && tl.Count(`SELECT count(*) FROM pg_locks WHERE NOT granted`) >= 4
	})
	if n := readers(); n != 4 {
		t.Errorf("%d of %d streams are read at once", n, parts)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	tl.await(parts)
}

// The recorder fails, heals and fails again: each outage is one warning.
func TestTheSecondOutageIsInTheLogToo(t *testing.T) {
	t.Parallel()
	tl := newTill(t)
	var log testlog.Log
	reg := prometheus.NewRegistry()
	r, err := recorder.New(recorder.DefaultConfig(), tl.Ledger("recorder-1"), tl.Stream("recorder-1"), slog.New(slog.NewTextHandler(&log, nil)), reg)
	if err != nil {
		t.Fatal(err)
	}
	tl.Run(r.Run)
	stored := int64(0)
	for outage := 1; outage <= 3; outage++ {
		tl.send(0, tl.attempts(0, 1))
		stored++
		tl.await(stored)
		before := metric(t, reg, "failures_total")
		tl.exec(`ALTER TABLE checkout_attempts RENAME TO away`)
		tl.send(0, tl.attempts(0, 1))
		stored++
		servicetest.Eventually(t, "it fails again and again", func() bool { return metric(t, reg, "failures_total") >= before+4 })
		tl.exec(`ALTER TABLE away RENAME TO checkout_attempts`)
		tl.await(stored)
		if n := log.Count("attempts are not recorded, trying on"); n != outage {
			t.Errorf("%d warnings after %d outages", n, outage)
		}
	}
}

// The quicker of two recorders commits, also where both have the same message in
// hand: a statement that comes late writes nothing.
func TestALateRecorderWritesNothing(t *testing.T) {
	t.Parallel()
	tl := newTill(t)
	tl.send(0, tl.attempts(0, 1))
	_, reg := tl.record("recorder-1")
	tl.await(1)
	at, err := tl.ledger.AttemptCursor(t.Context(), ofNone)
	if err != nil {
		t.Fatal(err)
	}
	late := ledger.RecordedAttempt{Attempt: tl.attempts(0, 1)[0], Edge: "late"}
	if _, err := tl.ledger.RecordAttempts(t.Context(), ofNone, ledger.AttemptCursor{Created: at.Created}, at, []ledger.RecordedAttempt{late}); !errors.Is(err, ledger.ErrMoved) {
		t.Errorf("%v, want ErrMoved", err)
	}
	tl.send(0, tl.attempts(0, 1))
	tl.await(2)
	if n := metric(t, reg, "failures_total"); n != 0 {
		t.Errorf("%v failures", n)
	}
}
