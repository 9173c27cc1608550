//go:build unix

package faults_test

import (
	"testing"
	"time"

	"notsale/loadtest/faults/cluster"
	"notsale/pkg/effort"
)

// Two processes of each role sell exactly what there is.
func TestSellOutWithTwoOfEach(t *testing.T) {
	t.Parallel()
	stock := effort.Of(600, 10_000)
	a := cluster.New(t, cluster.Options{Stock: stock})
	edges, _ := a.StartAll(2, 2, 2, 2)
	started := time.Now()
	visits := a.Crowd(edges, cluster.CrowdOptions{Clients: 64}).Finish()
	took := time.Since(started)
	asked := a.AskAgain(visits, edges, 20)
	a.Audit(visits, cluster.Expect{SoldOut: true})
	t.Logf("%d items in %v by %d visits; checkouts %v, purchases %v; %d codes asked again",
		stock, took, len(visits), cluster.Statuses(visits, false), cluster.Statuses(visits, true), asked)
}
