package ledger

import (
	"context"
	"errors"
	"fmt"
	"strconv"
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
// standby. What was written stands in this server, and is lost if the standby
// takes its place: nobody may be told until a later commit is confirmed.
var ErrUnconfirmed = errors.New("ledger: the synchronous standby has not confirmed the commit")

// readOnlyTransaction is the SQLSTATE of a write that a read-only session refused.
const readOnlyTransaction = "25006"

// sessions is a pool in which a commit that the server could not confirm is an
// error: Exec, QueryRow and the end of a transaction return ErrUnconfirmed.
type sessions struct{ *pgxpool.Pool }

// Exec runs a statement.
func (s sessions) Exec(ctx context.Context, sql string, args ...any) (tag pgconn.CommandTag, err error) {
	err = s.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
		if tag, err = c.Exec(ctx, sql, args...); err != nil {
			return err
		}
		return confirmed(c.Conn())
	})
	return tag, err
}

// QueryRow runs a statement whose first row is read by Scan, which must be called.
func (s sessions) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return confirmedRow(func(dest ...any) error {
		return s.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
			if err := c.QueryRow(ctx, sql, args...).Scan(dest...); err != nil {
				return err
			}
			return confirmed(c.Conn())
		})
	})
}

type confirmedRow func(dest ...any) error

func (scan confirmedRow) Scan(dest ...any) error { return scan(dest...) }

// Begin begins a transaction, on a session of its own until that has ended.
func (s sessions) Begin(ctx context.Context) (pgx.Tx, error) {
	conn, err := s.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	tx, err := conn.Begin(ctx)
	if err != nil {
		conn.Release()
		return nil, err
	}
	return confirmedTx{tx, conn}, nil
}

type confirmedTx struct {
	pgx.Tx

	conn *pgxpool.Conn
}

func (tx confirmedTx) Commit(ctx context.Context) error {
	defer tx.conn.Release()
	if err := tx.Tx.Commit(ctx); err != nil {
		return err
	}
	return confirmed(tx.conn.Conn())
}

func (tx confirmedTx) Rollback(ctx context.Context) error {
	defer tx.conn.Release()
	return tx.Tx.Rollback(ctx)
}

// unconfirmed is where a session keeps whether a wait for the synchronous
// standby was cancelled since it was asked last.
const unconfirmed = "unconfirmed"

func confirmed(conn *pgx.Conn) error {
	if mark, ok := conn.PgConn().CustomData()[unconfirmed].(*atomic.Bool); ok && mark.Swap(false) {
		return ErrUnconfirmed
	}
	return nil
}

// onNotice marks the session whose wait for the standby was cancelled. The name
// of the server's routine, unlike the message, is the same in every language.
func onNotice(conn *pgconn.PgConn, n *pgconn.Notice) {
	if mark, ok := conn.CustomData()[unconfirmed].(*atomic.Bool); ok && n.Routine == "SyncRepWaitForLSN" {
		mark.Store(true)
	}
}

// dropReadOnly makes a session end at the first write that it refuses.
func dropReadOnly(before pgconn.PgErrorHandler) pgconn.PgErrorHandler {
	return func(conn *pgconn.PgConn, err *pgconn.PgError) bool {
		return err.Code != readOnlyTransaction && before(conn, err)
	}
}

// asked is what a ledger asks of its sessions.
type asked struct {
	readOnly bool // sessions that cannot write will do
	durable  bool // commits wait until they are safe
	patience time.Duration
}

// parameters are the settings that a session begins with.
func (a asked) parameters(name string) map[string]string {
	patience := strconv.FormatInt(a.patience.Milliseconds(), 10)
	commit := "on"
	if !a.durable {
		commit = "off"
	}
	return map[string]string{
		"application_name": name, "timezone": "UTC", "synchronous_commit": commit,
		"statement_timeout": patience, "idle_in_transaction_session_timeout": patience,
	}
}

// AllowVolatile lets tests run on a server without fsync. Nothing else sets it.
const AllowVolatile = "notsale.allow_volatile"

const readBack = `SELECT current_setting('transaction_read_only'), current_setting('fsync'), COALESCE(current_setting('` + AllowVolatile + `', true), ''),
	current_setting('synchronous_commit'), extract(epoch FROM current_setting('statement_timeout')::interval)::float8,
	extract(epoch FROM current_setting('idle_in_transaction_session_timeout')::interval)::float8`

// check reads back what a new session was asked for: a pooler between us and
// the server may have ignored it. It keeps an acknowledged sale from being lost
// with the power, or with the server.
func (a asked) check(ctx context.Context, conn *pgconn.PgConn) error {
	results, err := conn.Exec(ctx, readBack).ReadAll()
	if err != nil {
		return fmt.Errorf("ledger: reading the session's settings: %w", err)
	}
	if len(results) != 1 || len(results[0].Rows) != 1 {
		return fmt.Errorf("%w: it does not tell its settings", ErrUnfit)
	}
	conn.CustomData()[unconfirmed] = new(atomic.Bool)
	return a.judge(results[0].Rows[0])
}

// validate is check, and for a ledger that is only read what the URL asks for
// itself, such as target_session_attrs=prefer-standby.
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

func (a asked) judge(row [][]byte) error {
	readOnly, fsync, volatile, commit := string(row[0]), string(row[1]), string(row[2]), string(row[3])
	seconds := strconv.FormatFloat(a.patience.Seconds(), 'g', -1, 64)
	switch {
	case readOnly == "on" && !a.readOnly:
		return fmt.Errorf("%w: a standby, or default_transaction_read_only", ErrReadOnly)
	case fsync != "on" && volatile != "on":
		return fmt.Errorf("%w: the server runs with fsync=off, a power cut would lose sold items: set fsync=on in postgresql.conf", ErrUnfit)
	case commit != "on" && a.durable:
		return fmt.Errorf("%w: it has synchronous_commit=%s though 'on' was asked for: a pooler such as PgBouncer must not ignore startup parameters", ErrUnfit, commit)
	case string(row[4]) != seconds || string(row[5]) != seconds:
		return fmt.Errorf("%w: it has statement_timeout %s s and idle_in_transaction_session_timeout %s s though %s s were asked for: a pooler such as PgBouncer must not ignore startup parameters",
			ErrUnfit, row[4], row[5], seconds)
	}
	return nil
}

// untyped are the modes in which the driver guesses the types of arguments.
var untyped = map[pgx.QueryExecMode]string{pgx.QueryExecModeExec: "exec", pgx.QueryExecModeSimpleProtocol: "simple_protocol"}

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
	cc.ConnectTimeout = connectTimeout
	for name, value := range a.parameters(cfg.Name) {
		cc.RuntimeParams[name] = value
	}
	cc.ValidateConnect = a.validate(cc.ValidateConnect)
	cc.OnNotice = onNotice
	cc.OnPgError = dropReadOnly(cc.OnPgError)
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return sessions{}, fmt.Errorf("ledger: %w", err)
	}
	return sessions{pool}, nil
}
