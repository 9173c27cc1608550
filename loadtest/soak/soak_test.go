//go:build unix

package soak

import (
	"flag"
	"testing"
	"time"

	"notsale/loadtest/faults/cluster"
	"notsale/pkg/effort"
)

var length = flag.Duration("for", 0, "how long the shop runs; 0: for a few short slots, in the long form only")

func TestMain(m *testing.M) { cluster.Main(m) }

// A soak runs to its end and finds nothing.
func TestSoak(t *testing.T) {
	o := DefaultOptions()
	if *length > 0 {
		o.Length = *length
	} else {
		effort.NeedsLong(t)
		o = Options{Length: 75 * time.Second, Slot: 25 * time.Second, Stock: 1000, Unsold: 3, Seed: 1}
	}
	Run(t, o)
}
