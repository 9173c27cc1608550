package planted_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
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

// command is a package beside this one, and which of its tests are run.
type command struct{ pkg, run string }

var (
	seeds      = command{"simulation", "^TestSeeds$"}
	commits    = command{"ledger", "^TestCommit"}
	recordings = command{"ledger", "^TestAttemptsAreStoredOnce$"}
	keys       = command{"rejection", "^TestFactsAreOfTheirSaleItemAndUserOnly$"}
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
	planted.TimeoutIsRefusal:      {seeds, "refused from the cache as sold-out"},
	planted.CodeDecidedAnew:       {seeds, "I3: code"},
	planted.PackIndexIgnored:      {seeds, "I5: code"},
	planted.TwoTransactions:       {commits, "TestCommitWritesAllOrNothing/an_earlier_epoch"},
	planted.StandbyAfterCursor:    {seeds, "I8: sale"},
	planted.AttemptTwice:          {recordings, "the same two: 2 stored"},
}

// patience is a last resort: to compile takes long on a busy machine.
const patience = 5 * effort.Patience

// binaries has the tests of each package that was asked for, with the bugs in
// them, in a folder.
type binaries struct {
	folder string
	built  map[string]string
}

// of returns the binary of a package's tests.
func (b *binaries) of(t *testing.T, pkg string) string {
	t.Helper()
	if b.built[pkg] == "" {
		path := filepath.Join(b.folder, pkg+".test")
		text, status := run(t, pkg, "go", "test", "-c", "-tags", "planted", "-vet=off", "-o", path)
		if status != 0 {
			t.Fatalf("status %d\n%s", status, text)
		}
		b.built[pkg] = path
	}
	return b.built[pkg]
}

// check runs a check with a bug, or with none, and returns what it said and its
// exit status.
func (b *binaries) check(t *testing.T, c command, bug string) (text string, status int) {
	t.Helper()
	t.Setenv("NOTSALE_PLANTED", bug)
	return run(t, c.pkg, b.of(t, c.pkg), "-test.run", c.run)
}

// run runs a command in a package's folder, without the race detector, and for
// the short form: it finds them all.
func run(t *testing.T, pkg string, args ...string) (text string, status int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = filepath.Join("..", pkg)
	cmd.Env = append(os.Environ(), "NOTSALE_LONG=", "GOFLAGS="+strings.ReplaceAll(os.Getenv("GOFLAGS"), "-race", ""))
	cmd.WaitDelay = time.Second // a child of the test may hold the pipe
	started := time.Now()
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("not done after %v:\n%s", patience, out)
	}
	t.Logf("%s: %v", strings.Join(args, " "), time.Since(started).Round(time.Millisecond))
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// short are the bugs that the short form tries: one that the simulator finds,
// and one that a test on a real store finds.
var short = []string{planted.ReplyBeforeCommit, planted.CacheKeyWithoutUUID}

// Every planted bug fails the check that is there to find it, and without a bug
// the same checks pass, in the same build.
func TestPlantedBugsAreCaught(t *testing.T) {
	tests := binaries{folder: t.TempDir(), built: map[string]string{}}
	commands := map[command]bool{}
	for _, name := range planted.All() {
		t.Run(name, func(t *testing.T) {
			c, listed := caught[name]
			if !listed {
				t.Fatal("no check is known to find it")
			}
			commands[c.command] = true
			if !slices.Contains(short, name) {
				effort.NeedsLong(t)
			}
			text, status := tests.check(t, c.command, name)
			switch {
			case status == 0:
				t.Errorf("not caught:\n%s", text)
			case status != 1 || !strings.Contains(text, "--- FAIL: "):
				t.Errorf("status %d is not a failed test:\n%s", status, text)
			case !strings.Contains(text, c.says):
				t.Errorf("caught, but not by %q:\n%s", c.says, text)
			}
		})
	}
	for c := range commands {
		t.Run("without "+c.run, func(t *testing.T) {
			effort.NeedsLong(t)
			if text, status := tests.check(t, c, ""); status != 0 || !strings.HasSuffix(text, "PASS\n") {
				t.Errorf("%s: status %d\n%s", c.run, status, text)
			}
		})
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
