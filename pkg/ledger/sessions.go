package ledger

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// ErrUnfit says that a database session is not what the ledger asked for, so
// that what it acknowledges could be lost. Waiting does not help.
var ErrUnfit = errors.New("ledger: this database session cannot be trusted")

// ErrReadOnly says that the server takes no writes now: it is a standby, or one
// that has not been promoted yet.
var ErrReadOnly = errors.New("ledger: the server is read-only")

// ErrUnconfirmed says that the server gave up waiting for its synchronous
// standby. What was written is in this server, and is lost if the standby
// takes its place: nobody may be told until a later commit is confirmed.
var ErrUnconfirmed = errors.New("ledger: the synchronous standby has not confirmed the commit")

// asked is what a ledger asks of its sessions.
type asked struct {
	readOnly bool // sessions that cannot write will do
	durable  bool // commits wait until they are safe
	// pooled says that there may be a pooler that gives each transaction another
	// session of the server. Then every transaction asks for its settings itself, and
	// nothing is kept in a session.
	pooled   bool
	patience time.Duration
}

// commit is the setting synchronous_commit.
func (a asked) commit() string {
	if a.durable {
		return "on"
	}
	return "off"
}

// parameters are the settings that a session begins with.
func (a asked) parameters(name string) map[string]string {
	parameters := map[string]string{"application_name": name, "timezone": "UTC"} // poolers know these
	if !a.pooled {
		patience := strconv.FormatInt(a.patience.Milliseconds(), 10)
		parameters["synchronous_commit"] = a.commit()
		parameters["statement_timeout"], parameters["idle_in_transaction_session_timeout"] = patience, patience
	}
	return parameters
}

// settings is the statement that asks the same of its transaction.
func (a asked) settings() string {
	const text = "SELECT set_config('synchronous_commit', '%s', true), set_config('statement_timeout', '%[2]d', true), set_config('idle_in_transaction_session_timeout', '%[2]d', true)"
	return fmt.Sprintf(text, a.commit(), a.patience.Milliseconds())
}

// open makes a pool of such sessions, lazily.
func (a asked) open(ctx context.Context, cfg Config, conns int32) (sessions, error) {
	pc, err := pgxpool.ParseConfig(cfg.URL)
	if err != nil {
		return sessions{}, fmt.Errorf("ledger: DATABASE_URL: %w", err)
	}
	if conns > 0 {
		pc.MaxConns = conns
	}
	cc := pc.ConnConfig
	if mode, bad := untyped[cc.DefaultQueryExecMode]; bad {
		return sessions{}, fmt.Errorf("ledger: DATABASE_URL: with default_query_exec_mode=%s a commit cannot be sent, whose types only the server knows: use cache_statement, cache_describe or describe_exec", mode)
	}
	a.pooled = cc.DefaultQueryExecMode == pgx.QueryExecModeCacheDescribe
	cc.ConnectTimeout = connectWithin(cc)
	if several(cc) {
		a.readOnly = a.readOnly && cc.ValidateConnect != nil
		if !strings.Contains(cfg.URL, "pool_max_conn_lifetime") { // a new session might first wait for a host that hangs
			pc.MaxConnLifetime = 0
		}
	}
	maps.Copy(cc.RuntimeParams, a.parameters(cfg.Name))
	cc.ValidateConnect = a.validate(cc.ValidateConnect)
	cc.OnNotice = onNotice
	cc.OnPgError = endReadOnly(cc.OnPgError)
	pc.PrepareConn = unchanged
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return sessions{}, fmt.Errorf("ledger: %w", err)
	}
	return sessions{pool, a}, nil
}

// untyped are the modes in which the driver guesses the types of arguments.
var untyped = map[pgx.QueryExecMode]string{pgx.QueryExecModeExec: "exec", pgx.QueryExecModeSimpleProtocol: "simple_protocol"}

// connectWithin bounds making a session with one server.
func connectWithin(cc *pgx.ConnConfig) time.Duration {
	if several(cc) {
		return hostTimeout
	}
	return connectTimeout
}

// several reports whether a URL names several servers.
func several(cc *pgx.ConnConfig) bool {
	return slices.ContainsFunc(cc.Fallbacks, func(f *pgconn.FallbackConfig) bool { return f.Host != cc.Host || f.Port != cc.Port })
}

// validate is check. A ledger that is only read also checks what the URL asks for,
// such as target_session_attrs=prefer-standby.
func (a asked) validate(wanted pgconn.ValidateConnectFunc) pgconn.ValidateConnectFunc {
	if wanted == nil || !a.readOnly {
		return a.check
	}
	return func(ctx context.Context, conn *pgconn.PgConn) error {
		if err := a.check(ctx, conn); err != nil {
			return err
		}
		return wanted(ctx, conn)
	}
}

// AllowVolatile lets tests run on a server without fsync. Nothing else sets it.
const AllowVolatile = "notsale.allow_volatile"

const readBack = `SELECT current_setting('transaction_read_only'), current_setting('fsync'), COALESCE(current_setting('` + AllowVolatile + `', true), ''),
	current_setting('synchronous_commit'), extract(epoch FROM current_setting('statement_timeout')::interval)::float8,
	extract(epoch FROM current_setting('idle_in_transaction_session_timeout')::interval)::float8, pg_backend_pid()`

