package edge

import (
	"strings"
	"testing"

	"notsale/pkg/allocation"
	"notsale/pkg/sale"
)

// Each reason of a refusal has its own answer, which tells what came about where: a
// new one is answered, or this test names it.
func TestEveryReasonHasAnAnswer(t *testing.T) {
	of := &sale.Sale{UserLimit: 3}
	for reason := allocation.Granted + 1; reason.Valid(); reason++ {
		r := refusalOf(of, reason)
		if r.problem == problemRefused || r.detail == "" || strings.Contains(r.detail, "%!") {
			t.Errorf("%v is answered %q %q", reason, r.problem.slug, r.detail)
		}
		if scope := reason.Scope(); scope != allocation.ScopeCode && lost[scope] == "" {
			t.Errorf("nothing is said of where %v came about", reason)
		}
	}
	if r := refusalOf(of, 200); r.problem != problemRefused || !strings.Contains(r.detail, "reason-200") {
		t.Errorf("an unknown reason is answered %q %q", r.problem.slug, r.detail)
	}
}
