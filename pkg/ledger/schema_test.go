package ledger_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"notsale/pkg/backends/backendstest"
	"notsale/pkg/effort"
	"notsale/pkg/ledger"
)

// schema.txt says what a migrated database promises. After a new migration:
// NOTSALE_UPDATE=1 go test ./pkg/ledger -run TestSchemaIsKnown.
func TestSchemaIsKnown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	query, err := os.ReadFile("queries/schema.sql")
	if err != nil {
		t.Fatal(err)
	}
	rows, err := w.raw.Query(t.Context(), string(query))
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(lines, "\n") + "\n"
	if effort.Update() {
		if err := os.WriteFile("schema.txt", []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile("schema.txt"); err != nil || got != string(want) {
		t.Errorf("the migrations lead to (%v)\n%s\nwhich schema.txt does not say; if a migration was added, run this test with NOTSALE_UPDATE=1", err, got)
	}
}

// A migration that has landed is never edited: there are databases that have
// applied it.
func TestLandedMigrationsAreFrozen(t *testing.T) {
	t.Parallel()
	frozen, err := os.ReadFile("migrations/frozen.sha256")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("migrations/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(text)
		line := hex.EncodeToString(sum[:]) + "  " + filepath.Base(file)
		switch {
		case strings.Contains(string(frozen), line+"\n"):
		case strings.Contains(string(frozen), "  "+filepath.Base(file)+"\n"):
			t.Errorf("%s has landed and was edited: restore it, and write another migration", file)
		default:
			t.Errorf("%s is not frozen: add to migrations/frozen.sha256\n%s", file, line)
		}
	}
}

// A database whose schema is not the one that the migrations lead to is not
// worked with; one that has more is.
func TestAnotherSchemaIsRefused(t *testing.T) {
	t.Parallel()
	test := backendstest.New(t)
	l, err := ledger.Open(t.Context(), ledger.Config{URL: test.DatabaseURL, Name: "schema"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	if err := l.CheckSchema(t.Context()); !errors.Is(err, ledger.ErrBehind) {
		t.Errorf("an empty database: %v", err)
	}
	if _, err := ledger.Migrate(t.Context(), test.DatabaseURL); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), test.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	for _, c := range []struct {
		change, undo, lacks string
	}{
		{"SELECT", "SELECT", ""},
		{"ALTER TABLE commits ADD COLUMN later int; CREATE TABLE later (id int)", "SELECT", ""},
		{"ALTER TABLE holes RENAME COLUMN cursor_time TO at", "ALTER TABLE holes RENAME COLUMN at TO cursor_time", "holes.cursor_time"},
		{"ALTER TABLE commits ALTER epoch TYPE text", "ALTER TABLE commits ALTER epoch TYPE bigint USING epoch::bigint", "commits.epoch bigint"},
		{"ALTER TABLE items RENAME TO sold; CREATE TABLE items AS TABLE sold", "DROP TABLE items; ALTER TABLE sold RENAME TO items", "items unique (item_id)"},
		{"DROP INDEX decisions_code", "CREATE UNIQUE INDEX decisions_code ON decisions (code_id) WHERE code_id IS NOT NULL", "decisions unique (code_id)"},
		{
			"UPDATE goose_db_version SET version_id = 1 WHERE version_id > 1; DROP TABLE archives", "SELECT",
			"run `notsale migrate`",
		},
	} {
		if _, err := conn.Exec(t.Context(), c.change); err != nil {
			t.Fatal(err)
		}
		err := l.CheckSchema(t.Context())
		if (err == nil) != (c.lacks == "") || err != nil && !strings.Contains(err.Error(), c.lacks) {
			t.Errorf("after %s: %v, want %q in it", c.change, err, c.lacks)
		}
		if err != nil && !errors.Is(err, ledger.ErrSchema) && !errors.Is(err, ledger.ErrBehind) {
			t.Errorf("after %s: %v", c.change, err)
		}
		if _, err := conn.Exec(t.Context(), c.undo); err != nil {
			t.Fatal(err)
		}
	}
}
