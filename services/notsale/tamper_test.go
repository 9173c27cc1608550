//go:build unix

package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/services/auditor"
)

// unaudited are the tables that an audit does not read, with the reason.
var unaudited = map[string]string{
	"allocators":       "who is alive; never part of what is decided",
	"archiver_lease":   "who archives; never part of what is decided",
	"leases":           "who decides; never part of what is decided",
	"recorded":         "where recorders read on; the rows that they wrote are compared",
	"attempt_cursors":  "where recorders read on; the rows that they wrote are compared",
	"attempt_holes":    "that a stream of attempts has lost its tail; rows without a message since then are counted as unproved",
	"installation":     "copied into every opening record, which is compared with sales.installation",
	"goose_db_version": "which migrations ran",
	"archives":         "what stands in archives; each is checked against it when it is read",
}

// unprotected are the columns whose change is not found, with the reason.
var unprotected = map[string]string{
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
	"holes.epoch":                   "which allocator found it; never part of what is decided",
	"holes.found_at":                "when it was found: no message says so",
	"checkout_attempts.recorded_at": "when it was recorded: no message says so",
}

// keys are how findings name the rows of the audited tables.
var keys = map[string]string{
	"sales": "sale_id::text", "cursors": "sale_id::text", "holes": "generation::text", "commits": "generation || '/' || sequence",
	"decisions": "position::text", "items": "item_id::text", "checkout_attempts": "attempt_id::text",
}

// kinds are the rows whose columns are changed, by table: what is special, and
// the condition that finds one.
var kinds = map[string][]kind{
	"sales":   {{"the sale", "true"}},
	"cursors": {{"the cursor", "true"}},
	"holes":   {{"the hole", "true"}},
	"commits": {
		{"first", "(generation, sequence) = (1, 2)"},
		{"middle", "(generation, sequence) = (1, 4)"},
		{"last before the hole", "(generation, sequence) = (1, 7)"},
		{"first lost", "(generation, sequence) = (1, 8)"},
		{"lost", "(generation, sequence) = (1, 10)"},
		{"last lost", "(generation, sequence) = (1, 12)"},
		{"first after the hole", "(generation, sequence) = (2, 8)"},
		{"last", "(generation, sequence) = (2, 12)"},
	},
	"decisions": {
		{"first granted", "position = 1"},
		{"taken", "position = 2"},
		{"expired", "position = 3"},
		{"malformed", "position = 5"},
		{"limit", "position = 7"},
		{"sold out", "position = 20"},
		{"last granted", "position = 19"},
		{"last", "position = 21"},
		{"lost granted", "position = 9"},
		{"lost taken", "position = 10"},
		{"lost expired", "position = 12"},
		{"lost malformed", "position = 13"},
		{"lost limit", "position = 15"},
	},
	"items": {{"first", "item_id = 1"}, {"lost", "item_id = 5"}, {"last", "item_id = 8"}},
	"checkout_attempts": {
		{"issued", "outcome = 'issued' AND user_param = 'ann' AND item_param = '1'"},
		{"sold out", "outcome = 'sold-out'"},
		{"invalid", "outcome = 'invalid-parameter'"},
		{"lost", "outcome = 'issued' AND user_param = 'gus'"},
	},
}

type kind struct{ name, where string }

// moved are the columns by which a row is another row: one is missing, and
// there is one that nothing founds.
var moved = map[string][]string{
	"sales.sale_id":                {"1 not found", "0 sales 1 missing sale_uuid", "0 * unfounded"}, // all that named it
	"cursors.sale_id":              {"1 not found"},
	"commits.sale_id":              {"1 commits {row} missing", "{stray}"},
	"commits.generation":           {"1 commits {row} missing", "1 commits {new} unfounded"},
	"commits.sequence":             {"1 commits {row} missing", "1 commits {new} unfounded"},
	"holes.sale_id":                {"1 holes {row} missing"}, // of no sale there is: a foreign key
	"holes.generation":             {"1 holes {row} missing", "1 holes {new} unfounded"},
	"decisions.sale_id":            {"1 decisions {row} missing", "{stray}"},
	"decisions.position":           {"1 decisions {row} missing", "1 decisions {new} unfounded"},
	"items.sale_id":                {"1 items {row} differs sale_id", "{stray}"},
	"items.item_id":                {"1 items {row} missing", "1 items {new} unfounded"},
	"checkout_attempts.sale_id":    {"1 checkout_attempts {row} missing", "{stray}"},
	"checkout_attempts.attempt_id": {"1 checkout_attempts {row} missing", "1 checkout_attempts {new} unfounded"},
}

