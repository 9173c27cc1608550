package effort_test

import (
	"testing"

	"notsale/pkg/effort"
)

func TestTheShortFormIsTheDefault(t *testing.T) {
	for value, long := range map[string]bool{"": false, "0": false, "1": true} {
		t.Setenv("NOTSALE_LONG", value)
		if effort.Long() != long || effort.Of(1, 2) != map[bool]int{false: 1, true: 2}[long] {
			t.Errorf("NOTSALE_LONG=%q: long %v, size %d", value, effort.Long(), effort.Of(1, 2))
		}
	}
}
