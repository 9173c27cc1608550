//go:build unix

package backends

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// vacateWait is how long the postgres of a killed parent may take to end.
const vacateWait = 10 * time.Second

// dataMajor returns the major version that made a data folder, 0 if there is none.
func dataMajor(dir string) (int, error) {
	text, err := os.ReadFile(filepath.Join(dir, "PG_VERSION"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read version of data folder: %w", err)
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("%s/PG_VERSION holds %q, not a version of 10 or later: move the folder away", dir, text)
	}
	return major, nil
}

// initialize prepares password and data folder. A new folder is made under another
// name and then renamed, so that an incomplete one is never used.
func (p *Postgres) initialize(ctx context.Context, major int) (err error) {
	passwordFile := p.dir + ".password"
	if _, err := os.Stat(passwordFile); major != 0 && errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s holds data but its password file %s is missing: restore that file, or move the folder away to start with an empty one", p.dir, passwordFile)
	}
	if p.password, err = secret(passwordFile, p.account); err != nil || major != 0 {
		return err
	}
	return p.initdb(ctx, passwordFile)
}

func (p *Postgres) initdb(ctx context.Context, passwordFile string) error {
	half := p.dir + ".new"
	if err := os.RemoveAll(half); err != nil {
		return fmt.Errorf("remove an earlier attempt: %w", err)
	}
	if err := partFolder(half, p.account); err != nil {
		return err
	}
	err := p.runInitdb(ctx, "-D", half, "--no-sync", "--locale=C", "-E", "UTF8",
		"-A", "scram-sha-256", "-U", databaseName, "--pwfile", passwordFile)
	if err != nil {
		return err
	}
	// Syncing everything at the end costs 30 ms. Without it, a power loss could lose
	// catalog files that the write-ahead log does not cover.
	if !p.cfg.Ephemeral {
		if err := p.runInitdb(ctx, "-D", half, "--sync-only"); err != nil {
			return err
		}
	}
	if err := os.Rename(half, p.dir); err != nil {
		return fmt.Errorf("put new data folder in place: %w", err)
	}
	return nil
}

func (p *Postgres) runInitdb(ctx context.Context, args ...string) error {
	c, err := p.startChild(childSpec{name: "initdb", program: filepath.Join(p.install.dir, "initdb"), args: args, onDeath: syscall.SIGKILL})
	if err != nil {
		return err
	}
	if err := c.wait(ctx); err != nil {
		return c.explain(fmt.Errorf("initdb: %w", err))
	}
	return nil
}

// vacate waits until no postgres uses the data folder: that of a killed parent may
// still be shutting down. We hold the lock, so nobody else starts one. If the pid file
// then still names a process, that is another program or a zombie, which Postgres
// would take for a running server: so the file is removed.
func vacate(ctx context.Context, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, vacateWait)
	defer cancel()
	for {
		found := occupants(dir)
		if len(found) == 0 {
			break
		}
		if err := briefly(ctx); err != nil {
			return fmt.Errorf("postgres processes %v still run on %s: stop them (kill -QUIT %d)", found, dir, found[0])
		}
	}
	if pid, _, err := postmaster(dir); err == nil && exists(pid) {
		if err := os.Remove(filepath.Join(dir, "postmaster.pid")); err != nil {
			return fmt.Errorf("remove stale pid file: %w", err)
		}
	}
	return nil
}

// postmaster reads the pid file: the postmaster's process id is on its first line, its
// state on the eighth.
func postmaster(dir string) (pid int, ready bool, err error) {
	text, err := os.ReadFile(filepath.Join(dir, "postmaster.pid"))
	if err != nil {
		return 0, false, err
	}
	lines := strings.Split(string(text), "\n")
	pid, err = strconv.Atoi(strings.TrimSpace(lines[0]))
	return pid, len(lines) >= 8 && strings.TrimSpace(lines[7]) == "ready", err
}

// briefly waits a moment, or fails when ctx ends.
func briefly(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(pollEvery):
		return nil
	}
}

// ask connects only once the pid file says that the child is ready, so that the port is
// its own: another program's server must not get the password. It makes the database if
// it is missing: on a new folder, or after a crash between initdb and this.
func (p *Postgres) ask(ctx context.Context, c *child) (settled bool, err error) {
	if pid, ready, err := postmaster(p.dir); err != nil || !ready || pid != c.process.Pid {
		return false, errNotReady
	}
	try, cancel := c.attempt(ctx)
	defer cancel()
	conn, err := pgx.Connect(try, p.url("postgres"))
	if err == nil {
		defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
		return true, ensureDatabase(ctx, conn)
	}
	if refused := (*pgconn.PgError)(nil); errors.As(err, &refused) && refused.Code == "28P01" {
		return true, fmt.Errorf("%s.password does not fit the data: restore the right file, or move %s away to start with an empty one", p.dir, p.dir)
	}
	return false, err
}

func ensureDatabase(ctx context.Context, conn *pgx.Conn) error {
	var found bool
	err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, databaseName).Scan(&found)
	if err == nil && !found {
		_, err = conn.Exec(ctx, "CREATE DATABASE "+databaseName)
	}
	if err != nil {
		return fmt.Errorf("create database: %w", err)
	}
	return nil
}
