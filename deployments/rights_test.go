//go:build unix

package deployments

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"notsale/pkg/allocation"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
)

// owned is a database as it is deployed: nothing in it is a superuser's.
func owned(t *testing.T) (database, *pgx.Conn) {
	t.Helper()
	d := newDatabase(t, makeSecrets(t))
	owner, err := pgx.Connect(t.Context(), d.url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = owner.Close(context.Background()) })
	scripts, _ := filepath.Glob("postgres/*.sh") // only a bad pattern fails
	if len(scripts) != 1 {
		t.Fatalf("the roles are made by %v", scripts)
	}
	text, err := os.ReadFile(scripts[0])
	if err != nil {
		t.Fatal(err)
	}
	_, statements, _ := strings.Cut(string(text), "<<'SQL'\n")
	statements, _, _ = strings.Cut(statements, "SQL\n")
	for _, s := range []string{statements, `DO $$ DECLARE of name; BEGIN
		FOR of IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
			EXECUTE format('ALTER TABLE %I OWNER TO notsale_migrate', of);
		END LOOP; END $$`} {
		if _, err := owner.Exec(t.Context(), s); err != nil {
			t.Fatalf("%v: %s", err, s)
		}
	}
	if _, err := ledger.Migrate(t.Context(), d.as(t, "migrate")); err != nil {
		t.Fatal(err)
	}
	database{url: d.as(t, "migrate"), secrets: d.secrets}.run(t, filepath.Join("postgres", "grants.sql"))
	return d, owner
}

// What each role may do to each table, beside reading it.
const rights = `
allocator allocators DELETE INSERT UPDATE
allocator commits INSERT
allocator cursors INSERT UPDATE
allocator decisions INSERT
allocator holes INSERT
allocator items INSERT
allocator leases DELETE INSERT UPDATE
allocator sales UPDATE
archiver archiver_lease UPDATE
archiver archives INSERT
archiver attempt_cursors INSERT UPDATE
archiver checkout_attempts INSERT
archiver cursors UPDATE(holder)
archiver leases UPDATE(holder)
archiver sales UPDATE(state)
operator archiver_lease UPDATE
operator archives INSERT
operator attempt_cursors INSERT UPDATE
operator checkout_attempts INSERT
operator cursors UPDATE(holder)
operator leases UPDATE(holder)
operator sales UPDATE(state)
recorder attempt_cursors INSERT UPDATE
recorder attempt_holes INSERT
recorder checkout_attempts INSERT
recorder recorded DELETE INSERT UPDATE
scheduler attempt_cursors UPDATE(removed_at)
scheduler cursors INSERT
scheduler installation UPDATE
scheduler sales INSERT UPDATE
`

