//go:build unix

package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"notsale/pkg/sale"
)

// TestAuditFindsDeletedRows deletes each kind of row.
func TestAuditFindsDeletedRows(t *testing.T) {
	t.Parallel()
	e := audited(t)
	e.dropChecks(t)
	for table, rows := range kinds {
		for _, k := range rows {
			r := e.row(t, table, k)
			want := fmt.Sprintf("1 %s %s missing", table, r.key)
			switch {
			case table == "sales":
				want = "1 not found; 0 sales 1 missing sale_uuid; 0 * unfounded" // all that names it
			case table == "cursors":
				want = "1 not found"
			case table == "decisions" && slices.Contains(lostRefusals, k.name):
				want = "" // its position may have been a repeat's
			case table == "holes", table == "items" && k.name == "lost", table == "decisions" && k.name == "lost granted":
				want += "; " + notAudited
			}
			name := fmt.Sprintf("%s: %s", table, k.name)
			columns := e.list(t, table)
			e.testRows(t, name,
				fmt.Sprintf(`CREATE TABLE kept AS SELECT %[3]s FROM %[1]s WHERE ctid = '%[2]s'; DELETE FROM %[1]s WHERE ctid = '%[2]s'`, table, r.at, columns),
				fmt.Sprintf(`INSERT INTO %[1]s (%[2]s) SELECT %[2]s FROM kept; DROP TABLE kept`, table, columns), want)
		}
	}
}

// list is a table's columns that can be written, with commas.
func (e *exhibit) list(t *testing.T, table string) string {
	t.Helper()
	var names []string
	for _, c := range e.columns(t, table) {
		if !c.generated {
			names = append(names, c.name)
		}
	}
	return strings.Join(names, ", ")
}

// testRows changes rows, audits, undoes it, and compares what was found.
func (e *exhibit) testRows(t *testing.T, name, do, undo, want string) {
	t.Helper()
	e.exec(t, do)
	found := e.find(t, e.recorded)
	e.exec(t, undo)
	var wanted []string
	if want != "" {
		wanted = strings.Split(want, "; ")
	}
	if !match(found, wanted) {
		t.Errorf("%s: found %q, want %q", name, found, wanted)
	}
}

