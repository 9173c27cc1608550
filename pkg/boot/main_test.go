package boot_test

import (
	"log/slog"
	"testing"
	"time"

	"go.uber.org/goleak"

	"notsale/pkg/effort"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen soon.
const patience = effort.Patience

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// receive waits for the next value.
func receive[T any](t *testing.T, what string, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatalf("%s: nothing came", what)
	}
	panic("unreachable")
}
