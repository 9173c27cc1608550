//go:build unix

package backendstest

import (
	"context"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"notsale/pkg/backends"
)

// standbyName is by which the test's own Postgres knows its standby.
const standbyName = "standby"

// Standby starts a second Postgres, which follows the test's own: from now on
// nothing is committed there that the second does not have. See Promote.
func (test *Test) Standby() *backends.Postgres {
	t := test.t
	t.Helper()
	cfg := ownConfig(t, true)
	u, err := url.Parse(test.Postgres.URL())
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	source := *u
	source.RawQuery += "&application_name=" + standbyName
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	copying := exec.CommandContext(ctx, filepath.Join(programs(t), "pg_basebackup"),
		"-D", filepath.Join(cfg.Data, "postgres"), "-d", source.String(), "-R", "-X", "stream", "-c", "fast", "--no-sync")
	if said, err := copying.CombinedOutput(); err != nil {
		t.Fatalf("pg_basebackup: %v: %s", err, said)
	}
	if err := os.WriteFile(filepath.Join(cfg.Data, "postgres.password"), []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := own(t, cfg, backends.StartPostgres)
	test.Alter(`SET synchronous_standby_names = '` + standbyName + `'`)
	err = connected(test.DatabaseURL, func(ctx context.Context, conn *pgx.Conn) error {
		for state := ""; state != "sync"; time.Sleep(10 * time.Millisecond) {
			if err := conn.QueryRow(ctx, `SELECT COALESCE(max(sync_state), '') FROM pg_stat_replication`).Scan(&state); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatalf("the standby does not follow: %v", err)
	}
	return p
}

// Promote makes a standby a server of its own, which can be written.
func (test *Test) Promote(standby *backends.Postgres) {
	test.t.Helper()
	if err := execute(standby.URL(), `SELECT pg_promote()`); err != nil {
		test.t.Fatal(err)
	}
}

// programs is the folder of the installed initdb and postgres.
func programs(t testing.TB) string {
	t.Helper()
	if dir := os.Getenv("PG_BIN"); dir != "" {
		return dir
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin") // only a bad pattern fails
	RequireReal(t, "postgresql", len(found) > 0)
	return found[len(found)-1]
}
