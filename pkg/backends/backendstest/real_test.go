package backendstest

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// outcome records how RequireReal ends a test.
type outcome struct {
	testing.TB
	ended string
}

func (o *outcome) Helper() {}

func (o *outcome) Fatalf(format string, v ...any) { o.end("failed: " + fmt.Sprintf(format, v...)) }
func (o *outcome) Skipf(format string, v ...any)  { o.end("skipped: " + fmt.Sprintf(format, v...)) }

func (o *outcome) end(how string) {
	o.ended = how
	runtime.Goexit()
}

func TestRequireReal(t *testing.T) {
	for _, c := range []struct {
		demand, want string
		found        bool
	}{
		{"", "", true},
		{"1", "", true},
		{"", "skipped: some-server is not installed", false},
		{"1", "failed: some-server is not installed", false},
	} {
		t.Setenv("NOTSALE_REQUIRE_REAL", c.demand)
		o := &outcome{TB: t}
		done := make(chan struct{})
		go func() {
			defer close(done)
			RequireReal(o, "some-server", c.found)
		}()
		<-done
		if !strings.HasPrefix(o.ended, c.want) || (c.want == "") != (o.ended == "") {
			t.Errorf("found %v, demand %q: %q, want %q", c.found, c.demand, o.ended, c.want)
		}
	}
}

func TestChromium(t *testing.T) {
	if path := Chromium(t); path == "" {
		t.Error("empty path")
	}
}
