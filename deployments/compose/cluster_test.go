//go:build linux

package compose

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestClusterAsShipped sells out on three NATS servers, with TLS between all
// parts, while the leader of the sale's stream is killed, then its successor, then
// Postgres.
func TestClusterAsShipped(t *testing.T) {
	t.Parallel()
	s := newShop(t, append(clusterSettings(t), "COMPOSE_FILE=docker-compose.yml:deployments/compose.tls.yml")...)
	s.compose("up", "--wait")
	for _, url := range []string{"nats://", "redis://", "sslmode=disable"} {
		for _, c := range s.inspect() {
			if c.Service() == "edge" && strings.Contains(s.docker("cp", c.ID+":/run/secrets", "-"), url) {
				t.Errorf("an edge speaks to %s", url)
			}
		}
	}
	s.sellOutAmong([]func(){
		func() { s.kill(s.leader("SALE_1")) },
		func() { s.kill(s.leader("SALE_1")) },
		func() { s.kill("postgres") },
	})
	s.settle()
	t.Logf("audit: %s", s.compose("run", "--rm", "-T", "audit", "--sale", "1"))
	s.testLogs(t)
}

// A cluster's profile without its settings, and its volumes with those of one
// server, are refused, with what to do.
func TestClusterWithoutItsSettings(t *testing.T) {
	t.Parallel()
	s := newShop(t, "COMPOSE_PROFILES=cluster")
	if out := s.try("up", "--wait", "cluster"); !strings.Contains(out, "exit") {
		t.Errorf("the profile alone was taken: %s", out)
	}
	if out := s.try("logs", "cluster"); !strings.Contains(out, "cat deployments/cluster.env") {
		t.Errorf("it does not say what to do: %s", out)
	}
	s.compose("run", "--rm", "-T", "secrets")
	s.env = append(s.env, clusterSettings(t)...)
	if out := s.try("run", "--rm", "-T", "secrets"); !strings.Contains(out, "1 server(s), and 3") {
		t.Errorf("the volumes of one server were given to three: %s", out)
	}
}

// clusterSettings are the lines of cluster.env.
func clusterSettings(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../cluster.env")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.ReplaceAll(strings.TrimSpace(string(text)), `"`, ""), "\n")
	return slices.DeleteFunc(lines, func(line string) bool { return strings.HasPrefix(line, "#") })
}

// leader names the server that leads a stream.
func (s *shop) leader(stream string) string {
	s.t.Helper()
	var leader string
	s.wait("a leader of "+stream, func() error {
		out, err := s.command(s.t.Context(), "run", "--rm", "--network", s.name+"_stores", "--entrypoint", "wget", "nats:"+standIns["NATS_TAG"],
			"-q", "-O", "-", "http://nats:8222/jsz?accounts=1&streams=1", "http://nats-2:8222/jsz?accounts=1&streams=1").Output()
		if err != nil {
			return err
		}
		var told struct {
			Accounts []struct {
				Streams []struct {
					Name    string                  `json:"name"`
					Cluster struct{ Leader string } `json:"cluster"`
				} `json:"stream_detail"`
			} `json:"account_details"`
		}
		for d := json.NewDecoder(strings.NewReader(string(out))); d.More(); {
			if err := d.Decode(&told); err != nil {
				return err
			}
			for _, a := range told.Accounts {
				for _, one := range a.Streams {
					if one.Name == stream && one.Cluster.Leader != "" {
						leader = one.Cluster.Leader
						return nil
					}
				}
			}
		}
		return fmt.Errorf("nobody leads it: %.300s", out)
	})
	s.t.Logf("%s leads %s", leader, stream)
	return leader
}