// exception is a change that is found otherwise than by its column, or cannot be
// found.
type exception struct {
	column string
	kinds  []string
	value  string // part of the new value; empty: any
	want   []string
	reason string
}

// What the stream proves is named by its column, unless two rows or columns say
// the same thing and nothing third confirms one of them.
var exceptions = []exception{
	{"cursors.chain", []string{"the cursor"}, "||", nil, "beyond its 32 bytes nothing is read; a CHECK has the length"},
	{"cursors.pack_hash", []string{"the cursor"}, "||", nil, "beyond its 32 bytes nothing is read; a CHECK has the length"},
	{"holes.sale_id", []string{"the hole"}, "2", []string{"1 holes {row} missing", "{stray}", notAudited}, "the other sale has it; a foreign key keeps it from being nobody's"},

	{"decisions.sale_id", lostRefusals, "", []string{"{stray}"}, "a position that is free may have been a repeat's"},
	{"decisions.position", []string{"lost expired"}, "- 1", nil, "moved to a position that is free, among times that fit"},
	{"decisions.position", lostRefusals, "", []string{"1 decisions {new} unfounded"}, "a position that is free may have been a repeat's"},
	{"decisions.code_id", lostReadable, "gen_random", nil, "the checkout that gave the code may be lost, too"},
	{"decisions.item_id", []string{"lost expired"}, "- 1", nil, "no checkout is known for the code"},
	{"decisions.user_id", []string{"lost expired"}, "||", nil, "no checkout is known for the code"},
	{"decisions.user_id", []string{"lost expired"}, "'somebody'", nil, "no checkout is known for the code"},

	{"commits.chain", lostMiddle, "set_byte", nil, "the packs that it stands for are lost"},
	{"commits.packs", lostCommits, "9)", nil, "the packs whose hashes it has are lost"},
}

var (
	lostReadable = []string{"lost taken", "lost expired", "lost limit"}
	lostRefusals = append([]string{"lost malformed"}, lostReadable...)
	lostMiddle   = []string{"first lost", "lost"}
	lostCommits  = append([]string{"last lost"}, lostMiddle...)
)

// inHole stands for one finding that names the hole, or more: in it nothing can
// be proved. Others may only be about where a row was moved to.
const inHole = "in hole 2"

// notAudited says where the audit of a sale with a wrong row in its hole ends.
const notAudited = "1 holes 2 not audited"

// inside are the kinds of rows that lie in the hole.
var inside = map[string][]string{
	"holes": {"the hole"}, "commits": lostCommits, "decisions": append([]string{"lost granted"}, lostRefusals...), "items": {"lost"},
}

// TestAuditFindsEveryChangedColumn changes each column of each kind of row, in
// each way that its type allows, past the constraints.
func TestAuditFindsEveryChangedColumn(t *testing.T) {
	t.Parallel()
	e := audited(t)
	e.dropChecks(t)
	seen := map[string]bool{}
	for _, table := range e.names(t, `SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'`) {
		seen[table] = true
		if _, listed := unaudited[table]; listed {
			continue
		}
		if len(kinds[table]) == 0 {
			t.Errorf("table %s is neither tested nor listed as not audited", table)
		}
		for _, column := range e.columns(t, table) {
			name := table + "." + column.name
			seen[name] = true
			if !column.generated {
				t.Run(name, func(t *testing.T) { e.testColumn(t, table, column) })
			}
		}
	}
	for _, list := range []map[string]string{unaudited, unprotected, keys} {
		for name := range list {
			if !seen[name] {
				t.Errorf("%s is listed and does not exist", name)
			}
		}
	}
	for i, x := range exceptions {
		for _, kind := range x.kinds {
			if !e.excepted[fmt.Sprint(i, kind)] {
				t.Errorf("%s %q of %q is listed as an exception and was not met", x.column, x.value, kind)
			}
		}
	}
	if found := e.find(t, e.recorded); len(found) > 0 {
		t.Errorf("not clean after all was put back: %q", found)
	}
}

// column is one column, as the schema has it.
type column struct {
	name, kind string
	nullable   bool
	generated  bool
}

