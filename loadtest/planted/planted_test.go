// Package planted_test builds bugs into the program, to see that they are caught: a
// check that has never failed proves nothing. Each is one that this system must not
// have and that somebody could write; testdata has a patch for each, which a build
// applies to a copy of the files, and the check that is there to find it fails.
//
//	go test ./loadtest/planted -run 'TestPlantedBugsAreCaught/fence_skipped'
package planted_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"notsale/loadtest/overlay"
	"notsale/pkg/effort"
)

// check is a test that finds a planted bug, and what it says then.
type check struct {
	command command
	says    string
}

// command is a package, which of its tests are run, and files of other tests, which
// are not built: those of the models of servers need the servers.
type command struct {
	pkg, run string
	without  []string
}

var (
	seeds      = command{"loadtest/simulation", "^TestSeeds$", []string{"conformance_test.go", "conformance_scheduler_test.go"}}
	commits    = command{pkg: "pkg/ledger", run: "^TestCommit"}
	recordings = command{pkg: "pkg/ledger", run: "^TestAttemptsAreStoredOnce$"}
	keys       = command{pkg: "pkg/rejection", run: "^TestFactsAreOfTheirSaleItemAndUserOnly$"}
)

// caught says which check finds which bug. The simulator names the invariant
// that does not hold.
var caught = map[string]check{
	// A commit checks the cursor, not the epoch.
	"fence_skipped": {commits, "the replaced allocator got <nil>"},
	// Shoppers are told before the ledger has it.
	"reply_before_commit": {seeds, "I5: code"},
	// A code that is sent once more is answered while its first decision is not committed.
	"repeat_before_commit": {seeds, "I5: code"},
	// The cache learns facts before the ledger has them.
	"cache_before_ledger": {seeds, "before the ledger said so"},
	// The engine reads this machine's clock instead of the stream's.
	"wall_clock": {seeds, "I8: sale"},
	// A user may buy one item too many.
	"limit_off_by_one": {seeds, "I2: user"},
	// The message at the cursor is not compared with the one that was decided.
	"tail_check_skipped": {seeds, "I8: sale"},
	// "Sold out" refuses purchases without proof that their code was not granted.
	"sold_out_refuses_granted": {seeds, "I6: code"},
	// All sales share their keys in Redis.
	"cache_key_without_uuid": {keys, "TestFactsAreOfTheirSaleItemAndUserOnly/"},
	// A checkout is answered before its attempt is stored.
	"checkout_before_ack": {seeds, "I4: checkout"},
	// A purchase that got no decision in time is refused.
	"timeout_is_refusal": {seeds, "refused from the cache as sold-out"},
	// A repeated code is decided once more.
	"code_decided_anew": {seeds, "I3: code"},
	// Every request of a pack gets the first one's reply.
	"pack_index_ignored": {seeds, "I5: code"},
	// Decisions and cursor are committed one after the other.
	"two_transactions": {commits, "TestCommitWritesAllOrNothing/an_earlier_epoch"},
	// An allocator that takes over reads on after the cursor, and never sees the
	// message at it again.
	"standby_after_cursor": {seeds, "I8: sale"},
	// The engine of a warm standby, or of a takeover, does not know the codes that were
	// decided before.
	"standby_forgets_codes": {seeds, "I8: sale"},
	// Who reads a sale's decisions takes a page of them for all.
	"page_taken_for_all": {seeds, "kind=inconsistent-ledger"},
	// A lease is not noticed whose takeover got its answer too late.
	"lease_not_adopted": {seeds, "is decided to"},
	// A sale has its opening record before its stream of checkouts.
	"record_before_checkouts": {seeds, "has no stream of checkouts"},
	// A message that is delivered again is recorded again.
	"attempt_twice": {recordings, "the same two: 2 stored"},
	// A recorder moves its cursor, and then stores the attempts.
	"recorder_cursor_first": {seeds, "I4: checkout"},
	// A recorder that begins in the middle of a stream passes over the first message.
	"recorder_skips_after_restart": {seeds, "I4: checkout"},
}

// patience is a last resort: to compile takes long on a busy machine.
const patience = 5 * effort.Patience

const root = "../.."

// with runs the tests with a bug in them, and returns what they said and their exit
// status.
func (c command) with(t *testing.T, bug string) (text string, status int) {
	t.Helper()
	folder := t.TempDir()
	binary := filepath.Join(folder, "tests")
	o, err := overlay.New(root, folder)
	if err == nil {
		err = o.Patch(filepath.Join("testdata", bug+".patch"))
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range c.without {
		o.Remove(path.Join(c.pkg, name))
	}
	flag, err := o.Flag()
	if err != nil {
		t.Fatal(err)
	}
	if text, status := run(t, c.pkg, "go", "test", "-c", flag, "-vet=off", "-ldflags=-s -w", "-o", binary); status != 0 {
		t.Fatalf("status %d\n%s", status, text)
	}
	return run(t, c.pkg, binary, "-test.run", c.run)
}

// run runs a command in a package's folder, without the race detector, and for
// the short form: it finds them all.
func run(t *testing.T, pkg string, args ...string) (text string, status int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = filepath.Join(root, pkg)
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
var short = []string{"reply_before_commit", "cache_key_without_uuid"}

// Every planted bug fails the check that is there to find it, which passes without, or
// the tests of its package would fail.
func TestPlantedBugsAreCaught(t *testing.T) {
	patches, err := filepath.Glob("testdata/*.patch")
	if err != nil || len(patches) != len(caught) {
		t.Fatalf("%d patches, %d checks: %v", len(patches), len(caught), err)
	}
	for _, bug := range slices.Sorted(maps.Keys(caught)) {
		c := caught[bug]
		t.Run(bug, func(t *testing.T) {
			if !slices.Contains(short, bug) {
				effort.NeedsLong(t)
			}
			text, status := c.command.with(t, bug)
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
}

// Every patch applies, also in the short form: a bug that cannot be built in any
// more would be found by nobody.
func TestPatchesApply(t *testing.T) {
	for bug := range caught {
		o, err := overlay.New(root, t.TempDir())
		if err == nil {
			err = o.Patch(filepath.Join("testdata", bug+".patch"))
		}
		if err != nil {
			t.Error(err)
		}
	}
}
