//go:build unix

package faults_test

import (
	"net/http"
	"strings"
	"testing"

	"notsale/loadtest/faults/cluster"
	"notsale/pkg/backends/backendstest"
	"notsale/pkg/effort"
)

// Postgres is put back to an earlier moment, while everything else goes on: the
// ledger comes to the same decisions and the same chain again, from the stream.
func TestPostgresRestoredFromBackup(t *testing.T) {
	t.Parallel()
	a := cluster.New(t, cluster.Options{Stock: effort.Of(800, 3000), Stores: []backendstest.Option{backendstest.WithOwnPostgres}})
	edges, allocators := a.StartAll(1, 2, 1, 2)
	crowd := a.Crowd(edges, cluster.CrowdOptions{Pace: walking})
	crowd.AwaitSold(100)
	back := a.SavePostgres()
	crowd.AwaitSold(a.Sold(1) + int64(effort.Of(200, 600)))
	visits := crowd.Stop()

	// Whoever was refused from the cache may be decided now, behind all that was.
	const recorded = `SELECT count(*) FROM decisions WHERE sale_id = 1 AND position <= $1`
	upTo := a.Number(`SELECT position FROM cursors WHERE sale_id = 1`)
	cursor, decisions, digest := a.Cursor(1), a.Number(recorded, upTo), a.DecisionsDigest(1, upTo)
	for _, p := range allocators { // who would have decided all again before anybody looks
		p.Stop()
	}
	back()
	if n := a.Number(recorded, upTo); n >= decisions {
		t.Fatalf("%d decisions after the restore, %d before", n, decisions)
	}
	for _, p := range allocators {
		p.Continue()
	}
	// An allocator that was not away for long notices at the next request.
	a.AskAgain(visits, edges, 3)
	a.Eventually("all is decided again", func() bool { return a.Number(recorded, upTo) == decisions })
	if again := a.DecisionsDigest(1, upTo); again != digest {
		t.Errorf("the decisions are others than before: %s, %s", digest, again)
	}
	if n := a.Cursor(1); n < cursor {
		t.Errorf("the cursor stands at %d, before at %d", n, cursor)
	}
	if n := a.Number(`SELECT count(*) FROM holes`); n != 0 {
		t.Errorf("%d holes", n)
	}

	// Attempts were acknowledged to their stream long ago; recorders read it again.
	answered := cluster.Statuses(visits, false)[http.StatusOK]
	a.Eventually("all attempts are recorded again", func() bool {
		return a.Number(`SELECT count(*) FROM checkout_attempts WHERE outcome = 'issued'`) >= int64(answered)
	})

	visits = append(visits, a.Crowd(edges, cluster.CrowdOptions{}).Finish()...)
	a.Audit(visits, cluster.Expect{SoldOut: true})
}

// Postgres is emptied while NATS and Redis keep what they have: every role says
// so and ends, and nothing is decided.
func TestPostgresWiped(t *testing.T) {
	t.Parallel()
	a := cluster.New(t, cluster.Options{Stock: 100})
	edges, _ := a.StartAll(1, 1, 1, 1)
	a.Crowd(edges, cluster.CrowdOptions{Clients: 4, Num: 20, First: 1}).Finish()
	a.EndAll()
	last := a.Last(1)
	a.Wipe()
	a.Spoilt() // an audit finds a stream whose sale the ledger does not know
	for _, role := range []string{cluster.Scheduler, cluster.Allocator, cluster.Recorder, cluster.Edge} {
		p := a.Start(role, cluster.Unready)
		a.Eventually(role+" ends", func() bool { return ended(p) })
		text := p.Log()
		if p.Status() == 0 || !strings.Contains(text, "NATS holds the streams of installation") || !strings.Contains(text, "Restore the database") {
			t.Errorf("%s ended with status %d and said:\n%s", role, p.Status(), text)
		}
	}
	if n := a.Number(`SELECT (SELECT count(*) FROM sales) + (SELECT count(*) FROM decisions)`); n != 0 {
		t.Errorf("%d sales and decisions in the new database", n)
	}
	if now := a.Last(1); now != last {
		t.Errorf("the old sale's stream ends at %d, before at %d", now, last)
	}
}