func (e *exhibit) columns(t *testing.T, table string) (list []column) {
	t.Helper()
	rows, err := e.DB.Query(t.Context(), `SELECT column_name, data_type, is_nullable = 'YES', is_generated = 'ALWAYS' FROM information_schema.columns
		WHERE table_name = $1 AND table_schema = 'public' ORDER BY ordinal_position`, table)
	if err == nil {
		list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (c column, err error) {
			return c, row.Scan(&c.name, &c.kind, &c.nullable, &c.generated)
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func (e *exhibit) names(t *testing.T, query string) []string {
	t.Helper()
	rows, err := e.DB.Query(t.Context(), query)
	var names []string
	if err == nil {
		names, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	if err != nil || len(names) == 0 {
		t.Fatalf("%s: %q, %v", query, names, err)
	}
	return names
}

// dropChecks takes away the constraints that would refuse a change. Who owns
// the tables can do that; keys stay, without which nothing could be named.
func (e *exhibit) dropChecks(t *testing.T) {
	t.Helper()
	for _, drop := range e.names(t, `SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) FROM pg_constraint
		WHERE contype IN ('c', 'f') AND connamespace = 'public'::regnamespace`) {
		e.exec(t, drop)
	}
}

// others are other values of a column, by its type; %s is the value that it has.
var others = map[string][]string{
	"bigint":                   {"%s + 1000003", "%s - 1"},
	"integer":                  {"%s + 1000003", "%s - 1"},
	"smallint":                 {"0", "1", "2", "3", "4", "5", "77"},
	"text":                     {"%s || 'x'", "'somebody'"},
	"uuid":                     {"gen_random_uuid()"},
	"timestamp with time zone": {"%s + interval '1 second'", "%s - interval '1 microsecond'"},
	"bytea": {
		"set_byte(%[1]s, 0, get_byte(%[1]s, 0) # 1)", "set_byte(%[1]s, 7, get_byte(%[1]s, 7) # 1)", "set_byte(%[1]s, 9, get_byte(%[1]s, 9) # 1)",
		"%s || '\\x00'::bytea", "''::bytea",
	},
}

// fillers stand where nothing stood.
var fillers = map[string]string{"bigint": "7", "text": "'x'", "uuid": "gen_random_uuid()", "timestamp with time zone": "now()"}

// testColumn changes a column of each kind of row of its table, and expects that
// of an unprotected one nothing is found.
func (e *exhibit) testColumn(t *testing.T, table string, c column) {
	t.Helper()
	if len(others[c.kind]) == 0 {
		t.Fatalf("a column of type %s: say how to change it", c.kind)
	}
	tried := 0
	for _, k := range kinds[table] {
		row := e.row(t, table, k)
		values := slices.Clone(others[c.kind])
		if c.nullable {
			values = append(values, "NULL")
		}
		if c.name == "sale_id" {
			values = append(values, e.other.ID.String())
		}
		if row.isNull(e, t, c.name) {
			values = []string{fillers[c.kind]}
		}
		for _, value := range values {
			tried += e.testChange(t, e.row(t, table, k), c.name, value)
		}
	}
	if tried == 0 {
		t.Error("no change was tried")
	}
}

// tampered is a row that is to be changed.
type tampered struct {
	table, kind, key, at string // at is its address in the table
	newKey               string // after the change
	newSale              sale.ID
}

func (e *exhibit) row(t *testing.T, table string, k kind) tampered {
	t.Helper()
	r := tampered{table: table, kind: k.name}
	query := fmt.Sprintf(`SELECT %s, ctid::text FROM %s WHERE sale_id = %d AND %s`, keys[table], table, e.of.ID, k.where)
	if err := e.DB.QueryRow(t.Context(), query).Scan(&r.key, &r.at); err != nil {
		t.Fatalf("no row %s %s: %v", table, k.name, err)
	}
	return r
}

func (r *tampered) isNull(e *exhibit, t *testing.T, column string) (null bool) {
	t.Helper()
	if err := e.DB.QueryRow(t.Context(), fmt.Sprintf(`SELECT %s IS NULL FROM %s WHERE ctid = $1::tid`, column, r.table), r.at).Scan(&null); err != nil {
		t.Fatal(err)
	}
	return null
}

// testChange changes one value, audits, and puts it back. It returns how many
// changes that was: none where the value is that already, or a key forbids it.
func (e *exhibit) testChange(t *testing.T, r tampered, column, value string) int {
	t.Helper()
	change := r.kind + ": " + column + " := " + value
	if strings.Contains(value, "%") {
		value = fmt.Sprintf(value, column)
	}
	e.exec(t, fmt.Sprintf(`DROP TABLE IF EXISTS kept; CREATE TABLE kept AS SELECT %s AS value FROM %s WHERE ctid = '%s'`, column, r.table, r.at))
	var at string
	err := e.DB.QueryRow(t.Context(), fmt.Sprintf(`UPDATE %[1]s SET %[2]s = %[3]s WHERE ctid = $1::tid AND %[2]s IS DISTINCT FROM %[3]s
		RETURNING ctid::text, %[4]s, sale_id`, r.table, column, value, keys[r.table]), r.at).Scan(&at, &r.newKey, &r.newSale)
	if taken := new(pgconn.PgError); errors.Is(err, pgx.ErrNoRows) || errors.As(err, &taken) && taken.Code == "23505" {
		return 0
	}
	if err != nil {
		t.Fatalf("%s: %v", change, err)
	}
	found := e.find(t, e.recorded)
	e.exec(t, fmt.Sprintf(`UPDATE %s SET %s = (SELECT value FROM kept) WHERE ctid = '%s'; DROP TABLE kept`, r.table, column, at))
	if want := e.expect(&r, column, value); !match(found, want) {
		t.Errorf("%s: found %q, want %q", change, found, want)
	}
	return 1
}

// expect returns what must be found after a change, and nothing else.
func (e *exhibit) expect(r *tampered, column, value string) []string {
	name := r.table + "." + column
	if _, listed := unprotected[name]; listed {
		return nil
	}
	for i, x := range exceptions {
		if x.column == name && slices.Contains(x.kinds, r.kind) && (x.value == "" || strings.Contains(value, x.value)) {
			e.excepted[fmt.Sprint(i, r.kind)] = true
			return fill(x.want, r, e.other.ID)
		}
	}
	if slices.Contains(inside[r.table], r.kind) {
		return []string{inHole}
	}
	if want, ok := moved[name]; ok {
		return fill(want, r, e.other.ID)
	}
	return fill([]string{"1 {table} {row} differs " + column}, r, e.other.ID)
}

func fill(want []string, r *tampered, other sale.ID) []string {
	stray := fmt.Sprintf("0 %s %d/%s unfounded", r.table, r.newSale, r.key)
	switch {
	case r.newSale == other, r.table == "checkout_attempts" && r.newSale == 0:
		stray = fmt.Sprintf("%d %s %s unfounded", r.newSale, r.table, r.key)
	case r.table == "items", r.table == "checkout_attempts":
		stray = fmt.Sprintf("0 %s %s unfounded", r.table, r.key)
	}
	filled := make([]string, len(want))
	for i := range want {
		filled[i] = strings.NewReplacer("{table}", r.table, "{row}", r.key, "{new}", r.newKey, "{stray}", stray).Replace(want[i])
	}
	return filled
}

// match reports whether everything wanted was found, and all that was found is
// wanted. A * stands for anything, in one finding or more.
func match(found, want []string) bool {
	if slices.Equal(want, []string{inHole}) {
		names := func(f string) bool { return strings.HasSuffix(f, inHole) }
		return slices.ContainsFunc(found, names) &&
			!slices.ContainsFunc(found, func(f string) bool { return !names(f) && !strings.HasSuffix(f, "unfounded") })
	}
	met := make([]bool, len(want))
	for _, f := range found {
		f = strings.TrimSuffix(f, " "+inHole)
		i := slices.IndexFunc(want, func(w string) bool {
			before, after, many := strings.Cut(w, "*")
			return f == w || many && strings.HasPrefix(f, before) && strings.HasSuffix(f, after)
		})
		if i < 0 || met[i] && !strings.Contains(want[i], "*") {
			return false
		}
		met[i] = true
	}
	return !slices.Contains(met, false)
}

// find audits everything and returns each finding as sale, table, row, kind and
// field.
func (e *exhibit) find(t *testing.T, tape auditor.AllStreams) (found []string) {
	t.Helper()
	for _, id := range []sale.ID{e.of.ID, e.other.ID, 0} {
		r, err := e.audits(t, tape, id)
		if errors.Is(err, ledger.ErrNotFound) {
			found = append(found, fmt.Sprintf("%d not found", id))
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range r.Findings {
			text := strings.TrimSpace(fmt.Sprintf("%d %s %s %s %s", f.Sale, f.Table, f.Row, f.Kind, f.Field))
			if f.Hole > 0 {
				text += fmt.Sprintf(" in hole %d", f.Hole)
			}
			found = append(found, text)
		}
	}
	return found
}

// audits carries out one audit: of a sale, or (0) of the rest.
func (e *exhibit) audits(t *testing.T, tape auditor.AllStreams, id sale.ID) (*auditor.Report, error) {
	t.Helper()
	if id == 0 {
		return auditor.AuditRest(t.Context(), e.books, tape)
	}
	return auditor.Audit(t.Context(), e.books, tape, id, auditor.Options{Share: 1})
}
