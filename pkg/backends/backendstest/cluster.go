//go:build unix

package backendstest

import (
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Cluster is NATS servers that replicate their streams.
type Cluster struct {
	t     testing.TB
	nodes []*server.Options
	runs  []*server.Server // nil: stopped
}

// clusterWait is the last resort of waiting for a cluster.
const clusterWait = time.Minute

// NewCluster starts a cluster of three and waits until it has a leader. All are
// stopped when the test ends.
func NewCluster(t testing.TB) *Cluster {
	t.Helper()
	const size = 3
	c := &Cluster{t: t, runs: make([]*server.Server, size)}
	ports := freePorts(t, 2*size)
	routes := make([]*url.URL, size)
	for i := range routes {
		routes[i] = &url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", ports[i])}
	}
	for i := range size {
		c.nodes = append(c.nodes, &server.Options{
			ServerName: fmt.Sprintf("node-%d", i), Host: "127.0.0.1", Port: ports[size+i], NoSigs: true, NoLog: true,
			JetStream: true, StoreDir: t.TempDir(), JetStreamMaxStore: testStreamStore, DisableJetStreamBanner: true,
			Cluster: server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: ports[i]}, Routes: routes,
		})
	}
	t.Cleanup(func() {
		for i := range c.runs {
			c.Stop(i)
		}
	})
	for i := range size {
		c.Start(i)
	}
	c.await("a leader", func() bool {
		for _, s := range c.runs {
			if s.JetStreamIsLeader() {
				return len(s.JetStreamClusterPeers()) == size
			}
		}
		return false
	})
	return c
}

// freePorts finds ports that are free at this moment.
func freePorts(t testing.TB, n int) (ports []int) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port) //nolint:forcetypeassert // a TCP listener's
	}
	return ports
}

// URL names all servers.
func (c *Cluster) URL() string {
	var urls []string
	for _, o := range c.nodes {
		urls = append(urls, fmt.Sprintf("nats://127.0.0.1:%d", o.Port))
	}
	return strings.Join(urls, ",")
}

// Start starts a server, on the store that it had.
func (c *Cluster) Start(i int) {
	c.t.Helper()
	s, err := server.NewServer(c.nodes[i].Clone())
	if err != nil {
		c.t.Fatal(err)
	}
	s.Start()
	c.runs[i] = s
	c.await("the server takes connections", func() bool { return s.ReadyForConnections(time.Second) })
}

// Stop takes a server away.
func (c *Cluster) Stop(i int) {
	if c.runs[i] != nil {
		c.runs[i].Shutdown()
		c.runs[i].WaitForShutdown()
		c.runs[i] = nil
	}
}

// Holder returns the server that leads a stream of the global account.
func (c *Cluster) Holder(stream string) int {
	c.t.Helper()
	holder := -1
	c.await("the stream has a leader", func() bool {
		for i, s := range c.runs {
			if s != nil && s.JetStreamIsStreamLeader(server.DEFAULT_GLOBAL_ACCOUNT, stream) {
				holder = i
			}
		}
		return holder >= 0
	})
	return holder
}

func (c *Cluster) await(what string, holds func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(clusterWait); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.t.Fatalf("after %v still not: %s", clusterWait, what)
		}
	}
}
