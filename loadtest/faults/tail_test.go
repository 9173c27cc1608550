//go:build unix

package faults_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"notsale/loadtest/faults/cluster"
	"notsale/loadtest/process"
	"notsale/pkg/effort"
)

// tails is one sale that loses its tail again and again.
type tails struct {
	*cluster.Cluster

	t         *testing.T
	edges     []*cluster.Process
	allocator *cluster.Process
	visits    []*cluster.Visit
	share     int64 // items sold between two losses
	next      int64 // first item that nobody was sent for yet
	holes     int
}

// lost is how many messages go each time.
const lost = 5

func (s *tails) crowd() *cluster.Crowd {
	c := s.Crowd(s.edges, cluster.CrowdOptions{First: s.next, Num: s.share, Clients: 16, Pace: 20 * time.Millisecond, Seed: uint64(s.next)})
	s.next += s.share
	return c
}

// sell sells the next share, to the end.
func (s *tails) sell() { s.visits = append(s.visits, s.crowd().Finish()...) }

// cut stops NATS, takes away what comes after a sequence, and starts it again.
func (s *tails) cut(keep func(cursor uint64) uint64) uint64 {
	s.t.Helper()
	s.StopNATS()
	kept := keep(s.Cursor(1))
	s.CutTail(1, kept)
	s.StartNATS()
	return kept
}

func below(cursor uint64) uint64 { return cursor - lost }

// expectHole waits for the next hole and looks what is written of it.
func (s *tails) expectHole(what string, matching uint64) {
	s.t.Helper()
	s.holes++
	s.Eventually(what+": a hole is recorded", func() bool { return s.Number(`SELECT count(*) FROM holes WHERE sale_id = 1`) >= int64(s.holes) })
	s.Eventually(what+": the alarm is raised", func() bool { return s.alarms("lost-tail") >= 1 })
	if n := s.Number(`SELECT matching_sequence FROM holes WHERE sale_id = 1 AND generation = $1`, s.holes+1); uint64(n) != matching {
		s.t.Errorf("%s: the hole begins after %d, want %d", what, n, matching)
	}
	if n := s.Number(`SELECT generation FROM cursors WHERE sale_id = 1`); n != int64(s.holes+1) {
		s.t.Errorf("%s: generation %d, want %d", what, n, s.holes+1)
	}
	// Sold stays sold; the audit compares the answers.
	s.AskAgain(s.visits, s.edges, 1+len(s.visits)/100)
}

func (s *tails) alarms(kind string) float64 {
	return s.allocator.Metric("notsale_allocator_alarms_total", `kind="`+kind+`"`)
}

func (s *tails) restart() { s.allocator = s.Start(cluster.Allocator) }

// A sale's stream forgets what it had acknowledged: six times, in each way in
// which that may be found. What was sold stays sold, nothing is swallowed, and
// in the end exactly the stock is sold.
func TestLostTail(t *testing.T) {
	t.Parallel()
	const rounds = 7
	share := int64(effort.Of(100, 600))
	a := cluster.New(t, cluster.Options{Stock: int(rounds * share)})
	s := &tails{Cluster: a, t: t, share: share, next: 1}
	edges, allocators := a.StartAll(1, 1, 1, 2)
	s.edges, s.allocator = edges, allocators[0]
	s.sell()

	s.allocator.Kill()
	kept := s.cut(below)
	s.restart()
	s.expectHole("found at the start", kept)
	s.sell()

	// The sequences are taken again, by other messages, up to and over the cursor.
	s.allocator.Kill()
	cursor := a.Cursor(1)
	kept = s.cut(below)
	crowd := s.crowd()
	a.Eventually("the stream goes over the old cursor", func() bool { return a.Last(1) > cursor })
	s.restart()
	s.expectHole("found at the start, behind new messages", kept)
	s.visits = append(s.visits, crowd.Finish()...)

	kept = s.cut(below)
	s.expectHole("found when NATS is back", kept)
	s.sell()

	crowd = s.crowd()
	crowd.AwaitSold(a.Sold(1) + share/4)
	kept = s.cut(below)
	s.expectHole("found when NATS is back, under load", kept)
	s.visits = append(s.visits, crowd.Finish()...)

	// Only messages that nobody has decided: no alarm, and they come again.
	s.allocator.Kill()
	cursor = a.Cursor(1)
	crowd = s.crowd()
	a.Eventually("undecided messages wait", func() bool { return a.Last(1) > cursor+lost })
	s.cut(func(cursor uint64) uint64 { return cursor + 1 })
	s.restart()
	s.visits = append(s.visits, crowd.Finish()...)
	s.Eventually("the last are decided", func() bool { return a.Cursor(1) == a.Last(1) })
	if n := s.alarms("lost-tail"); n != 0 {
		t.Errorf("%v alarms for a tail that nobody had decided", n)
	}

	kept = a.Last(1) // while NATS is there
	backup := a.OldBackUp(1)
	s.sell()
	a.Restore(1, backup)
	s.expectHole("found while running, without a reconnect", kept)

	visits := s.visits
	a.AskAgain(visits, edges, 10)
	t.Logf("%d items, %d holes, purchases %v", a.Sold(1), s.holes, cluster.Statuses(visits, true))
	a.Audit(visits, cluster.Expect{SoldOut: true, Holes: s.holes})
}