// TestAuditFindsRowsMadeUp inserts rows that nothing in the streams gives.
func TestAuditFindsRowsMadeUp(t *testing.T) {
	t.Parallel()
	const (
		unread   = `INSERT INTO decisions (sale_id, position, reason, decided_at) SELECT `
		decision = `INSERT INTO decisions (sale_id, position, code_id, item_id, user_id, reason, decided_at) SELECT `
		item     = `INSERT INTO items (item_id, sale_id, user_id, code_id, position, sold_at) SELECT `
		commit   = `INSERT INTO commits (sale_id, generation, sequence, position, chain, packs, epoch) SELECT `
		hole     = `INSERT INTO holes (sale_id, generation, matching_sequence, cursor_sequence, cursor_position, cursor_chain, cursor_time, resume_sequence, epoch) SELECT `
		attempt  = `INSERT INTO checkout_attempts (attempt_id, sale_id, attempted_at, user_param, item_param, outcome, edge)
			SELECT '00000000-0000-4000-8000-000000000001', `
		lostTime = `, decided_at FROM decisions WHERE sale_id = 1 AND position = 10`
	)
	e := audited(t)
	e.dropChecks(t)
	for _, c := range []struct{ name, do, undo, want string }{
		{"a decision beyond the cursor", unread + `1, 1000000, 1, now()`, `decisions WHERE position = 1000000`, "1 decisions 1000000 unfounded"},
		{"a decision before the first", unread + `1, -3, 1, now()`, `decisions WHERE position = -3`, "1 decisions -3 unfounded"},
		{"a decision at a repeat's position", decision + `1, 4, gen_random_uuid(), 1, 'friend', 0, now()`, `decisions WHERE position = 4`, "1 decisions 4 unfounded"},
		{"a decision of no sale", unread + `77, 1, 1, now()`, `decisions WHERE sale_id = 77`, "0 decisions 77/1 unfounded"},
		{"a lost grant without an item", decision + `1, 11, gen_random_uuid(), 7, 'friend', 0` + lostTime, `decisions WHERE position = 11`, "1 items 7 differs user_id; 1 items 7 differs code_id; 1 items 7 differs position; 1 items 7 differs sold_at; " + notAudited},
		{
			"a lost refusal against the rules", decision + `1, 11, gen_random_uuid(), 7, 'friend', 3` + lostTime, `decisions WHERE position = 11`,
			"1 decisions 11 differs reason; " + notAudited,
		},
		{"a lost refusal at another time", decision + `1, 11, gen_random_uuid(), 5, 'friend', 5, now()`, `decisions WHERE position = 11`, "1 decisions 11 impossible decided_at; " + notAudited},
		// Not to be found: that somebody was refused whom the rules would refuse
		// there, at a position which may have been a repeat's.
		{"a lost refusal by the rules", decision + `1, 11, gen_random_uuid(), 5, 'friend', 5` + lostTime, `decisions WHERE position = 11`, ""},

		{"an item of another sale", item + `10, 1, 'friend', gen_random_uuid(), 3, now()`, `items WHERE item_id = 10`, "1 items 10 unfounded; 2 items 10 unfounded"},
		{"an item sold in the hole", item + `77, 1, 'friend', gen_random_uuid(), 11, now()`, `items WHERE item_id = 77`, "1 items 77 unfounded"},
		{"an item beyond the cursor", item + `10, 2, 'friend', gen_random_uuid(), 1000000, now()`, `items WHERE item_id = 10`, "2 items 10 unfounded"},
		{"an item of no sale", item + `77, 77, 'friend', gen_random_uuid(), 3, now()`, `items WHERE item_id = 77`, "0 items 77 unfounded"},
		{
			"a lost grant given to a friend, in both tables",
			`UPDATE items SET user_id = 'friend' WHERE item_id = 5; UPDATE decisions SET user_id = 'friend' WHERE sale_id = 1 AND position = 9`,
			`UPDATE items SET user_id = 'fay' WHERE item_id = 5; UPDATE decisions SET user_id = 'fay' WHERE sale_id = 1 AND position = 9`,
			"1 decisions 9 differs user_id; " + notAudited,
		},
		{
			"a wrong row in the hole, and two before it",
			`UPDATE decisions SET user_id = 'friend' WHERE sale_id = 1 AND position IN (2, 9); UPDATE items SET user_id = 'friend' WHERE item_id = 1`,
			`UPDATE decisions SET user_id = CASE position WHEN 2 THEN 'bob' ELSE 'fay' END WHERE sale_id = 1 AND position IN (2, 9); UPDATE items SET user_id = 'ann' WHERE item_id = 1`,
			"1 decisions 2 differs user_id; 1 decisions 9 differs user_id; 1 items 1 differs user_id; " + notAudited,
		},

		{"a commit before the first", commit + `1, 1, 1, 0, '', '', 1`, `commits WHERE (sale_id, generation, sequence) = (1, 1, 1)`, "1 commits 1/1 unfounded"},
		{"a commit in no generation", commit + `1, 0, 3, 0, '', '', 1`, `commits WHERE generation = 0`, "1 commits 0/3 unfounded"},
		{"a commit after the lost ones", commit + `1, 1, 13, 15, '', '', 1`, `commits WHERE (sale_id, generation, sequence) = (1, 1, 13)`, "1 commits 1/13 unfounded"},
		{"a commit before the hole's end", commit + `1, 2, 7, 15, '', '', 1`, `commits WHERE (sale_id, generation, sequence) = (1, 2, 7)`, "1 commits 2/7 unfounded"},
		{"a commit beyond the cursor", commit + `1, 2, 1000000, 9, '', '', 1`, `commits WHERE sequence = 1000000`, "1 commits 2/1000000 unfounded"},
		{"a commit of a later generation", commit + `1, 7, 9, 9, '', '', 1`, `commits WHERE generation = 7`, "1 commits 7/9 unfounded"},
		{"a commit of no sale", commit + `77, 1, 2, 9, '', '', 1`, `commits WHERE sale_id = 77`, "0 commits 77/1/2 unfounded"},

		{"another hole", hole + `1, 3, 9, 12, 21, chain, now(), 10, 1 FROM cursors WHERE sale_id = 1`, `holes WHERE generation = 3`, "1 holes 3 unfounded"},
		{"a hole before the first", hole + `1, 1, 1, 1, 0, '', now(), 2, 1`, `holes WHERE generation = 1`, "1 holes 1 unfounded"},
		{"a hole in a sale without", hole + `2, 2, 1, 3, 2, chain, now(), 2, 1 FROM cursors WHERE sale_id = 2`, `holes WHERE sale_id = 2`, "2 holes 2 unfounded"},

		{
			"an attempt", attempt + `1, now(), 'u', '1', 'sold-out', 'e'`, `checkout_attempts WHERE edge = 'e'`,
			"1 checkout_attempts 00000000-0000-4000-8000-000000000001 unfounded",
		},
		{
			"an attempt on no sale", attempt + `0, now(), 'u', '1', 'sold-out', 'e'`, `checkout_attempts WHERE edge = 'e'`,
			"0 checkout_attempts 00000000-0000-4000-8000-000000000001 unfounded",
		},
		{
			"an attempt on a sale that is not", attempt + `77, now(), 'u', '1', 'sold-out', 'e'`, `checkout_attempts WHERE edge = 'e'`,
			"0 checkout_attempts 00000000-0000-4000-8000-000000000001 unfounded",
		},
	} {
		if !strings.HasPrefix(c.undo, "UPDATE") {
			c.undo = `DELETE FROM ` + c.undo
		}
		e.testRows(t, c.name, c.do, c.undo, c.want)
	}
	e.testRows(t, "nothing", `SELECT 1`, `SELECT 1`, "")
}

