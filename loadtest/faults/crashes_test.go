//go:build unix

package faults_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"notsale/loadtest/faults/cluster"
	"notsale/pkg/crash"
	"notsale/pkg/effort"
)

// simulated are points that only a lost tail of the stream leads to: package
// simulation crashes there a hundred times in its long form, and package
// faults loses a real tail.
var simulated = map[string]bool{
	"allocator/before-applied":         true,
	"allocator/after-applied":          true,
	"allocator/before-open-generation": true,
	"allocator/after-open-generation":  true,
}

// pointsForOne is of how many points one is tried in the short form.
const pointsForOne = 7

// At each point that package crash names a process of its role dies while
// everybody buys; another goes on, and exactly the stock is sold. What the
// simulator shows of the logic is shown once of the program.
func TestCrashPoints(t *testing.T) {
	t.Parallel()
	const stock = 40
	program := filepath.Join(t.TempDir(), "notsale")
	if text, err := exec.Command("go", "build", "-tags", "crashpoints", "-ldflags=-s -w", "-o", program, "notsale/services/notsale").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	n := 0
	t.Run("points", func(t *testing.T) {
		for _, point := range crash.Points() {
			if simulated[point] {
				continue
			}
			if n++; !effort.Long() && n%pointsForOne != 0 {
				continue
			}
			t.Run(strings.ReplaceAll(point, "/", " "), func(t *testing.T) {
				t.Parallel()
				s := &mortals{Cluster: cluster.New(t, cluster.Options{Stock: stock}), t: t, program: program, point: point}
				started := time.Now()
				visits := s.run()
				sold := time.Since(started)
				s.Audit(visits, cluster.Expect{SoldOut: true})
				t.Logf("%d items in %v by %d visits; purchases %v", stock, sold.Round(time.Millisecond), len(visits), cluster.Statuses(visits, true))
			})
		}
	})
	t.Logf("%d points tried", n)
}

// mortals are those of a small sale during which somebody dies.
type mortals struct {
	*cluster.Cluster

	t       *testing.T
	program string
	point   string
}

func (s *mortals) run() []*cluster.Visit {
	role, _, _ := strings.Cut(s.point, "/")
	switch {
	case role == cluster.Scheduler:
		s.dies(s.mortal(role, ""))
		edges, _ := s.StartAll(1, 1, 1, 1)
		return s.crowd(edges).Finish()
	case role == cluster.Recorder:
		edges, _ := s.StartAll(1, 1, 0, 1)
		m := s.mortal(role, "")
		crowd := s.crowd(edges)
		s.dies(m)
		s.Start(role)
		return crowd.Finish()
	case s.needsTraffic():
		m := s.mortal(role, ":2")
		edges, _ := s.StartAll(1, 0, 1, 1)
		s.Eventually("it leads", m.Leads)
		s.Start(role) // a standby
		crowd := s.crowd(edges)
		s.dies(m)
		return crowd.Finish()
	}
	edges, _ := s.StartAll(1, 0, 1, 1)
	m := s.mortal(role, "")
	crowd := s.crowd(edges)
	s.dies(m)
	s.Start(role)
	return crowd.Finish()
}

// needsTraffic reports whether an allocator comes to the point only when
// somebody buys; until then another may be started as its standby.
func (s *mortals) needsTraffic() bool {
	for _, step := range []string{"-commit", "-learn", "-reply"} {
		if strings.HasSuffix(s.point, step) {
			return true
		}
	}
	return false
}

// mortal starts a process that will die at the point.
func (s *mortals) mortal(role, times string) *cluster.Process {
	s.t.Helper()
	return s.Start(role, cluster.Unready, cluster.Program(s.program), cluster.Env("NOTSALE_CRASH_AT", s.point+times))
}

// dies waits until the process has died, by its own hand.
func (s *mortals) dies(m *cluster.Process) {
	s.t.Helper()
	select {
	case <-m.Ended():
	case <-time.After(effort.Patience):
		s.t.Fatalf("%s did not come to %s", m.Name, s.point)
	}
	if !m.Killed() {
		s.t.Fatalf("%s ended with status %d before %s:\n%s", m.Name, m.Status(), s.point, m.Log())
	}
}

func (s *mortals) crowd(edges []*cluster.Process) *cluster.Crowd {
	s.t.Helper()
	return s.Crowd(edges, cluster.CrowdOptions{Clients: 8})
}
