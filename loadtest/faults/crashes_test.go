//go:build unix

package faults_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"notsale/loadtest/faults/cluster"
	"notsale/loadtest/overlay"
	"notsale/pkg/effort"
)

// points are where processes die: before or after a call to a server, by role. The
// simulator has all of them die at each call; what it shows of the logic is shown here
// of the program.
var points = []string{
	"allocator/before-renew", "allocator/after-renew", "allocator/before-take", "allocator/after-take", "allocator/after-sale",
	"allocator/before-opening", "allocator/before-read", "allocator/after-read", "allocator/before-decision-page", "allocator/after-decision-page",
	"allocator/before-commit", "allocator/after-commit", "allocator/before-learn", "allocator/after-learn", "allocator/before-reply", "allocator/after-reply",
	"recorder/before-record-attempts", "recorder/after-record-attempts",
	"scheduler/before-claim", "scheduler/before-open-slot", "scheduler/after-open-slot", "scheduler/before-create-checkouts",
	"scheduler/after-create-checkouts", "scheduler/after-create-purchases", "scheduler/before-publish-opening", "scheduler/after-publish-opening",
	"scheduler/before-mark-open", "scheduler/after-mark-open", "scheduler/before-put", "scheduler/after-put",
	"edge/after-publish-attempts", "edge/before-publish-pack", "edge/after-publish-pack",
}

// pointsForOne is of how many points one is tried in the short form.
const pointsForOne = 10

// At each point a process of its role dies while everybody buys; another goes on, and
// exactly the stock is sold.
func TestCrashPoints(t *testing.T) {
	t.Parallel()
	const stock = 40
	program := mortal(t)
	n := 0
	t.Run("points", func(t *testing.T) {
		for _, point := range points {
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

// mortal builds the program with processes that die where they are told.
func mortal(t *testing.T) (program string) {
	t.Helper()
	folder := t.TempDir()
	o, err := overlay.New("../..", folder)
	if err != nil {
		t.Fatal(err)
	}
	for role, logic := range map[string]string{
		cluster.Allocator: "services/allocator", cluster.Edge: "services/edge/shop", cluster.Recorder: "services/recorder", cluster.Scheduler: "services/scheduler",
	} {
		if err := o.Mortal(role, logic); err != nil {
			t.Fatal(err)
		}
	}
	flag, err := o.Flag()
	if err != nil {
		t.Fatal(err)
	}
	program = filepath.Join(folder, "notsale")
	if text, err := exec.Command("go", "build", flag, "-ldflags=-s -w", "-o", program, "notsale/services/notsale").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return program
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
	case role == cluster.Edge:
		edges, _ := s.StartAll(1, 1, 1, 1)
		m := s.mortal(role, ":2")
		crowd := s.crowd(append(edges, m))
		s.dies(m)
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
	return s.Start(role, cluster.Unready, cluster.Program(s.program), cluster.Env(overlay.CrashAt, s.point+times))
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