func TestRightsByTable(t *testing.T) {
	d, owner := owned(t)
	rows, err := owner.Query(t.Context(), `
		SELECT concat_ws(' ', substr(r.rolname, 9), c.relname, string_agg(p.may, ' ' ORDER BY p.may)) COLLATE "C"
		FROM pg_roles AS r CROSS JOIN pg_class AS c CROSS JOIN LATERAL (
			SELECT v AS may FROM unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS v
			WHERE has_table_privilege(r.oid, c.oid, v)
			UNION ALL
			SELECT v || '(' || string_agg(a.attname, ',' ORDER BY a.attname) || ')'
			FROM unnest(ARRAY['INSERT', 'UPDATE', 'REFERENCES']) AS v
			JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
			WHERE NOT has_table_privilege(r.oid, c.oid, v) AND has_column_privilege(r.oid, c.oid, a.attnum, v)
			GROUP BY v
		) AS p
		WHERE r.rolname LIKE 'notsale\_%' AND r.rolname <> 'notsale_migrate' AND c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
		GROUP BY r.rolname, c.relname ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSpace(rights), "\n")
	for _, line := range got {
		if !slices.Contains(want, line) {
			t.Errorf("too much, or other than it should be: %s", line)
		}
	}
	for _, line := range want {
		if !slices.Contains(got, line) {
			t.Errorf("missing: %s", line)
		}
	}
	for _, role := range []string{"edge", "allocator", "recorder", "scheduler", "archiver", "auditor", "operator"} {
		if err := d.booksAs(t, role).CheckSchema(t.Context()); err != nil {
			t.Errorf("%s: %v", role, err)
		}
		var unread []string
		err := owner.QueryRow(t.Context(), `SELECT COALESCE(array_agg(relname::text), '{}') FROM pg_class
			WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND NOT has_table_privilege('notsale_' || $1, oid, 'SELECT')`, role).Scan(&unread)
		if err != nil || len(unread) > 0 {
			t.Errorf("%s cannot read %v, %v", role, unread, err)
		}
	}
}

// Nobody who has been given nothing has anything, nor the services anything of
// what a later migration makes before grants.sql is run again.
func TestPublicHasNothing(t *testing.T) {
	d, owner := owned(t)
	later, err := pgx.Connect(t.Context(), d.as(t, "migrate"))
	if err != nil {
		t.Fatal(err)
	}
	defer later.Close(t.Context())
	for _, s := range []string{
		`CREATE TABLE later (id bigserial)`, `CREATE TYPE kind AS ENUM ('a')`,
		`CREATE FUNCTION secret() RETURNS int LANGUAGE sql AS 'SELECT 1'`, `CREATE PROCEDURE wipe() LANGUAGE sql AS 'SELECT 1'`,
	} {
		if _, err := later.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	if _, err := owner.Exec(t.Context(), `CREATE ROLE stranger LOGIN PASSWORD 'secret'`); err != nil {
		t.Fatal(err)
	}
	for role, expressions := range map[string][]string{
		"stranger": {
			`has_database_privilege($1, current_database(), 'CONNECT')`, `has_database_privilege($1, current_database(), 'TEMP')`,
			`has_database_privilege($1, current_database(), 'CREATE')`, `has_schema_privilege($1, 'public', 'USAGE')`, `has_schema_privilege($1, 'public', 'CREATE')`,
			`EXISTS (SELECT FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND has_table_privilege($1, oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER'))`,
			`has_function_privilege($1, 'secret()', 'EXECUTE')`, `has_function_privilege($1, 'wipe()', 'EXECUTE')`, `has_type_privilege($1, 'kind', 'USAGE')`,
			`has_sequence_privilege($1, 'later_id_seq', 'USAGE, SELECT, UPDATE')`,
		},
		"notsale_edge": {
			`has_database_privilege($1, current_database(), 'TEMP')`, `has_database_privilege($1, current_database(), 'CREATE')`, `has_schema_privilege($1, 'public', 'CREATE')`,
			`has_table_privilege($1, 'later', 'SELECT, INSERT')`, `has_function_privilege($1, 'secret()', 'EXECUTE')`, `has_function_privilege($1, 'wipe()', 'EXECUTE')`,
		},
	} {
		for _, e := range expressions {
			var may bool
			if err := owner.QueryRow(t.Context(), `SELECT `+e, role).Scan(&may); err != nil || may {
				t.Errorf("%s: %s is %v, %v", role, e, may, err)
			}
		}
	}
	u, err := url.Parse(d.url)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("stranger", "secret")
	if conn, err := pgx.Connect(t.Context(), u.String()); !insufficient(err) {
		t.Errorf("a stranger connects: %v", err)
		if err == nil {
			conn.Close(t.Context())
		}
	}
}

// Each allocator may have a role of its own in the group of all, with its rights:
// neither may end the other's sessions, and a sale passes on all the same, after
// what the one before has under way.
func TestAllocatorsWithRolesOfTheirOwn(t *testing.T) {
	d, owner := owned(t)
	u, err := url.Parse(d.as(t, "allocator"))
	if err != nil {
		t.Fatal(err)
	}
	books := func(n string) *ledger.Ledger {
		role := "notsale_allocator_" + n
		if _, err := owner.Exec(t.Context(), `CREATE ROLE `+role+` LOGIN PASSWORD 'secret' IN ROLE notsale_allocator`); err != nil {
			t.Fatal(err)
		}
		u.User = url.UserPassword(role, "secret")
		l, err := ledger.Open(t.Context(), ledger.Config{URL: u.String(), Name: role, Conns: ledger.DefaultConns})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(l.Close)
		return l
	}
	a, b := books("1"), books("2")
	scheduler := d.booksAs(t, "scheduler")
	if made, err := scheduler.OpenSlot(t.Context(), ledger.Template{Every: time.Hour, Stock: 3, UserLimit: 1}); err != nil || !made {
		t.Fatal(made, err)
	}
	row, err := scheduler.Sale(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	opening, at := allocation.Hash{1}, sale.Instant(1_800_000_000_000_000)
	if err := scheduler.MarkOpen(t.Context(), 1, allocation.Genesis(opening, at), at.Time()); err != nil {
		t.Fatal(err)
	}
	engine := allocation.New(row.Sale, opening, at)
	next := func() *allocation.Batch {
		batch, sequence := engine.Begin(), engine.Cursor().Sequence+1
		engine.Apply(allocation.Pack{Sequence: sequence, Time: at + sale.Instant(sequence), Hash: allocation.Hash{byte(sequence)}, Requests: []allocation.Request{{}}}, batch)
		return batch
	}
	lead := func(l *ledger.Ledger, ttl time.Duration, epoch int64) {
		t.Helper()
		if _, err := l.Renew(t.Context(), ttl); err != nil {
			t.Fatal(err)
		}
		if taken, err := l.Take(t.Context(), time.Minute, nil, 1); err != nil || len(taken) != 1 || taken[0].Epoch != epoch {
			t.Fatalf("%v, %v", taken, err)
		}
	}
	lead(a, -time.Second, 1)
	if err := a.Commit(t.Context(), 1, 1, next()); err != nil {
		t.Fatal(err)
	}
	lead(b, time.Minute, 2)
	var left int
	if err := owner.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE usename = 'notsale_allocator_1'`).Scan(&left); err != nil || left == 0 {
		t.Errorf("the sessions of the one before were ended, so this shows nothing: %d, %v", left, err)
	}
	late := next()
	if err := a.Commit(t.Context(), 1, 1, late); err == nil {
		t.Error("the one before commits")
	}
	if err := b.Commit(t.Context(), 1, 2, late); err != nil {
		t.Errorf("its successor: %v", err)
	}
}
