//go:build unix

package main

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"notsale/pkg/effort"
)

// A soak of a few short slots runs to its end and finds nothing.
func TestSoak(t *testing.T) {
	effort.NeedsLong(t)
	var out, errs bytes.Buffer
	status := run(t.Context(), []string{"--for", "75s", "--slot", "25s", "--stock", "1000", "--unsold", "3"}, &out, &errs)
	if status != exitOK || !strings.Contains(out.String(), "every audit is clean") {
		t.Errorf("status %d\n%s%s", status, out.String(), errs.String())
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--for", "1s"}, {"--slot", "1s"}, {"--unsold", "1"}, {"--stock", "0"}, {"--clients", "0"}, {"more"}} {
		if o, err := parse(args, io.Discard); err == nil {
			t.Errorf("%v: %+v", args, o)
		}
	}
	if o, err := parse(nil, io.Discard); err != nil || o.length.Hours() != 2 {
		t.Errorf("the default: %+v, %v", o, err)
	}
}
