//go:build crashpoints

package crash

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

// variable says where to die: a point, or point:n for the n-th time.
const variable = "NOTSALE_CRASH_AT"

var (
	chosen, times = choose(os.Getenv(variable))
	reached       atomic.Int64
)

func choose(text string) (point string, times int64) {
	point, count, counted := strings.Cut(text, ":")
	if !counted {
		count = "1"
	}
	times, err := strconv.ParseInt(count, 10, 64)
	if err != nil || times < 1 || point != "" && !slices.Contains(Points(), point) {
		panic(fmt.Sprintf("%s=%q: want a point, or point:n, of %v", variable, text, Points()))
	}
	return point, times
}

// At dies if the point is the chosen one, and is reached for the chosen time.
func At(point string) {
	if point != chosen || reached.Add(1) != times {
		return
	}
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Kill()
	}
	select {} // whoever is here does nothing more
}