// A cursor that was set back to an earlier commit leaves everything after it
// without foundation; and a sale that no stream has cannot be audited.
func TestAuditFindsACursorSetBack(t *testing.T) {
	t.Parallel()
	e := audited(t)
	e.dropChecks(t)
	e.testRows(t, "set back by two commits",
		`CREATE TABLE kept AS SELECT sequence, position, chain FROM cursors WHERE sale_id = 1;
		 UPDATE cursors SET (sequence, position, chain, sold) = (SELECT sequence, position, chain, 8 FROM commits WHERE (sale_id, generation, sequence) = (1, 2, 10)) WHERE sale_id = 1`,
		`UPDATE cursors SET (sequence, position, chain) = (SELECT sequence, position, chain FROM kept) WHERE sale_id = 1; DROP TABLE kept`,
		"1 decisions 20 unfounded; 1 decisions 21 unfounded; 1 commits 2/11 unfounded; 1 commits 2/12 unfounded; 1 cursors 1 differs pack_hash; 1 cursors 1 differs pack_time; 1 cursors 1 differs engine_time")
	e.exec(t, `INSERT INTO sales (sale_id, sale_uuid, installation, opens_at, stock, user_limit, first_item, seed, rules)
		SELECT 77, gen_random_uuid(), installation, now(), 5, 2, 1000, 7, rules FROM sales WHERE sale_id = 1`)
	e.exec(t, `INSERT INTO cursors SELECT 77, epoch, holder, generation, sequence, position, sold, stock, chain, pack_hash, pack_time, engine_time, stream_created FROM cursors WHERE sale_id = 1`)
	if _, err := e.audits(t, e.tape, sale.ID(77)); err == nil {
		t.Error("a sale without a stream was audited")
	}
}
