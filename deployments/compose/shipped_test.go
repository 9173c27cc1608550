//go:build linux

package compose

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"notsale/loadtest/hammer/shopper"
	"notsale/pkg/client"
)

// randoms are what the secrets are made of.
var randoms = regexp.MustCompile(`[0-9a-f]{48}|[A-Za-z0-9+/]{43}=`)

const (
	clients = 32    // who shop at once in these tests
	stock   = 10000 // of a sale, as shipped
)

// TestAsShipped is the life of a shop that runs as it is shipped: it sells out
// while each kind of container is killed and each store is restarted, edges come
// and go without a lost request, it is audited and archived, taken down, and
// answers as before on the same volumes, with other passwords.
func TestAsShipped(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.compose("up", "--wait")
	t.Run("each sees its own secrets only", s.testSecrets)
	t.Run("metrics are scraped from the network for operations", s.testMetrics)
	t.Run("edges come and go without a lost request", s.testScaling)

	faults := []func(){
		func() { s.kill("edge") },
		func() { s.kill("allocator") },
		func() { s.kill("recorder") },
		func() { s.kill("scheduler") },
		func() { s.kill("archiver") },
		func() { s.kill("balancer") },
		func() { s.compose("restart", "redis") },
		func() { s.compose("restart", "nats") },
		func() { s.compose("restart", "postgres") },
		func() { s.kill("redis") },
		func() { s.kill("nats") },
		func() { s.kill("postgres") },
	}
	res := s.sellOutAmong(faults)
	granted := granted(t, res)
	s.settle()
	t.Logf("audit: %s", s.compose("run", "--rm", "-T", "audit", "--sale", "1"))
	here := t.TempDir()
	s.compose("run", "--rm", "-T", "-v", here+":/here", "--user", strconv.Itoa(os.Getuid()), "audit", "report", "--sale", "1")
	if page, err := os.ReadFile(filepath.Join(here, "sale-1.html")); err != nil || !strings.Contains(string(page), "</html>") {
		t.Errorf("the report is no page: %v, %.200s", err, page)
	}
	t.Logf("archive: %s", s.compose("run", "--rm", "-T", "sale", "archive", "1"))
	t.Logf("its audit: %s", s.compose("run", "--rm", "-T", "audit", "--archive", "/archives/sale-1.notsale.tar"))
	if t.Run("the logs are JSON, and nobody was refused what it needs", s.testLogs); t.Failed() {
		return
	}

	s.compose("down", "-t", "30")
	s.docker("volume", "rm", s.name+"_secrets-edge", s.name+"_secrets-allocator")
	s.compose("up", "--wait")
	s.same(granted)
	t.Logf("audit with what it had before: %s", s.compose("run", "--rm", "-T", "audit", "--archive", "/archives/sale-1.notsale.tar", "--ledger"))
}

// sellOutAmong sells out the newest sale, a part of it beside each fault.
func (s *shop) sellOutAmong(faults []func()) *shopper.Result {
	s.t.Helper()
	cfg := shopper.DefaultConfig()
	cfg.Target, cfg.Clients, cfg.RunID = s.url, clients, "faults"
	unsold := s.unsold()
	part := max(unsold/int64(len(faults)+1), 1)
	began, over := make([]chan struct{}, len(faults)), make([]chan struct{}, len(faults))
	for i := range faults {
		began[i], over[i] = make(chan struct{}), make(chan struct{})
	}
	cfg.Pass = func(visit int64) {
		i := int(visit / part)
		if i < len(faults) && visit%part == 0 {
			close(began[i])
		}
		if i > 0 { // part i is sold after fault i-1
			select {
			case <-over[min(i, len(faults))-1]:
			case <-s.t.Context().Done():
			}
		}
	}
	done := make(chan *shopper.Result)
	failed := make(chan error, 1)
	go func() {
		defer close(done)
		res, err := shopper.Run(s.t.Context(), cfg)
		if err != nil {
			failed <- err
			return
		}
		done <- res
	}()
	for i, fault := range faults {
		select {
		case <-began[i]:
		case err := <-failed:
			s.t.Fatalf("shopping ended: %v", err)
		}
		fault()
		s.settle()
		close(over[i])
	}
	res := <-done
	if res == nil {
		s.t.Fatalf("shopping ended: %v", <-failed)
	}
	s.t.Logf("%d sold in %v; checkout to final answer: %+v; checkouts %v, purchases %v",
		res.Granted(), res.Wall, res.Journey, res.Checkout.Statuses, res.Purchase.Statuses)
	for _, v := range shopper.Check(s.t.Context(), res) {
		if !v.OK {
			s.t.Errorf("%s: %s", v.Name, v.Detail)
		}
	}
	return res
}

// unsold asks how many items the newest sale has left.
func (s *shop) unsold() int64 {
	s.t.Helper()
	sale, err := s.client().OpenSale(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return int64(sale.Stock - sale.Sold)
}

// granted are some codes that bought, with what they were answered.
func granted(t *testing.T, res *shopper.Result) []shopper.Outcome {
	t.Helper()
	all := slices.DeleteFunc(slices.Clone(res.Outcomes), func(o shopper.Outcome) bool { return !o.Granted() })
	if len(all) == 0 {
		t.Fatal("nothing was sold")
	}
	return all[:min(len(all), 50)]
}

// same checks that codes which bought are answered as they were.
func (s *shop) same(outcomes []shopper.Outcome) {
	s.t.Helper()
	shop := s.client()
	for _, o := range outcomes {
		if a, err := shop.Do(s.t.Context(), http.MethodPost, client.PurchaseTarget(o.Code)); a.Status != http.StatusOK || !bytes.Equal(a.Body, o.Body) {
			s.t.Fatalf("a code that was answered %s is answered %d %s (%v)", o.Body, a.Status, a.Body, err)
		}
	}
}

func (s *shop) client() *client.Client {
	s.t.Helper()
	c, err := client.New(client.Config{Base: s.url})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Close)
	return c
}

