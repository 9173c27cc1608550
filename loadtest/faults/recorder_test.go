//go:build unix

package faults_test

import (
	"errors"
	"testing"
	"time"

	"notsale/loadtest/faults/cluster"
	"notsale/loadtest/faults/proxy"
	"notsale/pkg/effort"
	"notsale/pkg/ledger"
	"notsale/pkg/wire"
)

// The only recorder of a sale is stopped, cut off, slowed and killed, one after
// the other, while people check out: nobody notices, and each time all attempts
// are recorded soon after it is back.
func TestRecorderCatchesUp(t *testing.T) {
	t.Parallel()
	a := cluster.New(t, cluster.Options{Stock: effort.Of(1000, 3000)})
	edges, _ := a.StartAll(1, 1, 0, 2)
	recorder := a.Start(cluster.Recorder, cluster.Through)
	crowd := a.Crowd(edges, cluster.CrowdOptions{Pace: walking})
	crowd.AwaitSold(50)
	tape := a.Stream()
	books, err := ledger.Open(t.Context(), ledger.Config{URL: a.DatabaseURL, Name: "looker", Conns: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer books.Close()
	parts, err := tape.UnsoldParts(t.Context())
	if err != nil || len(parts) == 0 {
		t.Fatal(parts, err)
	}
	streams := []wire.AttemptStream{{Sale: 1}, {Part: parts[0]}}
	lag := func() (messages uint64) {
		for _, of := range streams {
			info, err := tape.AttemptInfo(t.Context(), of)
			at, errAt := books.AttemptCursor(t.Context(), of)
			if err != nil || errAt != nil && !errors.Is(errAt, ledger.ErrNotFound) {
				t.Fatal(err, errAt)
			}
			messages += info.Last - min(at.Sequence, info.Last)
		}
		return messages
	}
	for _, fault := range []struct {
		name       string
		begin, end func()
	}{
		{"SIGSTOP", recorder.Stop, recorder.Continue},
		{"cut from Postgres", func() { recorder.ToPostgres.Set(proxy.Blackhole) }, func() { recorder.ToPostgres.Set(proxy.Forward) }},
		{"cut from NATS", func() { recorder.ToNATS.Set(proxy.Blackhole) }, func() { recorder.ToNATS.Set(proxy.Forward) }},
		{"slow", func() { recorder.ToPostgres.Slow(time.Second, 0) }, func() { recorder.ToPostgres.Slow(0, 0) }},
		{"kill -9", recorder.Kill, func() { recorder = a.Start(cluster.Recorder, cluster.Through) }},
		{"SIGTERM", func() { recorder.Terminate() }, func() { recorder = a.Start(cluster.Recorder) }},
	} {
		fault.begin()
		crowd.AwaitSold(a.Sold(1) + 30)
		a.Eventually(fault.name+": attempts wait", func() bool { return lag() > 0 })
		fault.end()
		healed := time.Now()
		a.Eventually(fault.name+": all are recorded", func() bool { return lag() == 0 })
		t.Logf("%s: lag 0 after %v, goal 10s", fault.name, time.Since(healed).Round(10*time.Millisecond))
	}
	a.Audit(crowd.Finish(), cluster.Expect{SoldOut: true})
}
