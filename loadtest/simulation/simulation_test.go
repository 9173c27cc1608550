package simulation_test

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"notsale/loadtest/simulation"
	"notsale/pkg/effort"
)

var (
	seed    = flag.Uint64("seed", 0, "run this seed only, and print its trace")
	without = flag.String("without", "", "leave these faults of the seed out, by number from 0: 1,3")
	from    = flag.Uint64("from", 1, "first seed")
	runs    = flag.Uint64("runs", seeds(), "how many seeds are run")
)

func seeds() uint64 {
	if effort.Race {
		return 50
	}
	return uint64(effort.Of(300, 3000))
}

// TestReplay runs one seed, as a failing test has printed it.
func TestReplay(t *testing.T) {
	if *seed == 0 {
		t.Skip("no -seed given")
	}
	cfg, err := simulation.Without(simulation.Draw(*seed), *without)
	if err != nil {
		t.Fatal(err)
	}
	r := simulation.Run(cfg, true)
	t.Logf("%+v\n%s", r.Config, strings.Join(r.Lines, "\n"))
	for _, v := range r.Violations {
		t.Error(v)
	}
}

// TestSeeds runs many seeds: none may violate anything, and together they must
// reach everything that happens only sometimes.
func TestSeeds(t *testing.T) {
	if *seed != 0 {
		t.Skip("-seed given")
	}
	n := *runs
	started := time.Now()
	sometimes, points, crashes, sold := map[simulation.Sometimes]int{}, map[string]int{}, 0, 0
	for s := *from; s < *from+n; s++ {
		r := simulation.Run(simulation.Draw(s), false)
		for k, n := range r.Sometimes {
			sometimes[k] += n
		}
		for point, n := range r.Points {
			points[point] += n
		}
		crashes += r.Crashes
		sold += r.Sold
		if len(r.Violations) > 0 {
			report(t, r)
		}
	}
	effort.Figure(t, fmt.Sprintf("%d sales with %d items sold and %d crashes", n, sold, crashes), time.Since(started), time.Duration(n)*time.Minute/2000)
	for _, s := range simulation.AllSometimes {
		t.Logf("%8d × %s", sometimes[s], s)
		if sometimes[s] == 0 && effort.Long() {
			t.Errorf("never reached: %s", s)
		}
	}
	for _, point := range simulation.Points() {
		t.Logf("%8d × crashed at %s", points[point], point)
		if points[point] == 0 && effort.Long() {
			t.Errorf("never crashed at %s", point)
		}
	}
}

// report shrinks a failing run and says how to replay it.
func report(t *testing.T, r simulation.Result) {
	t.Helper()
	small, left := simulation.Shrink(r)
	t.Fatalf("seed %d: %s\nreplay: go test ./loadtest/simulation -run TestReplay -v -seed %d -without %q\n%+v",
		r.Config.Seed, strings.Join(small.Violations, "\n"), r.Config.Seed, left, small.Config)
}

// Regressions: seeds that once showed a defect. See DEFECTS.md.
func TestRegressionSeeds(t *testing.T) {
	for _, s := range []uint64{1, 1103} {
		cfg := simulation.Draw(s)
		cfg.Faults = slices.DeleteFunc(cfg.Faults, func(f simulation.Fault) bool { return f.Point != "" }) // drawn since
		if r := simulation.Run(cfg, false); len(r.Violations) > 0 {
			report(t, r)
		}
	}
}

// The same seed gives the same run, event by event.
func TestSameSeedSameTrace(t *testing.T) {
	for s := uint64(1); s <= uint64(effort.Of(20, 100)); s++ {
		cfg := simulation.Draw(s)
		a, b := simulation.Run(cfg, false), simulation.Run(cfg, true)
		if a.Trace != b.Trace {
			t.Fatalf("seed %d: traces %x and %x", s, a.Trace, b.Trace)
		}
	}
	if simulation.Run(simulation.Draw(1), false).Trace == simulation.Run(simulation.Draw(2), false).Trace {
		t.Error("two seeds, one trace")
	}
}
