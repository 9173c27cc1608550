//go:build unix

package backends

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
)

// databaseName is also the name of the user, who owns everything.
const databaseName = "notsale"

// portTries bounds how often a start takes another free port, after somebody
// else took the one it had chosen.
const portTries = 3

// Postgres is a Postgres server that runs as a child process. Its methods may be
// called from any goroutine; they wait for each other.
type Postgres struct {
	cfg     Config
	log     *slog.Logger
	dir     string // Data/postgres
	logFile string
	account *account
	install pgInstall

	host     string
	port     int
	password string

	mu    sync.Mutex // guards what follows
	lock  *lock
	child *child
}

// StartPostgres starts Postgres on cfg.Data/postgres, which it creates if need
// be, and returns once the database notsale answers. Of cfg it uses Data,
// PGBin, PostgresAddr and Ephemeral. Errors say what to do; ErrInUse means that
// another notsale holds the folder.
func StartPostgres(ctx context.Context, cfg Config, log *slog.Logger) (*Postgres, error) {
	p := &Postgres{cfg: cfg, log: log.With("part", "postgres")}
	if err := p.prepare(); err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	if err := p.open(ctx); err != nil {
		p.lock.release()
		return nil, fmt.Errorf("postgres: %w", err)
	}
	return p, nil
}

// prepare settles who runs where, and takes the lock.
func (p *Postgres) prepare() error {
	nobody, err := childAccount(p.cfg.Data)
	if err != nil {
		return err
	}
	data, err := prepareData(p.cfg.Data, nobody)
	if err == nil {
		err = nobody.checkReach(data)
	}
	if err != nil {
		return err
	}
	p.dir, p.logFile = filepath.Join(data, "postgres"), filepath.Join(data, "postgres.log")
	if p.lock, err = takeLock(filepath.Join(data, "postgres.lock")); err != nil {
		return err
	}
	p.account, err = nobody.forFolder(p.dir)
	if err != nil {
		p.lock.release()
	}
	return err
}

// open finds the program, makes the data folder if there is none, and starts.
func (p *Postgres) open(ctx context.Context) (err error) {
	major, err := dataMajor(p.dir)
	if err != nil {
		return err
	}
	if p.install, err = findPostgres(ctx, p.cfg.PGBin, major, p.account, p.log); err != nil {
		return err
	}
	if err := p.initialize(ctx, major); err != nil {
		return err
	}
	for try := 1; ; try++ {
		if p.host, p.port, err = choosePort(p.cfg.PostgresAddr); err != nil {
			return err
		}
		err = p.run(ctx)
		if !errors.Is(err, errPortTaken) || p.fixedPort() || try == portTries {
			return err
		}
	}
}

func (p *Postgres) fixedPort() bool {
	_, port, _ := splitAddr(p.cfg.PostgresAddr)
	return port != 0
}

// run starts the server on the chosen port and waits until it answers.
func (p *Postgres) run(ctx context.Context) error {
	if err := vacate(ctx, p.dir); err != nil {
		return err
	}
	c, err := startChild(childSpec{
		name:    "postgres",
		program: filepath.Join(p.install.dir, "postgres"),
		args:    p.arguments(),
		account: p.account,
		log:     p.logFile,
		onDeath: syscall.SIGQUIT, // immediate shutdown: it takes its own children and its pid file with it
	})
	if err != nil {
		return err
	}
	if err := p.ready(ctx, c); err != nil {
		return errors.Join(err, c.stop(ctx, syscall.SIGQUIT))
	}
	p.child = c
	return nil
}

// arguments hold the settings that must not depend on a file which somebody may
// have edited. Connections and memory are initdb's defaults, said aloud.
func (p *Postgres) arguments() []string {
	fsync, connections := "on", "100"
	if p.cfg.Ephemeral {
		fsync, connections = "off", "400" // many tests share one server
	}
	settings := [][2]string{
		{"listen_addresses", p.host},
		{"port", strconv.Itoa(p.port)},
		{"unix_socket_directories", ""}, // a socket's path is limited to some 100 bytes, the data folder's is not
		{"fsync", fsync},
		{"synchronous_commit", "on"}, // without it and the next, even a killed server may forget
		{"full_page_writes", "on"},
		{"max_connections", connections},
		{"shared_buffers", "128MB"},
		{"jit", "off"}, // short statements only: compiling them costs more than it saves
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

// Address is host:port.
func (p *Postgres) Address() string { return net.JoinHostPort(p.host, strconv.Itoa(p.port)) }

// Version is the server's, such as "15.18".
func (p *Postgres) Version() string { return p.install.version }

// Stop shuts the server down: fast (SIGINT: clients are cut off, everything is
// written), then, when ctx's deadline comes near, immediate (SIGQUIT: the next
// start recovers), then SIGKILL, which is an error. Without a deadline it takes
// at most 20 s. Stopping again does nothing.
func (p *Postgres) Stop(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.lock.release()
	if p.child == nil {
		return nil
	}
	return p.child.stop(ctx, syscall.SIGINT, syscall.SIGQUIT)
}

// Kill ends the server and all its processes with SIGKILL, for fault tests. It
// returns once they are gone. Restart brings it back.
func (p *Postgres) Kill() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.child.kill()
}

// Pause stops every process of the server (SIGSTOP), for fault tests.
func (p *Postgres) Pause() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.child.pause()
}

// Resume undoes Pause.
func (p *Postgres) Resume() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.child.resume()
}

// Restart starts the server again on the same data, port and password, after
// stopping it if it still runs.
func (p *Postgres) Restart(ctx context.Context) error {
	if err := p.Stop(ctx); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var err error
	if p.lock, err = takeLock(filepath.Join(filepath.Dir(p.dir), "postgres.lock")); err != nil {
		return fmt.Errorf("postgres: %w", err)
	}
	if err := p.run(ctx); err != nil {
		p.lock.release()
		return fmt.Errorf("postgres: %w", err)
	}
	return nil
}

// ended gives a channel that closes when the current process ends, and a
// function that then says how.
func (p *Postgres) ended() (<-chan struct{}, func() error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.child
	return c.done, func() error { return p.explain(c.died(), c) }
}
