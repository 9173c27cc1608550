//go:build unix

package faults_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"notsale/loadtest/faults/cluster"
	"notsale/loadtest/process"
	"notsale/pkg/backends/backendstest"
	"notsale/pkg/effort"
)

// Of two servers the first is demoted under load: it takes no more writes, and
// every session to it is left as it is. Its synchronous standby is promoted. What
// was sold is sold, for whoever asks, and selling goes on; also when the first
// answers nobody any more, and the leader dies.
func TestPromotion(t *testing.T) {
	t.Parallel()
	stock := effort.Of(1000, 6000)
	a := cluster.New(t, cluster.Options{Stock: stock, Stores: []backendstest.Option{backendstest.WithOwnPostgres}})
	standby := a.Standby()
	first := a.DatabaseURL
	a.DatabaseURL = strings.Replace(first, a.Postgres.Address(), a.Postgres.Address()+","+standby.Address(), 1)
	edges, allocators := a.StartAll(2, 2, 2, 2)
	const apart = 8 // items of which the crowd wants none
	crowd := a.Crowd(edges, cluster.CrowdOptions{Pace: walking, First: 1, Num: int64(stock) - apart})
	crowd.AwaitSold(200)

	from := time.Now()
	a.Alter(`SET default_transaction_read_only = on`)
	a.Promote(standby)
	a.DB = pool(t, standby.URL())
	sold := a.Sold(1)
	took := a.Eventually("it sells on", func() bool { return a.Sold(1) > sold+100 })
	effort.Figure(t, "promotion: sold 100 more after", took, 5*time.Second)
	effort.Figure(t, "promotion: longest time without a commit", a.LongestGap(1, from), 5*time.Second)
	known := a.Crowd(edges, cluster.CrowdOptions{Clients: 4, First: int64(stock) - apart + 1, Num: apart, Alone: true}).Finish()
	for _, v := range known {
		for _, e := range edges {
			if status, body := process.Ask(e.Address, "/purchase?code="+url.QueryEscape(v.Code)); v.Status != http.StatusOK || status != http.StatusOK {
				t.Errorf("item %d: %d, and %s knows of it %d %s", v.Item, v.Status, e.Name, status, body)
			}
		}
	}

	if err := a.Postgres.Pause(); err != nil { // it accepts, and never answers
		t.Fatal(err)
	}
	leader, _ := a.Leader(allocators)
	epoch := a.Epoch(1)
	leader.Kill()
	a.Eventually("another epoch decides", func() bool { return a.Epoch(1) > epoch })
	crowd.AwaitSold(a.Sold(1) + 100)
	a.Start(cluster.Recorder) // reaches the second server, past one that hangs
	a.DatabaseURL = standby.URL()
	visits := crowd.Finish()
	visits = append(visits, known...)
	a.AskAgain(visits, edges, 5)
	a.Audit(visits, cluster.Expect{SoldOut: true})
	checkEpochs(t, a)
}

// pool looks into another database than the test's.
func pool(t *testing.T, databaseURL string) *pgxpool.Pool {
	t.Helper()
	p, err := pgxpool.New(t.Context(), databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}
