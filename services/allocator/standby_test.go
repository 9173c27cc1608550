//go:build unix

package allocator

import (
	"testing"

	"notsale/services/notsale/notsaletest"
)

// A sale under rules that this program does not have keeps a standby from no
// other sale.
func TestStandbyPassesOverUnknownRules(t *testing.T) {
	t.Parallel()
	stage := notsaletest.New(t)
	unknown, known := stage.OpenSale(5, 2), stage.OpenSale(5, 2)
	for _, text := range []string{
		`UPDATE sales SET rules = 1073741824 WHERE sale_id = 1`,
		`UPDATE cursors SET position = 1`, // only sales of which something is decided are followed
	} {
		if _, err := stage.DB.Exec(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	s := newStandby(stage.Ledger("standby"), stage.Log)
	if err := s.follow(t.Context()); err != nil {
		t.Error(err)
	}
	if s.hand(unknown.ID) != nil || s.hand(known.ID) == nil {
		t.Error("want an engine of the sale with known rules, and none of the other")
	}
}
