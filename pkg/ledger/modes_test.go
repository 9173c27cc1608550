package ledger_test

import (
	"strings"
	"testing"

	"notsale/pkg/ledger"
)

// However a URL wants queries to be executed, all that a ledger is asked works,
// or the URL is refused at once.
func TestEachQueryExecMode(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			l, err := ledger.Open(t.Context(), ledger.Config{URL: withParameter(t, w.DatabaseURL, "default_query_exec_mode", mode), Name: mode, Conns: 2})
			if err != nil {
				if !strings.Contains(err.Error(), mode) {
					t.Errorf("the refusal does not name it: %v", err)
				}
				return
			}
			t.Cleanup(l.Close)
			w.exercise(t, l)
		})
	}
}
