//go:build unix

package faults_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"notsale/loadtest/faults/cluster"
)

// An external NATS that acknowledges before it syncs is refused at start where
// it can be asked, and where not, people are told once that it was not verified.
func TestNATSThatIsNotDurable(t *testing.T) {
	t.Parallel()
	a := cluster.New(t, cluster.Options{})
	a.Spoilt() // nothing is sold, and the server is gone before an audit
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, HTTPHost: "127.0.0.1", HTTPPort: server.RANDOM_PORT, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: t.TempDir(), JetStreamMaxStore: 1 << 30,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	a.Eventually("the server is ready", func() bool { return s.ReadyForConnections(time.Second) })
	a.NATSURL = s.ClientURL()
	refused := a.Start(cluster.Scheduler, cluster.Unready, cluster.Flags("--nats-monitor", "http://"+s.MonitorAddr().String()))
	<-refused.Ended()
	if refused.Status() == 0 || !strings.Contains(refused.Log(), "sync_interval: always") {
		t.Errorf("status %d, it says\n%s", refused.Status(), refused.Log())
	}
	trusting := a.Start(cluster.Scheduler, cluster.Env("REDIS_URL", "")) // which it has no use for
	a.Eventually("a sale is open", func() bool { return a.Number(`SELECT count(*) FROM sales WHERE state = 'open'`) == 1 })
	if n := strings.Count(trusting.Log(), "it was not verified that NATS"); n != 1 {
		t.Errorf("told %d times that it was not verified, want once:\n%s", n, trusting.Log())
	}
}
