//go:build unix

package deployments

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"notsale/pkg/allocation"
	"notsale/pkg/backends/backendstest"
	"notsale/pkg/ledger"
	"notsale/pkg/sale"
	"notsale/pkg/stream"
	"notsale/pkg/wire"
	"notsale/services/auditor"
	"notsale/services/servicetest"
)

func TestMain(m *testing.M) { backendstest.Main(m) }

// database is a migrated database with the roles and rights of a deployment.
type database struct {
	url     string // of its owner
	secrets string // folder
}

func newDatabase(t *testing.T, secrets string) database {
	t.Helper()
	d := database{url: backendstest.New(t, backendstest.WithOwnPostgres).DatabaseURL, secrets: secrets}
	if _, err := ledger.Migrate(t.Context(), d.url); err != nil {
		t.Fatal(err)
	}
	d.run(t, filepath.Join(secrets, "postgres", "roles.sql"))
	d.run(t, filepath.Join("postgres", "grants.sql"))
	return d
}

// run runs a file of statements, without what only psql knows.
func (d database) run(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), d.url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), regexp.MustCompile(`(?m)^\\.*$`).ReplaceAllString(string(text), "")); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// A server that writes every statement into its log, or those that fail, leaves the
// passwords out.
func TestPasswordsStandInNoLog(t *testing.T) {
	d := newDatabase(t, makeSecrets(t))
	admin, err := pgx.Connect(t.Context(), d.url)
	must(t, err)
	defer admin.Close(t.Context())
	var folder string
	must(t, admin.QueryRow(t.Context(), `SHOW data_directory`).Scan(&folder))
	for _, s := range []string{`ALTER SYSTEM SET log_statement = 'all'`, `ALTER SYSTEM SET log_min_duration_statement = 0`, `SELECT pg_reload_conf()`} {
		_, err := admin.Exec(t.Context(), s)
		must(t, err)
	}
	statements, err := os.ReadFile(filepath.Join(d.secrets, "postgres", "roles.sql"))
	must(t, err)
	for _, ready := range []bool{true, false} {
		conn, err := pgx.Connect(t.Context(), d.url)
		must(t, err)
		defer conn.Close(t.Context())
		servicetest.Eventually(t, "statements are logged", func() bool {
			var logged string
			must(t, conn.QueryRow(t.Context(), `SHOW log_statement`).Scan(&logged))
			return logged == "all"
		})
		if !ready {
			_, err := conn.Exec(t.Context(), `SET default_transaction_read_only = on`)
			must(t, err)
		}
		for s := range strings.Lines(string(statements)) { // as psql sends them
			if _, err := conn.Exec(t.Context(), s); ready {
				must(t, err)
			}
		}
	}
	log, err := os.ReadFile(filepath.Join(filepath.Dir(folder), "postgres.log"))
	must(t, err)
	if !strings.Contains(string(log), "log_statement") || !strings.Contains(string(log), "read-only transaction") {
		t.Fatalf("this shows nothing:\n%s", log)
	}
	if found := regexp.MustCompile(`.*PASSWORD '.*`).Find(log); found != nil {
		t.Errorf("a password stands in the log: %s", found)
	}
}

// as returns the URL of a role, with the password that secrets.sh gave it.
func (d database) as(t *testing.T, role string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(d.secrets, role, "database_url"))
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	own, err := url.Parse(d.url)
	if err != nil {
		t.Fatal(err)
	}
	own.User = u.User
	return own.String()
}

