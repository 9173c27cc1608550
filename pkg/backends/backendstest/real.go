package backendstest

import (
	"os"
	"os/exec"
	"testing"
)

// realRequired tells whether a missing program fails tests, as in CI.
func realRequired() bool { return os.Getenv("NOTSALE_REQUIRE_REAL") == "1" }

// RequireReal skips the test when a program that it needs was not found, saying
// so; with NOTSALE_REQUIRE_REAL=1 it fails the test instead.
func RequireReal(t testing.TB, name string, found bool) {
	t.Helper()
	switch {
	case found:
	case realRequired():
		t.Fatalf("%s is not installed, and NOTSALE_REQUIRE_REAL=1 demands it: install it", name)
	default:
		t.Skipf("%s is not installed: install it to run this test", name)
	}
}

// Chromium gives the path of a Chromium or Chrome browser. Without one the test
// is skipped or fails, as by RequireReal.
func Chromium(t testing.TB) string {
	t.Helper()
	for _, name := range []string{
		"chromium",
		"chromium-browser",
		"google-chrome",
		"google-chrome-stable",
		"/Applications/Chromium.app/Contents/MacOS/Chromium",
		"/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
	} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	RequireReal(t, "chromium", false)
	return ""
}
