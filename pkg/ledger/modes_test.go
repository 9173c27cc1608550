package ledger_test

import (
	"errors"
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
			engine := w.openSale(t, l, 1, 10, 2)
			w.lead(t, l, 1)
			b := packed(engine, ask(engine.Sale(), 1, 0, "ann"))
			if err := l.Commit(t.Context(), 1, 1, b); err != nil {
				t.Errorf("Commit: %v", err)
			}
			for name, call := range calls(l, b) {
				switch err := call(t.Context()); {
				case err == nil, errors.Is(err, ledger.ErrNotFound), errors.Is(err, ledger.ErrFenced), errors.Is(err, ledger.ErrMoved):
				default:
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
}