// What was decided can be added to by one role, and changed by none.
func TestPostgresRoles(t *testing.T) {
	d := newDatabase(t, makeSecrets(t))
	const (
		noOne     = ""
		decide    = `INSERT INTO decisions (sale_id, position, reason, decided_at) VALUES (1, 1, 1, now())`
		record    = `INSERT INTO checkout_attempts (attempt_id, sale_id, attempted_at, user_param, item_param, outcome, edge) VALUES (gen_random_uuid(), 0, now(), '', '', '', '')`
		advance   = `INSERT INTO attempt_holes SELECT sale_id, part, sequence, message_time, message_hash, stream_created FROM attempt_cursors WHERE false`
		unread    = `DELETE FROM attempt_cursors`
		archive   = `INSERT INTO archives (sale_id, manifest, sequence, attempts, chain) SELECT 1, '', 1, 1, '' WHERE false`
		hold      = `UPDATE archiver_lease SET holder = holder`
		open      = `UPDATE installation SET created_at = created_at`
		overwrite = `UPDATE decisions SET reason = 0`
		erase     = `DELETE FROM items`
		forget    = `DELETE FROM checkout_attempts`
		alter     = `ALTER TABLE items DROP COLUMN user_id`
	)
	may := map[string]string{decide: "allocator", record: "recorder archiver operator", advance: "recorder", unread: noOne, archive: "archiver operator", hold: "archiver operator", open: "scheduler", overwrite: noOne, erase: noOne, forget: noOne, alter: noOne}
	for _, role := range []string{"edge", "allocator", "recorder", "scheduler", "archiver", "auditor", "operator"} {
		conn, err := pgx.Connect(t.Context(), d.as(t, role))
		if err != nil {
			t.Fatalf("%s: %v", role, err)
		}
		if _, err := conn.Exec(t.Context(), `SELECT count(*) FROM decisions, items, sales, archives`); err != nil {
			t.Errorf("%s cannot read: %v", role, err)
		}
		for statement, owners := range may {
			_, err := conn.Exec(t.Context(), statement)
			if denied := insufficient(err); denied == slices.Contains(strings.Fields(owners), role) || err != nil && !denied {
				t.Errorf("%s, %.40s: %v", role, statement, err)
			}
		}
		conn.Close(t.Context())
	}
}

func insufficient(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && e.Code == "42501" // insufficient_privilege
}

// Whoever audits needs to read, and nothing else.
func TestAuditorsIdentitiesAreEnough(t *testing.T) {
	addr, secrets := natsServer(t)
	d := newDatabase(t, secrets)
	streams := func(role string) *stream.Client { return streamsAs(t, addr, secrets, role) }
	books := func(role string) *ledger.Ledger { return d.booksAs(t, role) }
	opener, scheduler := streams("scheduler"), books("scheduler")
	if made, err := scheduler.OpenSlot(t.Context(), ledger.Template{Every: time.Hour, Stock: 3, UserLimit: 1}); err != nil || !made {
		t.Fatal(made, err)
	}
	row, err := scheduler.Sale(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := servicetest.Open(t.Context(), scheduler, opener, row.Sale); err != nil {
		t.Fatal(err)
	}
	if _, err := streams("recorder").ReadAttempts(t.Context(), wire.AttemptStream{Sale: 1}, 1); err != nil {
		t.Fatal(err)
	}
	if err := streams("edge").PublishPack(t.Context(), 1, []byte("not a pack")); err != nil {
		t.Fatal(err)
	}
	decide(t, streams("allocator"), books("allocator"))
	r, err := auditor.Audit(t.Context(), books("auditor"), streams("auditor"), 1, auditor.Options{})
	if err != nil || !r.Clean() || r.Requests != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}

// decide commits what stands in the stream, as an allocator does.
func decide(t *testing.T, s *stream.Client, l *ledger.Ledger) {
	t.Helper()
	if _, err := l.Renew(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	taken, err := l.Take(t.Context(), time.Minute, nil, 1)
	if err != nil || len(taken) != 1 {
		t.Fatal(taken, err)
	}
	opening, err := s.Opening(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	e := allocation.New(opening.Sale, opening.Message.Hash(), opening.Message.Time)
	b := e.Begin()
	for m, err := range s.Messages(t.Context(), 1, 2, 2) {
		if err != nil {
			t.Fatal(err)
		}
		e.Apply(allocation.Pack{Sequence: m.Sequence, Time: m.Time, Hash: m.Hash(), Requests: []allocation.Request{{}}}, b)
	}
	if err := l.Commit(t.Context(), sale.ID(1), taken[0].Epoch, b); err != nil {
		t.Fatal(err)
	}
}
