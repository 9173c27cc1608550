package planted_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"notsale/pkg/effort"
	"notsale/pkg/planted"
)

// check is a test that finds a planted bug, and what it says then.
type check struct {
	command command
	says    string
}

// command is what go test is given.
type command struct{ pkg, run string }

var (
	seeds      = command{"notsale/pkg/simulation", "^TestSeeds$"}
	commits    = command{"notsale/pkg/ledger", "^TestCommit"}
	recordings = command{"notsale/pkg/ledger", "^TestAttemptsAreStoredOnce$"}
	keys       = command{"notsale/pkg/rejection", "^TestFactsAreOfTheirSaleItemAndUserOnly$"}
)

// caught says which check finds which bug. The simulator names the invariant
// that does not hold.
var caught = map[string]check{
	planted.FenceSkipped:          {commits, "the replaced allocator got <nil>"},
	planted.ReplyBeforeCommit:     {seeds, "I5: code"},
	planted.CacheBeforeLedger:     {seeds, "before the ledger said so"},
	planted.WallClock:             {seeds, "I8: sale"},
	planted.LimitOffByOne:         {seeds, "I2: user"},
	planted.TailCheckSkipped:      {seeds, "I8: sale"},
	planted.SoldOutRefusesGranted: {seeds, "I6: code"},
	planted.CacheKeyWithoutUUID:   {keys, "TestFactsAreOfTheirSaleItemAndUserOnly/"},
	planted.CheckoutBeforeAck:     {seeds, "I4: checkout"},
	planted.TimeoutIsRefusal:      {seeds, "before the ledger said so"},
	planted.CodeDecidedAnew:       {seeds, "I3: code"},
	planted.PackIndexIgnored:      {seeds, "I5: code"},
	planted.TwoTransactions:       {commits, "TestCommitWritesAllOrNothing/an_earlier_epoch"},
	planted.StandbyAfterCursor:    {seeds, "I8: sale"},
	planted.AttemptTwice:          {recordings, "the same two: 2 stored"},
}

// patience is a last resort: to compile takes long on a busy machine.
const patience = 5 * effort.Patience

// goTest runs a check on a build with these tags and returns what it said and
// its exit status.
func goTest(t *testing.T, c command, tags string) (text string, status int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "test", "-tags", tags, "-count=1", "-vet=off", "-run", c.run, c.pkg)
	// The short form finds each, and fifteen builds are enough.
	cmd.Env = append(os.Environ(), "NOTSALE_LONG=", "GOFLAGS="+strings.ReplaceAll(os.Getenv("GOFLAGS"), "-race", ""))
	cmd.WaitDelay = time.Second // a child of the test may hold the pipe
	started := time.Now()
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("not done after %v:\n%s", patience, out)
	}
	t.Logf("go test -tags %q -run '%s' %s: %v", tags, c.run, c.pkg, time.Since(started).Round(time.Millisecond))
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// short are the bugs that the short form builds in: one that the simulator finds,
// and one that a test on a real store finds.
var short = []string{planted.ReplyBeforeCommit, planted.CacheKeyWithoutUUID}

// Every planted bug fails the check that is there to find it.
func TestPlantedBugsAreCaught(t *testing.T) {
	for _, name := range planted.All() {
		t.Run(name, func(t *testing.T) {
			c, listed := caught[name]
			if !listed {
				t.Fatal("no check is known to find it")
			}
			if !slices.Contains(short, name) {
				effort.NeedsLong(t)
			}
			text, status := goTest(t, c.command, "planted_"+name)
			switch {
			case status == 0:
				t.Errorf("not caught:\n%s", text)
			case status != 1 || !strings.Contains(text, "--- FAIL: ") || strings.Contains(text, "[build failed]"):
				t.Errorf("status %d is not a failed test:\n%s", status, text)
			case !strings.Contains(text, c.says):
				t.Errorf("caught, but not by %q:\n%s", c.says, text)
			}
		})
	}
}

// Without a bug the same checks pass, in a build of the same kind.
func TestChecksPassWithoutThem(t *testing.T) {
	effort.NeedsLong(t)
	var done []command
	for _, name := range planted.All() {
		c := caught[name].command
		if slices.Contains(done, c) {
			continue
		}
		done = append(done, c)
		if text, status := goTest(t, c, ""); status != 0 || !strings.HasPrefix(text, "ok") {
			t.Errorf("%s: status %d\n%s", c.run, status, text)
		}
	}
}

func TestNothingIsPlantedByDefault(t *testing.T) {
	if planted.Bug != "" {
		t.Fatalf("this build has the bug %s", planted.Bug)
	}
	names := planted.All()
	slices.Sort(names)
	if n := len(slices.Compact(names)); n != 15 || len(caught) != n {
		t.Errorf("%d bugs, %d with a check, want 15", n, len(caught))
	}
}