// testScaling checks out and buys without a pause, and never sends anything
// twice, while edges are added and taken away.
func (s *shop) testScaling(t *testing.T) {
	const shoppers, pause = 4, 50 * time.Millisecond
	shop := s.client()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var bought, next atomic.Int64
	next.Store(stock + 1) // from the last item on: those who come later begin with the first
	lost := make(chan string, shoppers)
	done := make(chan struct{})
	for i := range shoppers {
		go func() {
			defer func() { done <- struct{}{} }()
			for n := 0; ctx.Err() == nil; n++ {
				time.Sleep(pause) // the sale has to last
				item := next.Add(-1)
				a, err := shop.Do(t.Context(), http.MethodPost, client.CheckoutTarget(fmt.Sprintf("scale-%d-%d", i, n/10), item))
				if a.Status == http.StatusOK {
					a, err = shop.Do(t.Context(), http.MethodPost, client.PurchaseTarget(a.Code()))
				}
				if a.Status != http.StatusOK {
					lost <- fmt.Sprintf("item %d: %d %s (%v)", item, a.Status, a.Body, err)
					return
				}
				bought.Add(1)
			}
		}()
	}
	for _, edges := range []string{"4", "1", "3", "2"} {
		before := bought.Load()
		s.compose("up", "--wait", "--no-recreate", "--no-deps", "--scale", "edge="+edges, "edge", "balancer")
		t.Logf("%s edges, %d bought meanwhile", edges, bought.Load()-before)
	}
	stop()
	for range shoppers {
		<-done
	}
	close(lost)
	for one := range lost {
		t.Errorf("lost: %s", one)
	}
	if bought.Load() == 0 {
		t.Error("nothing was bought")
	}
}

// testSecrets looks into each container as the engine does, which reads what the
// container's own processes could: no secret of another identity is there.
func (s *shop) testSecrets(t *testing.T) {
	files := map[string]string{} // of each volume of secrets
	for _, c := range s.inspect() {
		if c.Service() == "secrets" {
			for _, m := range c.Mounts {
				if strings.HasPrefix(m.Destination, "/secrets/") {
					files[m.Name] = s.docker("cp", c.ID+":"+m.Destination, "-")
				}
			}
		}
	}
	if len(files) == 0 {
		t.Fatal("there are no secrets")
	}
	own := map[string]string{"audit": "auditor", "sale": "operator", "roles": "postgres"}
	for _, c := range s.inspect() {
		if c.Service() == "secrets" {
			continue
		}
		for _, m := range c.Mounts {
			secret := strings.HasPrefix(m.Name, s.name+"_secrets-")
			identity := c.Service()
			if other := own[identity]; other != "" {
				identity = other
			}
			if secret && (m.RW || m.Name != s.name+"_secrets-"+identity && (identity != "edge" || m.Name != s.name+"_secrets-codes")) {
				t.Errorf("%s has %s at %s, writable %v", c.Service(), m.Name, m.Destination, m.RW)
			}
		}
		told := strings.Join(c.Config.Env, "\n") + strings.Join(c.Config.Cmd, "\n") + strings.Join(c.Args, "\n")
		for volume, tar := range files {
			for _, secret := range randoms.FindAllString(tar, -1) {
				if strings.Contains(told, secret) {
					t.Errorf("%s has a secret of %s in its environment or arguments", c.Service(), volume)
				}
			}
		}
	}
}

// testMetrics scrapes each role as a Prometheus on the network "ops" would.
func (s *shop) testMetrics(t *testing.T) {
	for _, role := range []string{"edge", "allocator", "recorder", "scheduler", "archiver"} {
		out := s.docker("run", "--rm", "--network", s.name+"_ops", "--entrypoint", "wget", "nats:"+standIns["NATS_TAG"], "-q", "-O", "-", "http://"+role+":9090/metrics")
		memory := map[string]string{"edge": "9.66367641e+08"}[role] // nine tenths of its limit
		if memory == "" {
			memory = "4.8318382e+08"
		}
		if !strings.Contains(out, "\ngo_gc_gomemlimit_bytes "+memory+"\n") {
			t.Errorf("%s does not heed the limit of its memory, want %s", role, memory)
		}
	}
	if a, _ := s.client().Do(t.Context(), http.MethodPost, "/metrics"); a.Status == http.StatusOK {
		t.Error("shoppers can read the metrics")
	}
}

// testLogs reads what the roles said in all that happened.
func (s *shop) testLogs(t *testing.T) {
	lines := 0
	for line := range strings.Lines(s.logs("edge", "allocator", "recorder", "scheduler", "archiver")) {
		var entry struct{ Msg string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Errorf("not JSON: %s", line)
			return
		}
		lines++
		if strings.Contains(strings.ToLower(line), "permission") {
			t.Errorf("refused: %s", line)
		}
	}
	if lines == 0 {
		t.Error("nobody said anything")
	}
}
