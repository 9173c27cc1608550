//go:build unix

package faults_test

import (
	"net/http"
	"strings"
	"testing"

	"notsale/loadtest/faults/cluster"
)

// An audit that never finds anything proves nothing: each of these must be found.
func TestAuditFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	a := cluster.New(t, cluster.Options{Stock: 60})
	edges, _ := a.StartAll(1, 1, 1, 2)
	visits := a.Crowd(edges, cluster.CrowdOptions{Clients: 8}).Finish()
	want := cluster.Expect{SoldOut: true}
	if found := a.Findings(visits, want); len(found) > 0 {
		t.Fatalf("before anything was spoilt: %v", found)
	}
	expect := func(what, kind string) {
		t.Helper()
		found := strings.Join(a.Findings(visits, want), "\n")
		if !strings.Contains(found, kind+":") {
			t.Errorf("%s: %q is not among the findings:\n%s", what, kind, found)
		}
	}
	// What is wrong in the ledger alone is the auditor's to find; kind is what the
	// checker says of it besides, if anything.
	for _, c := range []struct{ what, kind, spoil, mend string }{
		{"a chain", "", `UPDATE commits SET chain = sha256(chain) WHERE sequence = (SELECT max(sequence) FROM commits)`, ``},
		{"the cursor's chain", "", `UPDATE cursors SET chain = sha256(chain)`, ``},
		{
			"a decision", "I5",
			`UPDATE decisions SET decided_at = decided_at + interval '1 second' WHERE position = (SELECT min(position) FROM decisions WHERE reason = 0)`,
			`UPDATE decisions SET decided_at = decided_at - interval '1 second' WHERE position = (SELECT min(position) FROM decisions WHERE reason = 0)`,
		},
		{
			"an owner", "I1",
			`UPDATE items SET code_id = gen_random_uuid() WHERE item_id = 7`,
			`UPDATE items SET code_id = d.code_id FROM decisions AS d WHERE items.item_id = 7 AND items.sale_id = d.sale_id AND items.position = d.position`,
		},
		{
			"owners who bought nothing", "I1",
			`UPDATE items SET user_id = 'greedy'`,
			`UPDATE items SET user_id = d.user_id FROM decisions AS d WHERE items.sale_id = d.sale_id AND items.position = d.position`,
		},
		{
			"an attempt twice", "I4",
			`INSERT INTO checkout_attempts (attempt_id, sale_id, attempted_at, user_param, item_param, outcome, code_id, edge)
				SELECT gen_random_uuid(), sale_id, attempted_at, user_param, item_param, outcome, code_id, edge
				FROM checkout_attempts WHERE code_id IS NOT NULL LIMIT 1`,
			`DELETE FROM checkout_attempts WHERE attempt_id IN (SELECT max(attempt_id::text)::uuid FROM checkout_attempts
				WHERE code_id IS NOT NULL GROUP BY code_id HAVING count(*) > 1)`,
		},
		{"an item unsold", "I1", `DELETE FROM items WHERE item_id = 9`, ``},
		{"a user with too many", "I2", `WITH all_of_them AS (UPDATE decisions SET user_id = 'greedy' WHERE reason = 0) UPDATE items SET user_id = 'greedy'`, ``},
		{"a decision gone", "I5", `DELETE FROM decisions WHERE position = (SELECT max(position) FROM decisions WHERE reason = 0)`, ``},
	} {
		a.Exec(c.spoil)
		expect(c.what, "audit")
		if c.kind != "" {
			expect(c.what, c.kind)
		}
		if c.mend != "" {
			a.Exec(c.mend)
		}
	}
	for _, v := range visits {
		if v.Status == http.StatusOK && v.Item != 9 {
			last := &v.Purchases[len(v.Purchases)-1]
			spoilt := *last
			spoilt.Body = strings.Replace(spoilt.Body, `"time":"2`, `"time":"3`, 1)
			v.Purchases = append(v.Purchases, spoilt)
			expect("two bodies", "I3")
			spoilt.Status, spoilt.Body = http.StatusConflict, `{"type":"urn:notsale:problem:item-taken"}`
			v.Purchases[len(v.Purchases)-1] = spoilt
			expect("a refusal of what was sold", "I6")
			spoilt.Status, spoilt.Body = http.StatusInternalServerError, ""
			v.Purchases[len(v.Purchases)-1] = spoilt
			expect("an answer of another status", "answer")
			spoilt.Status, spoilt.Waits = http.StatusAccepted, false
			v.Purchases[len(v.Purchases)-1] = spoilt
			expect("a 202 without Retry-After", "answer")
			v.Purchases = v.Purchases[:len(v.Purchases)-1]
			break
		}
	}
	visits[0].Status = 0
	expect("a shopper without an answer", "answer")
}
