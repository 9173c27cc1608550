package effort

import (
	"fmt"
	"os"
	"testing"
	"time"
)

// Patience is how long a test waits for what must happen before it fails, where
// nothing tells it earlier. It is much longer than anything takes even on a busy
// machine, and nothing is measured by it.
const Patience = time.Minute

// Long reports whether the long forms are asked for.
func Long() bool { return os.Getenv("NOTSALE_LONG") == "1" }

// Update reports whether tests are to write their golden files anew.
func Update() bool { return os.Getenv("NOTSALE_UPDATE") == "1" }

// Of is the size of something in the form that is asked for.
func Of(short, long int) int {
	if Long() {
		return long
	}
	return short
}

// NeedsLong skips a test, or one case of it, that only the long form has.
func NeedsLong(t testing.TB) {
	t.Helper()
	if !Long() {
		t.Skip("only with NOTSALE_LONG=1")
	}
}

// Figure says in the test's log what was measured, and what it is meant to be.
// It fails nothing: the machine may have been busy, if only with other tests.
func Figure(t testing.TB, what string, measured, goal any) {
	t.Helper()
	t.Logf("figure: %s: %s, goal %s", what, text(measured), text(goal))
}

func text(figure any) string {
	if d, ok := figure.(time.Duration); ok {
		return d.Round(time.Millisecond).String()
	}
	return fmt.Sprint(figure)
}
