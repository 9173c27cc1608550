//go:build unix

package allocator_test

import (
	"context"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"notsale/loadtest/faults/proxy"
	"notsale/pkg/allocation"
	"notsale/pkg/backends/backendstest"
	"notsale/pkg/effort"
	"notsale/services/servicetest"
)

// standby starts a hot standby of the desk's own Postgres, until the test ends,
// and returns where it listens, and a pool of sessions there.
func (d *desk) standby() (address string, db *pgxpool.Pool) {
	t := d.t
	t.Helper()
	fatal := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var programs, primary string
	fatal(d.DB.QueryRow(t.Context(), `SELECT setting, current_setting('data_directory') FROM pg_config WHERE name = 'BINDIR'`).Scan(&programs, &primary))
	dir, err := os.MkdirTemp(effort.Folder(), "notsale-standby-*")
	fatal(err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	info, err := os.Stat(primary)
	fatal(err)
	as := func(cmd *exec.Cmd) *exec.Cmd {
		if os.Geteuid() == 0 { // as which Postgres refuses to run
			owner := info.Sys().(*syscall.Stat_t)
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: owner.Uid, Gid: owner.Gid}}
			fatal(os.Chown(dir, int(owner.Uid), int(owner.Gid)))
		}
		cmd.Dir = dir
		return cmd
	}
	data := filepath.Join(dir, "data")
	copied := as(exec.CommandContext(t.Context(), filepath.Join(programs, "pg_basebackup"), "-d", d.DatabaseURL, "-D", data, "-R", "-c", "fast", "--no-sync"))
	if text, err := copied.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	fatal(err)
	address = free.Addr().String()
	_, port, _ := net.SplitHostPort(address)
	fatal(free.Close())
	server := as(exec.CommandContext(context.WithoutCancel(t.Context()), filepath.Join(programs, "postgres"), "-D", data,
		"-c", "listen_addresses=127.0.0.1", "-c", "port="+port, "-c", "unix_socket_directories=",
		"-c", "max_connections=400", "-c", "fsync=off", "-c", "notsale.allow_volatile=on")) // as the primary's
	server.Stdout, server.Stderr = t.Output(), t.Output()
	fatal(server.Start())
	t.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGQUIT)
		_ = server.Wait()
	})
	u, err := url.Parse(d.DatabaseURL)
	fatal(err)
	u.Host = address
	db, err = pgxpool.New(t.Context(), u.String())
	fatal(err)
	t.Cleanup(db.Close)
	servicetest.Eventually(t, "the standby answers", func() bool { return db.Ping(t.Context()) == nil })
	return address, db
}

// A proxy leads to a standby for a while, as during a failover, then to the
// primary again, and leaves the sessions that there are: the allocator keeps none
// of them, and sells.
func TestAProxyLedToAStandby(t *testing.T) {
	t.Parallel()
	d := newDesk(t, backendstest.WithOwnPostgres)
	of := d.OpenSale(20, 10)
	standby, there := d.standby()
	way, directly := d.through(&d.DatabaseURL)
	_, reg := d.allocate("allocator-1", nil)
	directly()
	d.decided(of, 1)
	way.Lead(standby)
	way.Set(proxy.Reset)
	way.Set(proxy.Forward)
	r := d.request(2, of.FirstItem+2, "ann")
	d.pack(of.ID, r)
	servicetest.Eventually(t, "it has tried with new sessions", func() bool { return counter(t, reg, "notsale_allocator_restarts_total") >= 3 })
	way.Lead(d.Postgres.Address())
	expectReasons(t, d.awaitReplies(r), allocation.Granted)
	d.decided(of, 3)
	servicetest.Eventually(t, "no session is kept that cannot write", func() bool {
		return servicetest.Count(t, there, `SELECT count(*) FROM pg_stat_activity WHERE application_name = 'allocator-1'`) == 0
	})
	d.check(of.ID)
}
