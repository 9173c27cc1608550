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
// the server could not confirm is an error: a statement, as a transaction, returns
// ErrUnconfirmed.
type sessions struct {
	pool  *pgxpool.Pool
	asked asked
}

// acquire takes a session; it must be released.
func (s sessions) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	conn, err := s.pool.Acquire(ctx)
	return conn, explained(err)
}

// run runs a query, whose end is its commit.
func (s sessions) run(ctx context.Context, name string, p params, read func(pgx.Rows) error) error {
	conn, err := s.acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	if s.asked.pooled { // one round trip, and so one transaction
		b := &pgx.Batch{}
		b.Queue(s.asked.settings())
		b.Queue(name, p)
		batch := conn.SendBatch(ctx, b)
		_, _ = batch.Exec() // what fails is told by the next, too
		rows, failed := batch.Query()
		err = readAll(rows, failed, read)
		err = cmp.Or(err, batch.Close())
	} else {
		rows, failed := conn.Query(ctx, name, p)
		err = readAll(rows, failed, read)
	}
	if err == nil {
		err = confirmed(conn.Conn())
	}
	return err
}

// readAll has rows read, and waits for the end of their statement.
func readAll(rows pgx.Rows, failed error, read func(pgx.Rows) error) error {
	if failed != nil {
		return failed
	}
	err := read(rows)
	rows.Close()
	return cmp.Or(rows.Err(), err)
}

// inTransaction does something in a transaction, on a session of its own until
// that has ended.
func (s sessions) inTransaction(ctx context.Context, options pgx.TxOptions, do func(transaction) error) error {
	conn, err := s.acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release() // which ends a session in the middle of a transaction
	err = pgx.BeginTxFunc(ctx, conn, options, func(tx pgx.Tx) error {
		if s.asked.pooled {
			if _, err := tx.Exec(ctx, s.asked.settings()); err != nil {
				return err
			}
		}
		return do(transaction{tx})
	})
	if err == nil {
		err = confirmed(conn.Conn())
	}
	return err
}

type transaction struct{ pgx.Tx }

func (tx transaction) run(ctx context.Context, name string, p params, read func(pgx.Rows) error) error {
	rows, failed := tx.Query(ctx, name, p)
	return readAll(rows, failed, read)
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
