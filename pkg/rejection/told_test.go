package rejection

import (
	"testing"
	"time"
)

// An outage is told of once, however often something succeeds meanwhile, until
// nothing has failed for a while; the next one is told of again.
func TestAnOutageIsToldOfOnce(t *testing.T) {
	t.Parallel()
	var o outage
	now := time.Unix(1_800_000_000, 0)
	if o.ends(now) {
		t.Error("an end of what never began")
	}
	for round := range 3 {
		if !o.fails(now) {
			t.Errorf("outage %d is not told of", round)
		}
		for range 100 {
			now = now.Add(steady / 2)
			if o.ends(now) {
				t.Error("it ends, and failed a moment ago")
			}
			if o.fails(now) {
				t.Error("it is told of again")
			}
		}
		now = now.Add(steady)
		if !o.ends(now) || o.ends(now) {
			t.Error("its end is not told of once")
		}
	}
}
