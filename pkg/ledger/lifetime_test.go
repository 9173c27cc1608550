package ledger

import (
	"testing"
	"time"
)

// Where several hosts are named, sessions are kept: each new one may have to pass
// by a host that hangs, while an allocator's lease runs out.
func TestSessionsWithSeveralHostsAreKept(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]time.Duration{
		"postgres://u@one/d":                                time.Hour,
		"postgres://u@one,two/d":                            0,
		"postgres://u@one,two/d?pool_max_conn_lifetime=30m": 30 * time.Minute,
		"host=one,two user=u dbname=d":                      0,
	} {
		s, err := asked{}.open(t.Context(), Config{URL: url}, 1)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.pool.Config().MaxConnLifetime; got != want {
			t.Errorf("%s: for %v, want %v", url, got, want)
		}
		s.pool.Close()
	}
}
