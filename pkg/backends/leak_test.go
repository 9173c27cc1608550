//go:build unix

package backends

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestStopLeavesNoGoroutine(t *testing.T) {
	before := goleak.IgnoreCurrent()
	b := start(t, Config{Data: newData(t), Ephemeral: true})
	stopWithin(t, 20*time.Second, b.Stop)
	goleak.VerifyNone(t, before)
}
