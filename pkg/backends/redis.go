//go:build unix

package backends

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// RedisDatabases is the number of logical databases of a Redis started here.
const RedisDatabases = 1024

const redisReadyWait = 10 * time.Second // limit of a start; it has nothing to load

// Redis is a redis-server that runs as a child process, or a miniredis in this
// process. It keeps nothing on disk: Stop and Kill lose its data.
type Redis struct {
	daemon

	path    string // of redis-server; empty: in-process
	version string
}

// StartRedis starts Redis and returns once it answers. Of cfg it uses Data (for
// its password and log) and InProcessRedis. It holds at most 256 MB and then
// evicts the least recently used keys. If no redis-server runs here, it is
// miniredis, which has no such limit; see InProcess.
func StartRedis(ctx context.Context, cfg Config, log *slog.Logger) (*Redis, error) {
	r := &Redis{daemon: daemon{name: "redis", cfg: cfg, log: log.With("part", "redis")}}
	r.store = r
	if err := r.start(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *Redis) prepare(ctx context.Context) (err error) {
	if err := r.account.checkReach(filepath.Dir(r.dir)); err != nil {
		return err
	}
	r.version = "miniredis"
	if !r.cfg.InProcessRedis {
		r.path = FindRedis()
	}
	if r.path != "" {
		said, err := runShort(ctx, r.account, r.path, "--version")
		if err != nil {
			r.log.Warn("redis-server does not run: using the in-process stand-in", "error", err)
			r.path = ""
		} else if match := redisVersion.FindSubmatch(said); match != nil {
			r.version = string(match[1])
		}
	}
	r.password, err = secret(r.dir+".password", nil)
	return err
}

var redisVersion = regexp.MustCompile(`\bv=(\S+)`)

// FindRedis returns the path of redis-server, on PATH or in the usual folders; empty
// if it is not installed.
func FindRedis() string {
	for _, name := range []string{"redis-server", "/usr/bin/redis-server", "/usr/local/bin/redis-server", "/opt/homebrew/bin/redis-server"} {
		if program, err := exec.LookPath(name); err == nil {
			if program, err = filepath.Abs(program); err == nil {
				return program
			}
		}
	}
	return ""
}

func (r *Redis) serve(ctx context.Context) (process, error) {
	if r.path == "" {
		return r.serveInProcess()
	}
	return r.serveChild(ctx, childSpec{
		name:    "redis",
		program: r.path,
		args:    []string{"-"},
		stdin:   r.configuration(),
		signals: []syscall.Signal{syscall.SIGTERM},
		onDeath: syscall.SIGKILL, // it has nothing to save
	}, redisReadyWait, r.ask)
}

// configuration is passed on standard input: every user can read an argument list, and
// redis-server takes a file's name as a pattern, which may not match the data folder's.
func (r *Redis) configuration() string {
	return strings.Join([]string{
		"bind " + loopback,
		"port " + strconv.Itoa(r.port),
		"protected-mode yes",
		"requirepass " + r.password,
		"daemonize no",
		`logfile ""`, // standard output
		`save ""`,
		"appendonly no",
		"maxmemory 256mb",
		"maxmemory-policy allkeys-lru",
		"databases " + strconv.Itoa(RedisDatabases),
		"",
	}, "\n")
}

// ask connects only once the log says that the child has the port: another program's
// server must not get the password.
func (r *Redis) ask(ctx context.Context, c *child) (settled bool, err error) {
	if !strings.Contains(c.tail(), "eady to accept connections") {
		return false, errNotReady
	}
	ctx, cancel := c.attempt(ctx)
	defer cancel()
	err = r.ping(ctx)
	return err == nil, err
}

// ping fails if the server does not answer.
func (r *Redis) ping(ctx context.Context) error {
	client := redis.NewClient(&redis.Options{
		Addr: r.Address(), Password: r.password, MaxRetries: -1, DisableIdentity: true, ContextTimeoutEnabled: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	defer func() { _ = client.Close() }()
	return client.Ping(ctx).Err()
}

func (r *Redis) serveInProcess() (process, error) {
	s := &standIn{miniredis.NewMiniRedis()}
	s.RequireAuth(r.password)
	if err := s.StartAddr(r.Address()); err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			err = errPortTaken
		}
		return nil, fmt.Errorf("listen on %s: %w", r.Address(), err)
	}
	return s, nil
}

// standIn is a miniredis, which cannot end by itself.
type standIn struct{ *miniredis.Miniredis }

func (*standIn) ended() <-chan struct{} { return nil }

func (*standIn) died() error { return nil }

func (s *standIn) end(_ context.Context, gone func()) error {
	s.Close()
	gone()
	return nil
}

// InProcess reports whether this is the stand-in.
func (r *Redis) InProcess() bool { return r.path == "" }

// URL is the connection string of database 0, password included.
func (r *Redis) URL() string {
	u := url.URL{Scheme: "redis", User: url.UserPassword("", r.password), Host: r.Address(), Path: "/0"}
	return u.String()
}

// Version is the server's, such as "7.0.15", or "miniredis".
func (r *Redis) Version() string { return r.version }
