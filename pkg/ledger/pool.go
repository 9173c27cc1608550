package ledger

import (
	"cmp"
	"context"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// sessions is a pool of sessions such as were asked for, in which a commit that
// the server could not confirm is an error: the end of a statement, as of a
// transaction, returns ErrUnconfirmed.
type sessions struct {
	*pgxpool.Pool

	asked asked
}

// acquire takes a session; it must be released.
func (s sessions) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	conn, err := s.Acquire(ctx)
	return conn, explained(err)
}

// Query runs a statement. It has ended, and its error is known, when all rows
// were read, or they were closed.
func (s sessions) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	conn, err := s.acquire(ctx)
	if err != nil {
		return nil, err
	}
	st := &statement{conn: conn}
	if s.asked.pooled { // one round trip, and so one transaction
		b := &pgx.Batch{}
		b.Queue(s.asked.settings())
		b.Queue(sql, args...)
		st.batch = conn.SendBatch(ctx, b)
		_, _ = st.batch.Exec() // what fails is told by the next, too
		st.Rows, err = st.batch.Query()
	} else {
		st.Rows, err = conn.Query(ctx, sql, args...)
	}
	if err != nil {
		st.Close()
		return nil, err
	}
	return st, nil
}

// statement is the rows of one that runs on a session of its own.
type statement struct {
	pgx.Rows

	conn  *pgxpool.Conn
	batch pgx.BatchResults // nil: it was sent by itself
	ended bool
	err   error // valid when it has ended
}

func (s *statement) Next() bool {
	if s.Rows.Next() {
		return true
	}
	s.Close()
	return false
}

// Close waits for the statement's end, which is its commit.
func (s *statement) Close() {
	if s.ended {
		return
	}
	s.ended = true
	s.Rows.Close()
	s.err = s.Rows.Err()
	if s.batch != nil {
		s.err = cmp.Or(s.err, s.batch.Close())
	}
	if s.err == nil {
		s.err = confirmed(s.conn.Conn())
	}
	s.conn.Release()
}

func (s *statement) Err() error {
	if s.ended {
		return s.err
	}
	return s.Rows.Err()
}

// Exec runs a statement.
func (s sessions) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	rows, err := s.Query(ctx, sql, args...)
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	rows.Close()
	return rows.CommandTag(), rows.Err()
}

// Begin begins a transaction, on a session of its own until that has ended.
func (s sessions) Begin(ctx context.Context) (pgx.Tx, error) { return s.BeginTx(ctx, pgx.TxOptions{}) }

// BeginTx is Begin with options.
func (s sessions) BeginTx(ctx context.Context, options pgx.TxOptions) (pgx.Tx, error) {
	conn, err := s.acquire(ctx)
	if err != nil {
		return nil, err
	}
	tx, err := conn.BeginTx(ctx, options)
	if err == nil && s.asked.pooled {
		_, err = tx.Exec(ctx, s.asked.settings())
	}
	if err != nil {
		conn.Release() // which ends a session in the middle of a transaction
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
