//go:build unix

package backends

import (
	"testing"

	"go.uber.org/goleak"
)

func TestStopLeavesNoGoroutine(t *testing.T) {
	before := goleak.IgnoreCurrent()
	b := start(t, Config{Data: newSeeded(t), Ephemeral: true})
	stop(t, b.Stop)
	goleak.VerifyNone(t, before)
}
