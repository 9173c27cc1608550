package ledger

import (
	"cmp"
	"context"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// sessions is a pool of checked sessions. A statement, like a transaction, returns
// ErrUnconfirmed if the server could not confirm its commit.
type sessions struct {
	pool  *pgxpool.Pool
	asked asked
}

// acquire takes a session, which must be released.
func (s sessions) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	conn, err := s.pool.Acquire(ctx)
	return conn, explained(err)
}

// run runs a query as a transaction of its own.
func (s sessions) run(ctx context.Context, name string, p params, read func(pgx.Rows) error) error {
	conn, err := s.acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	if s.asked.pooled { // one batch is one round trip and one transaction
		b := &pgx.Batch{}
		b.Queue(s.asked.settings())
		b.Queue(name, p)
		batch := conn.SendBatch(ctx, b)
		_, _ = batch.Exec()      // if it fails, so does the next
		rows, _ := batch.Query() // the error is rows.Err, here and below
		err = cmp.Or(readAll(rows, read), batch.Close())
	} else {
		rows, _ := conn.Query(ctx, name, p)
		err = readAll(rows, read)
	}
	if err == nil {
		err = confirmed(conn.Conn())
	}
	return err
}

// readAll calls read with the rows of a statement, and waits for its end.
func readAll(rows pgx.Rows, read func(pgx.Rows) error) error {
	err := read(rows)
	rows.Close()
	return cmp.Or(rows.Err(), err)
}

// inTransaction runs do in a transaction.
func (s sessions) inTransaction(ctx context.Context, options pgx.TxOptions, do func(transaction) error) error {
	conn, err := s.acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release() // which ends a session that is still in a transaction
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
	rows, _ := tx.Query(ctx, name, p)
	return readAll(rows, read)
}

// unconfirmed is the key under which a session keeps whether a wait for the
// synchronous standby was cancelled since confirmed was last called.
const unconfirmed = "unconfirmed"

func confirmed(conn *pgx.Conn) error {
	if cancelled, ok := conn.PgConn().CustomData()[unconfirmed].(*atomic.Bool); ok && cancelled.Swap(false) {
		return ErrUnconfirmed
	}
	return nil
}

// onNotice notices that a session's wait for the standby was cancelled. The name of
// the server's routine, unlike the message, is the same in every language.
func onNotice(conn *pgconn.PgConn, n *pgconn.Notice) {
	if cancelled, ok := conn.CustomData()[unconfirmed].(*atomic.Bool); ok && n.Routine == "SyncRepWaitForLSN" {
		cancelled.Store(true)
	}
}
