//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/prometheus/client_golang/prometheus"

	"notsale/pkg/allocation"
	"notsale/pkg/code"
	"notsale/pkg/sale"
	"notsale/pkg/wire"
	"notsale/services/auditor"
	"notsale/services/notsale/notsaletest"
	"notsale/services/recorder"
)

// audited is a sale with some of everything, sold and recorded.
func audited(t *testing.T) (*front, sale.Sale) {
	t.Helper()
	f := newFront(t, nil)
	of := f.OpenSale(6, 2)
	directory, err := f.Stream("directory").Directory(t.Context())
	if err == nil {
		err = directory.Put(t.Context(), wire.Entry{Sale: of, State: sale.Open}) // from which a recorder learns of it
	}
	if err != nil {
		t.Fatal(err)
	}
	f.allocate()
	r, err := recorder.New(recorder.DefaultConfig(), f.Ledger("recorder"), f.Stream("recorder"), f.Log, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	f.Run(r.Run)
	for item := of.FirstItem; item <= of.FirstItem+3; item++ {
		user := notsaletest.User(int(item) / 2)
		f.Post(t, notsaletest.PurchasePath(f.Checkout(t, user, int64(item)).Code))
		for n := range 2 {
			f.Post(t, notsaletest.CheckoutPath(notsaletest.User(n), int64(item))) // refused: the cache knows
		}
	}
	publishRefused(t, f, of)
	f.Post(t, "/checkout?user_id=%00&id=1")
	notsaletest.Eventually(t, "attempts are recorded", func() bool {
		return f.Count(`SELECT count(*) FROM checkout_attempts WHERE sale_id = 1`) == 13
	})
	return f, of
}

// publishRefused puts requests into the stream that an edge would have refused
// from the cache: the engine refuses them, and one that nobody can read.
func publishRefused(t *testing.T, f *front, of sale.Sale) {
	t.Helper()
	late := sale.InstantOf(time.Now().Add(time.Hour))
	requests := []allocation.Request{
		{Number: 1, Code: code.ID{1}, Item: of.FirstItem, User: "late", Expires: late},
		{Number: 2, Code: code.ID{2}, Item: of.FirstItem + 1, User: "late", Expires: 1},
		{Number: 3, Code: code.ID{1}, Item: of.FirstItem, User: "late", Expires: late},
	}
	s := f.Stream("publisher")
	for _, data := range [][]byte{wire.AppendPack(nil, "test", requests), []byte("not a pack")} {
		if err := s.PublishPack(t.Context(), of.ID, data); err != nil {
			t.Fatal(err)
		}
	}
	notsaletest.Eventually(t, "all is decided", func() bool { return f.Count(`SELECT position FROM cursors`) == 8 })
}

func (f *front) audit(t *testing.T, id sale.ID) *auditor.Report {
	t.Helper()
	r, err := auditor.Audit(t.Context(), f.Ledger("auditor"), f.Stream("auditor"), id, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAuditOfAnHonestSaleIsClean(t *testing.T) {
	f, of := audited(t)
	r := f.audit(t, of.ID)
	if !r.Clean() || r.Sold != 4 || r.Decisions != 7 || r.Requests != 8 || r.Attempts != 13 {
		t.Errorf("%+v", r)
	}
}

// Every column of the protected tables: a change is found and named exactly.
// The columns that are not protected are listed with the reason.
func TestAuditFindsEveryChangedColumn(t *testing.T) {
	unprotected := map[string]string{
		"sales.state":                   "follows from what is sold; moves with time",
		"sales.created_at":              "when the row was made: no message says so",
		"sales.opened_at":               "when the row was opened: no message says so",
		"sales.sold_out_at":             "when it was committed: no message says so",
		"sales.last_item":               "generated from first_item and stock",
		"cursors.epoch":                 "which allocator decides; never part of what is decided",
		"cursors.holder":                "which allocator decides; never part of what is decided",
		"cursors.stock":                 "guards the constraint only; sales.stock is compared",
		"cursors.stream_created":        "tells a stream that was made again; checked by the allocator",
		"commits.epoch":                 "which allocator decided; never part of what is decided",
		"commits.committed_at":          "when it was committed: no message says so",
		"checkout_attempts.recorded_at": "when it was recorded: no message says so",
		"checkout_attempts.sale_id":     "moved to another sale, it is missing here and unfounded there",
	}
	isKey := map[string]bool{ // a row under another key is missing here, or unfounded there
		"sale_id": true, "generation": true, "sequence": true, "position": true, "item_id": true, "attempt_id": true,
	}
	f, of := audited(t)
	for _, table := range []string{"sales", "cursors", "commits", "decisions", "items", "checkout_attempts"} {
		for column, kind := range f.columns(t, table) {
			name := table + "." + column
			if _, ok := unprotected[name]; ok {
				continue
			}
			t.Run(name, func(t *testing.T) {
				restore, refused := f.change(t, table, column, kind)
				if refused {
					return // a constraint of the database stands before the audit
				}
				r := f.audit(t, of.ID)
				restore()
				if r.Clean() {
					t.Fatal("not found")
				}
				for _, finding := range r.Findings {
					if finding.Table == table && (finding.Field == column || isKey[column]) {
						return
					}
				}
				t.Errorf("found, but not named: %v", r.Findings)
			})
		}
	}
	if r := f.audit(t, of.ID); !r.Clean() {
		t.Errorf("not clean after all was restored: %v", r.Findings)
	}
}

// columns returns the columns of a table with their types.
func (f *front) columns(t *testing.T, table string) map[string]string {
	t.Helper()
	rows, err := f.DB.Query(t.Context(), `SELECT column_name, data_type FROM information_schema.columns WHERE table_name = $1 AND table_schema = 'public'`, table)
	if err != nil {
		t.Fatal(err)
	}
	columns, name, kind := map[string]string{}, "", ""
	if _, err := pgx.ForEachRow(rows, []any{&name, &kind}, func() error { columns[name] = kind; return nil }); err != nil {
		t.Fatal(err)
	}
	if len(columns) == 0 {
		t.Fatalf("no table %s", table)
	}
	return columns
}

// change changes one value of one row of the sale, past every constraint, and
// returns how to undo it.
func (f *front) change(t *testing.T, table, column, kind string) (restore func(), refused bool) {
	t.Helper()
	other := map[string]string{
		"bigint": "%s + 1", "integer": "%s + 1", "smallint": "CASE %[1]s WHEN 0 THEN 5 ELSE 0 END", "text": "%s || 'x'",
		"uuid": "gen_random_uuid()", "timestamp with time zone": "%s + interval '1 second'", "bytea": "set_byte(%[1]s, 0, (get_byte(%[1]s, 0) + 1) %% 256)",
	}[kind]
	if other == "" {
		t.Fatalf("a column of type %s: say how to change it", kind)
	}
	value := fmt.Sprintf(other, column)
	if !strings.Contains(other, "%") {
		value = other
	}
	row := fmt.Sprintf(`(SELECT ctid FROM %s WHERE sale_id = 1 AND %s IS NOT NULL ORDER BY ctid LIMIT 1)`, table, column)
	var before any
	if err := f.DB.QueryRow(t.Context(), fmt.Sprintf(`SELECT %s FROM %s WHERE ctid = %s`, column, table, row)).Scan(&before); err != nil {
		t.Fatal(err)
	}
	var at string
	if err := f.DB.QueryRow(t.Context(), fmt.Sprintf(`UPDATE %s SET %s = %s WHERE ctid = %s RETURNING ctid::text`, table, column, value, row)).Scan(&at); err != nil {
		var constraint *pgconn.PgError
		if errors.As(err, &constraint) && strings.HasPrefix(constraint.Code, "23") { // integrity constraint violation
			return nil, true
		}
		t.Fatal(err)
	}
	return func() {
		if _, err := f.DB.Exec(context.WithoutCancel(t.Context()), fmt.Sprintf(`UPDATE %s SET %s = $1 WHERE ctid = $2::tid`, table, column), before, at); err != nil {
			t.Fatal(err)
		}
	}, false
}

func (f *front) exec(t *testing.T, sql string) {
	t.Helper()
	if _, err := f.DB.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

func TestAuditFindsRowsDeletedAndMadeUp(t *testing.T) {
	f, of := audited(t)
	for name, c := range map[string]struct{ do, undo, want string }{
		"a decision deleted": {
			`CREATE TABLE kept AS SELECT * FROM decisions WHERE position = 2; DELETE FROM decisions WHERE position = 2`,
			`INSERT INTO decisions SELECT * FROM kept; DROP TABLE kept`, "decisions 2 missing",
		},
		"the last decision deleted": {
			`CREATE TABLE kept AS SELECT * FROM decisions ORDER BY position DESC LIMIT 1; DELETE FROM decisions WHERE position = (SELECT position FROM kept)`,
			`INSERT INTO decisions SELECT * FROM kept; DROP TABLE kept`, "missing",
		},
		"an item deleted": {
			`CREATE TABLE kept AS SELECT * FROM items WHERE item_id = 1; DELETE FROM items WHERE item_id = 1`,
			`INSERT INTO items SELECT * FROM kept; DROP TABLE kept`, "items 1 missing",
		},
		"an item given away": {
			`INSERT INTO items (item_id, sale_id, user_id, code_id, position, sold_at) VALUES (6, 1, 'friend', gen_random_uuid(), 3, now())`,
			`DELETE FROM items WHERE item_id = 6`, "items 6 unfounded",
		},
		"a commit deleted": {
			`CREATE TABLE kept AS SELECT * FROM commits ORDER BY sequence LIMIT 1; DELETE FROM commits WHERE sequence = (SELECT sequence FROM kept)`,
			`INSERT INTO commits SELECT * FROM kept; DROP TABLE kept`, "commits",
		},
		"a hole made up": {
			`INSERT INTO holes (sale_id, generation, matching_sequence, cursor_sequence, cursor_position, cursor_chain, cursor_time, resume_sequence, epoch) VALUES (1, 2, 1, 3, 2, decode(repeat('00', 32), 'hex'), now(), 2, 1)`,
			`DELETE FROM holes`, "holes 2",
		},
		"an attempt deleted": {
			`CREATE TABLE kept AS SELECT * FROM checkout_attempts WHERE sale_id = 1 ORDER BY attempt_id LIMIT 1; DELETE FROM checkout_attempts WHERE attempt_id = (SELECT attempt_id FROM kept)`,
			`INSERT INTO checkout_attempts SELECT * FROM kept; DROP TABLE kept`, "checkout_attempts",
		},
		"an attempt made up": {
			`INSERT INTO checkout_attempts (attempt_id, sale_id, attempted_at, user_param, item_param, outcome, edge) VALUES ('00000000-0000-4000-8000-000000000001', 1, now(), 'u', '1', 'sold-out', 'e')`,
			`DELETE FROM checkout_attempts WHERE attempt_id = '00000000-0000-4000-8000-000000000001'`, "unfounded",
		},
	} {
		t.Run(name, func(t *testing.T) {
			f.exec(t, c.do)
			r := f.audit(t, of.ID)
			f.exec(t, c.undo)
			for _, finding := range r.Findings {
				if strings.Contains(finding.String(), c.want) {
					return
				}
			}
			t.Errorf("findings %v, want %q", r.Findings, c.want)
		})
	}
}