// A stream that is gone is not made anew in silence, and the next sale opens.
func TestLostStream(t *testing.T) {
	t.Parallel()
	a := cluster.New(t, cluster.Options{Stock: 100})
	edges, allocators := a.StartAll(1, 1, 1, 1)
	crowd := a.Crowd(edges, cluster.CrowdOptions{Clients: 4, Num: 50, First: 1})
	visits := crowd.Finish()
	backup := a.BackUp(1)
	a.DeleteStream(1)
	a.Eventually("the alarm is raised", func() bool {
		return allocators[0].Metric("notsale_allocator_alarms_total", `kind="lost-stream"`) >= 1
	})
	a.Eventually("the log says what to do", func() bool {
		text := allocators[0].Log()
		return strings.Contains(text, "restore it from a backup") && strings.Contains(text, "SALE_1")
	})
	next := a.Start(cluster.Scheduler, cluster.Flags("--sale-every", cluster.Later))
	a.Eventually("the next sale is open", func() bool {
		n, err := a.TryNumber(`SELECT count(*) FROM sales WHERE sale_id = 2 AND state = 'open'`)
		return err == nil && n == 1
	})
	a.Eventually("the edge lists it", func() bool { return edges[0].Metric("notsale_edge_sales") >= 2 })
	second := a.Crowd(edges, cluster.CrowdOptions{Sale: 2, Clients: 4}).Finish()
	a.Audit(second, cluster.Expect{Sale: 2, SoldOut: true})
	next.Kill()
	ctx, cancel := context.WithTimeout(t.Context(), cluster.Patience)
	defer cancel()
	if s, err := a.JetStream().Stream(ctx, "SALE_1"); err == nil {
		t.Errorf("the lost stream was made again at %v", s.CachedInfo().Created)
	}
	// What was sold is in the ledger, whatever becomes of the stream.
	for _, v := range visits {
		if v.Status != http.StatusOK {
			continue
		}
		status, body := process.Ask(edges[0].Address, "/purchase?code="+v.Code)
		if status != http.StatusOK || body != v.Body() {
			t.Fatalf("item %d was sold; now %d %s", v.Item, status, body)
		}
	}

	// A server of 2.15 gives a stream that it restores another creation time:
	// a hole, in which nothing may be missing, and selling goes on.
	a.PutBack(1, backup)
	a.Eventually("the restored stream is taken up", func() bool {
		return a.Number(`SELECT count(*) FROM holes WHERE sale_id = 1 AND matching_sequence = cursor_sequence`) == 1
	})
	visits = append(visits, a.Crowd(edges, cluster.CrowdOptions{Clients: 4}).Finish()...)
	a.Audit(visits, cluster.Expect{SoldOut: true, Holes: 1})
}
