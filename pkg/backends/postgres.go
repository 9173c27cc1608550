//go:build unix

package backends

import (
	"context"
	"log/slog"
	"net/url"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// databaseName is also the name of the user, who owns everything.
const databaseName = "notsale"

// readyWait is the limit of a start: recovery after a crash replays up to 1 GB of
// write-ahead log.
const readyWait = 2 * time.Minute

// Postgres is a Postgres server that runs as a child process. Stop asks first for a
// fast shutdown (SIGINT: it disconnects clients and writes everything), then for an
// immediate one (SIGQUIT: the next start recovers).
type Postgres struct {
	daemon

	install pgInstall
}

// StartPostgres starts Postgres on cfg.Data/postgres, which it creates if need
// be, and returns once the database notsale answers. Of cfg it uses Data,
// PGBin and Ephemeral. Errors say what to do; ErrInUse means that another
// notsale has locked the folder.
func StartPostgres(ctx context.Context, cfg Config, log *slog.Logger) (*Postgres, error) {
	p := &Postgres{daemon: daemon{name: "postgres", cfg: cfg, log: log.With("part", "postgres")}}
	p.store = p
	if err := p.start(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

// prepare finds the program, and makes the data folder if there is none.
func (p *Postgres) prepare(ctx context.Context) (err error) {
	if err := p.account.checkReach(filepath.Dir(p.dir)); err != nil {
		return err
	}
	if p.account, err = p.account.forFolder(p.dir); err != nil {
		return err
	}
	major, err := dataMajor(p.dir)
	if err != nil {
		return err
	}
	if p.install, err = findPostgres(ctx, p.cfg.PGBin, major, p.account, p.log); err != nil {
		return err
	}
	return p.initialize(ctx, major)
}

func (p *Postgres) serve(ctx context.Context) (process, error) {
	if err := vacate(ctx, p.dir); err != nil {
		return nil, err
	}
	return p.serveChild(ctx, childSpec{
		name:    "postgres",
		program: filepath.Join(p.install.dir, "postgres"),
		args:    p.arguments(),
		signals: []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT},
		onDeath: syscall.SIGQUIT, // immediate shutdown: it ends its children and removes its pid file
	}, readyWait, p.ask)
}

// arguments are the settings that must not depend on a file which somebody may
// have edited. Connections and memory are initdb's defaults.
func (p *Postgres) arguments() []string {
	fsync, connections := "on", "100"
	if p.cfg.Ephemeral {
		fsync, connections = "off", "400" // many tests share one server
	}
	settings := [][2]string{
		{"listen_addresses", loopback},
		{"port", strconv.Itoa(p.port)},
		{"unix_socket_directories", ""}, // the path of a socket is limited to some 100 bytes
		{"fsync", fsync},
		{"synchronous_commit", "on"}, // without this and the next, even a killed server may lose commits
		{"full_page_writes", "on"},
		{"max_connections", connections},
		{"shared_buffers", "128MB"},
		{"jit", "off"}, // compiling short statements costs more than it saves
		{"lc_messages", "C"},
		{"log_timezone", "UTC"},
		{"timezone", "UTC"},
		{"logging_collector", "off"},
		{"cluster_name", databaseName},
	}
	if p.cfg.Ephemeral {
		settings = append(settings, [2]string{"notsale.allow_volatile", "on"}) // pkg/ledger refuses to work without fsync otherwise
	}
	args := []string{"-D", p.dir}
	for _, s := range settings {
		args = append(args, "-c", s[0]+"="+s[1])
	}
	return args
}

// URL is the connection string of the database notsale, password included.
func (p *Postgres) URL() string { return p.url(databaseName) }

func (p *Postgres) url(database string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(databaseName, p.password),
		Host:     p.Address(),
		Path:     "/" + database,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Version is the server's, such as "15.18".
func (p *Postgres) Version() string { return p.install.version }