// check reads back whether a new session has what it was asked for: a pooler
// between us and the server may have ignored it, and then an acknowledged sale
// could be lost with the power, or with the server.
func (a asked) check(ctx context.Context, conn *pgconn.PgConn) error {
	script := []string{readBack}
	if a.pooled { // two messages, which must reach the same session of the server
		script = []string{"BEGIN; " + a.settings(), readBack + "; ROLLBACK"}
	}
	var results []*pgconn.Result
	for _, part := range script {
		var err error
		if results, err = conn.Exec(ctx, part).ReadAll(); err != nil {
			return fmt.Errorf("ledger: reading the session's settings: %w", err)
		}
	}
	if len(results) == 0 || len(results[0].Rows) != 1 {
		return fmt.Errorf("%w: it does not tell its settings", ErrUnfit)
	}
	conn.CustomData()[unconfirmed] = new(atomic.Bool)
	conn.CustomData()[reportedAtFirst] = reported(conn)
	return a.judge(results[0].Rows[0], conn.PID())
}

// throughPooler is the advice where there is a pooler.
const throughPooler = "for a pooler such as PgBouncer add default_query_exec_mode=cache_describe to DATABASE_URL, then it need not be asked for anything"

// judge reports what is wrong with a session whose readBack is this row; pid is the
// server process that the connection was told of.
func (a asked) judge(row [][]byte, pid uint32) error {
	readOnly, fsync, volatile, commit, process := string(row[0]), string(row[1]), string(row[2]), string(row[3]), string(row[6])
	seconds := strconv.FormatFloat(a.patience.Seconds(), 'g', -1, 64)
	switch {
	case readOnly == "on" && !a.readOnly:
		return fmt.Errorf("%w: a standby, or default_transaction_read_only", ErrReadOnly)
	case fsync != "on" && volatile != "on":
		return fmt.Errorf("%w: the server runs with fsync=off, a power cut would lose sold items: set fsync=on in postgresql.conf", ErrUnfit)
	case commit != "on" && a.durable:
		return fmt.Errorf("%w: it has synchronous_commit=%s though 'on' was asked for: %s", ErrUnfit, commit, throughPooler)
	case string(row[4]) != seconds || string(row[5]) != seconds:
		return fmt.Errorf("%w: it has statement_timeout %s s and idle_in_transaction_session_timeout %s s though %s s were asked for: %s",
			ErrUnfit, row[4], row[5], seconds, throughPooler)
	case process != strconv.FormatUint(uint64(pid), 10) && !a.pooled:
		return fmt.Errorf("%w: it is a pooler's, which may give it to others between two statements: %s", ErrUnfit, throughPooler)
	}
	return nil
}

// reported is what the server has reported by itself of whether it can be written.
// Poolers do not pass it on: then it is empty.
func reported(conn *pgconn.PgConn) string {
	return conn.ParameterStatus("default_transaction_read_only") + conn.ParameterStatus("in_hot_standby")
}

// reportedAtFirst is the key under which a session keeps what was reported when it
// was made.
const reportedAtFirst = "reported"

// unchanged reports whether a session still leads to a server of the kind that it
// was made for: one that can be written, if it could be.
func unchanged(_ context.Context, conn *pgx.Conn) (bool, error) {
	return reported(conn.PgConn()) == conn.PgConn().CustomData()[reportedAtFirst], nil
}

// readOnlyTransaction is the SQLSTATE of a write in a read-only session.
const readOnlyTransaction = "25006"

// endReadOnly makes a session end at the first write that it refuses.
func endReadOnly(before pgconn.PgErrorHandler) pgconn.PgErrorHandler {
	return func(conn *pgconn.PgConn, err *pgconn.PgError) bool {
		return err.Code != readOnlyTransaction && before(conn, err)
	}
}

// SQLSTATEs of a session that cannot be made.
const (
	protocolViolation = "08P01" // PgBouncer does not support what was asked for
	notLetIn          = "28000" // pg_hba.conf does not allow it
)

// explained adds to the error of making a session what to do about it, where that
// is known. With ErrUnfit, waiting does not help.
func explained(err error) error {
	var (
		refused   *pgconn.PgError
		untrusted *tls.CertificateVerificationError
		stranger  x509.UnknownAuthorityError // verify-ca's
	)
	switch {
	case errors.As(err, &untrusted), errors.As(err, &stranger):
		return fmt.Errorf("%w: %w: DATABASE_URL must name who signs the server's certificate, sslrootcert=FILE, and the server as its certificate does", ErrUnfit, err)
	case !errors.As(err, &refused):
	case refused.Code == notLetIn:
		return fmt.Errorf("%w: see its pg_hba.conf; where it wants a certificate, DATABASE_URL names one by sslcert=FILE and sslkey=FILE", err)
	case refused.Code == protocolViolation && strings.Contains(refused.Message, "pooling mode"):
		return fmt.Errorf("%w: %w: the pooler must keep a transaction together: set pool_mode=transaction or session", ErrUnfit, err)
	case refused.Code == protocolViolation:
		return fmt.Errorf("%w: %w: %s", ErrUnfit, err, throughPooler)
	}
	return err
}
